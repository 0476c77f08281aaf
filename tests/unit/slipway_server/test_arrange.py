import threading
import time
from collections.abc import Mapping

import numpy as np
import pytest

from slipway_server.arrange import Arrangement, candidates, choose, learn, rate
from slipway_server.engine import Session
from slipway_server.protocol.tensors import Array, TensorSpec
from slipway_server.warmup import Feeds
from tests.support.tensors import FakeSession, double, rows

ROWS = [{"x": rows(1)}]


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [
        (1, [(1, 1)]),
        (2, [(2, 1), (1, 2)]),
        (3, [(3, 1), (1, 3)]),
        (8, [(8, 1), (1, 8), (4, 2), (2, 4)]),
    ],
)
def test_candidates_use_every_cpu_and_begin_with_the_extremes(
    cpus: int, expected: list[tuple[int, int]]
) -> None:
    assert candidates(cpus) == [Arrangement(*one) for one in expected]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({(2, 1): 1.82, (1, 2): 2.26}, (2, 1)),  # a CNN: threads waste a fifth
        ({(2, 1): 1.1, (1, 2): 1.9}, (1, 2)),  # operators that threads do not help
        ({(2, 1): 2.0, (1, 2): 1.5}, (2, 1)),
        ({(4, 1): 2.0, (1, 4): 3.6, (2, 2): 3.0}, (2, 2)),
    ],
)
def test_threads_are_kept_unless_they_waste_a_quarter(
    rates: dict[tuple[int, int], float], expected: tuple[int, int]
) -> None:
    found = choose({Arrangement(*one): value for one, value in rates.items()})
    assert found == Arrangement(*expected)


class Machine:
    """Sessions by threads, a clock that loading moves, and what measuring them says."""

    def __init__(
        self,
        rates: dict[tuple[int, int], list[float]],
        *,
        load_seconds: float = 0.0,
        inputs: tuple[TensorSpec, ...] = FakeSession(double).inputs,
    ) -> None:
        self.now = 0.0
        self.loaded: list[int] = []
        self.measured: list[tuple[int, int, int]] = []
        self._rates = rates
        self._load_seconds = load_seconds
        self._inputs = inputs

    def load(self, threads: int) -> Session:
        self.now += self._load_seconds
        self.loaded.append(threads)
        return FakeSession(double, inputs=self._inputs)

    def measure(self, session: Session, feeds: Feeds, instances: int) -> float:
        del session
        self.measured.append((self.loaded[-1], instances, len(feeds["x"])))
        return self._rates[self.loaded[-1], instances].pop(0)

    def learn(self) -> Arrangement:
        return learn(self.load, ROWS, cpus=2, clock=lambda: self.now, measure=self.measure)


def test_each_is_measured_twice_with_several_rows_and_its_better_time_counts() -> None:
    machine = Machine({(2, 1): [1.0, 5.0], (1, 2): [6.0, 3.0]})
    assert machine.learn() == Arrangement(2, 1)
    assert machine.measured == [(2, 1, 8), (1, 2, 8)] * 2


def test_a_model_without_rows_is_timed_with_one() -> None:
    fixed = (TensorSpec("x", "FP32", (1, 2)),)
    machine = Machine({(2, 1): [1.0, 1.0], (1, 2): [1.9, 1.9]}, inputs=fixed)
    assert machine.learn() == Arrangement(1, 2)
    assert {count for _, _, count in machine.measured} == {1}


def test_what_takes_too_long_to_load_is_not_tried() -> None:
    machine = Machine({(2, 1): [1.0], (1, 2): [9.0]}, load_seconds=2.0)
    assert machine.learn() == Arrangement(2, 1)
    assert machine.loaded == [2]


def test_a_rate_is_of_runs_that_are_really_at_once() -> None:
    together = threading.Barrier(3, timeout=20)
    seen: set[int] = set()

    def first_runs_meet(feeds: Mapping[str, Array]) -> list[Array]:
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            together.wait()
        return [np.asarray(feeds["x"])]

    session = FakeSession(first_runs_meet)
    found = rate(session, ROWS[0], 3, clock=time.perf_counter)
    assert len(seen) == 3
    assert len(session.runs) >= 6
    assert found > 0
