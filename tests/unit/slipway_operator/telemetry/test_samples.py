import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_operator.plan.observed import Window
from slipway_operator.telemetry.samples import Counts, difference, parse, quantile, window

TEXT = """\
# TYPE slipway_requests_total counter
slipway_requests_total{model="m",door="rest",outcome="success"} 90
slipway_requests_total{model="m",door="grpc",outcome="success"} 5
slipway_requests_total{model="m",door="rest",outcome="server_error"} 2
slipway_requests_total{model="m",door="rest",outcome="client_error"} 40
# TYPE slipway_request_duration_seconds histogram
slipway_request_duration_seconds_bucket{model="m",door="rest",le="0.01"} 80
slipway_request_duration_seconds_bucket{model="m",door="grpc",le="0.01"} 5
slipway_request_duration_seconds_bucket{model="m",door="rest",le="+Inf"} 90
slipway_request_duration_seconds_sum{model="m",door="rest"} 1.5
# TYPE other_total counter
other_total{outcome="success"} 1000
"""


def test_all_doors_count_and_client_errors_do_not() -> None:
    assert parse(TEXT) == Counts(95.0, 2.0, {0.01: 85.0, math.inf: 90.0})


def test_replayed_requests_are_nobody_s_traffic() -> None:
    assert parse(TEXT.replace('door="rest"', 'door="replay"')) == Counts(5.0, 0.0, {0.01: 5.0})


def test_what_says_nothing_counts_nothing() -> None:
    assert parse("") == Counts()


@pytest.mark.parametrize("text", ["not { an exposition", "slipway_requests_total many"])
def test_what_is_no_exposition_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's own words
        parse(text)


def test_a_restarted_pod_counts_from_zero() -> None:
    before = Counts(100.0, 1.0, {0.1: 100.0})
    assert difference(Counts(3.0, 0.0, {0.1: 3.0}), before) == Counts(3.0, 0.0, {0.1: 3.0})
    assert difference(Counts(130.0, 3.0, {0.1: 120.0}), before) == Counts(30.0, 2.0, {0.1: 20.0})


def test_a_window_sums_its_pods() -> None:
    one = Counts(10.0, 0.0, {0.01: 10.0, math.inf: 10.0})
    two = Counts(9.0, 1.0, {0.01: 0.0, math.inf: 9.0})
    assert window([one, two]) == Window(requests=20, errors=1, p95_ms=10.0)
    assert window([]) == Window(0, 0, None)


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ({}, None),
        ({0.1: 0.0, math.inf: 0.0}, None),
        ({0.1: 100.0, math.inf: 100.0}, 0.095),
        ({0.1: 90.0, 0.2: 100.0, math.inf: 100.0}, 0.15),
        ({0.1: 90.0, math.inf: 100.0}, 0.1),
    ],
)
def test_the_quantile_is_that_of_prometheus(
    buckets: dict[float, float], expected: float | None
) -> None:
    assert quantile(0.95, buckets) == pytest.approx(expected)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=22))
def test_a_quantile_lies_inside_the_bounds(counts: list[int]) -> None:
    bounds = [0.001 * (i + 1) for i in range(len(counts) - 1)] + [math.inf]
    total = 0.0
    buckets = {bound: (total := total + n) for bound, n in zip(bounds, counts, strict=True)}
    found = quantile(0.95, buckets)
    assert (found is None) == (total == 0)
    assert found is None or 0 <= found <= bounds[-2]
