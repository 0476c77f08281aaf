"""Where a load test bends, and what predictions cost."""

import pytest

from slipway_optimizer.knee import Capacity, LoadPoint, capacity, cost_per_1000


def points(*levels: tuple[float, float, int]) -> tuple[LoadPoint, ...]:
    return tuple(
        LoadPoint(in_flight=2**n, rows_per_second=rows, p95_ms=p95, errors=errors)
        for n, (rows, p95, errors) in enumerate(levels)
    )


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        pytest.param(points((100, 10, 0), (190, 11, 0), (195, 22, 0)), (2, 190), id="saturated"),
        pytest.param(points((100, 10, 0), (105, 20, 0)), (1, 100), id="one thread is enough"),
        pytest.param(points((100, 10, 0), (190, 31, 0)), (1, 100), id="waits too long"),
        pytest.param(points((100, 10, 0), (190, 11, 1)), (1, 100), id="errors"),
        pytest.param(points((100, 10, 1)), None, id="errors from the start"),
        pytest.param((), None, id="not tested"),
    ],
)
def test_the_knee_is_the_last_level_that_pays(
    load: tuple[LoadPoint, ...], expected: tuple[int, float] | None
) -> None:
    wanted = None
    if expected is not None:
        wanted = Capacity(in_flight=expected[0], rows_per_second=expected[1])
    assert capacity(load) == wanted


def test_the_cost_is_the_price_of_the_time() -> None:
    found = cost_per_1000(100, cpu_hour=0.04, memory_gib_hour=0.01, size=(2, 4))
    assert found == pytest.approx(10 / 3600 * 0.12)
