from collections.abc import Mapping

import numpy as np
import pytest

from slipway.tasks import ReplayReport
from slipway_server.agreement import Tally, agrees, p95_ms

Answers = Mapping[str, object]


@pytest.mark.parametrize(
    ("stable", "canary", "same"),
    [
        ({"p": [[0.9, 0.1]]}, {"p": [[0.6, 0.4]]}, True),  # the same winner
        ({"p": [[0.9, 0.1]]}, {"p": [[0.4, 0.6]]}, False),
        ({"p": [[0.9, 0.1], [0.1, 0.9]]}, {"p": [[0.9, 0.1], [0.9, 0.1]]}, False),
        ({"y": [[100.0]]}, {"y": [[100.9]]}, True),  # within one percent
        ({"y": [[100.0]]}, {"y": [[101.1]]}, False),
        ({"y": [[0.0]]}, {"y": [[0.009]]}, True),  # of at least one
        ({"label": [1]}, {"label": [1]}, True),
        ({"label": [1]}, {"label": [2]}, False),
        ({"label": ["a"]}, {"label": ["b"]}, False),
        ({"label": [1], "p": [[0.9, 0.1]]}, {"label": [1], "p": [[0.1, 0.9]]}, False),
        ({"y": [[1.0]]}, {"y": [[1.0], [1.0]]}, False),  # another shape
        ({"y": [[1.0]]}, {}, False),
        ({"y": [[1.0]]}, {"y": [[1.0]], "more": [1]}, True),
    ],
)
def test_agreement(stable: Answers, canary: Answers, same: bool) -> None:
    left = {name: np.array(value) for name, value in stable.items()}
    right = {name: np.array(value) for name, value in canary.items()}
    assert agrees(left, right) is same


def test_a_tally_counts_pairs_and_errors() -> None:
    tally = Tally(stable_seconds=[0.001, 0.002], canary_seconds=[0.004])
    one, two = {"y": np.array([1])}, {"y": np.array([2])}
    for stable, canary in ((one, one), (one, two), (one, None), (None, one), (None, None)):
        tally.add(stable, canary)
    assert tally.report("why") == ReplayReport(
        samples=5,
        agreeing=1,
        stable_errors=2,
        canary_errors=2,
        stable_p95_ms=2.0,
        canary_p95_ms=4.0,
        message="1 of 5 samples agree, 2 stable and 2 canary errors; p95 2 ms stable, "
        "4 ms canary; why",
    )


def test_p95_is_of_what_was_measured() -> None:
    assert p95_ms([]) is None
    assert p95_ms([value / 1000 for value in range(1, 21)]) == 19
    assert p95_ms([0.0123456]) == 12.3456
