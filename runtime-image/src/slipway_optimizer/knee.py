"""Where more requests at once stop to pay. Pure."""

from typing import Final

from slipway.wire import WireModel

_LEAST_GAIN: Final = 1.1  # of throughput, to be worth a step
_MOST_WAIT: Final = 3.0  # times the p95 of one at a time


class LoadPoint(WireModel):
    """One level of a load test: so many requests at once."""

    in_flight: int
    rows_per_second: float
    p95_ms: float
    errors: int


class Capacity(WireModel):
    """What one replica carries.

    Attributes:
        in_flight: the most requests at once that still gained throughput.
        rows_per_second: then.
    """

    in_flight: int
    rows_per_second: float


def capacity(points: tuple[LoadPoint, ...]) -> Capacity | None:
    """The knee: the last level that gained at least a tenth, without errors or undue waiting.

    Args:
        points: by rising level, the first with one request at once.
    """
    if not points or points[0].errors:
        return None
    best = points[0]
    for point in points[1:]:
        gains = point.rows_per_second >= _LEAST_GAIN * best.rows_per_second
        if point.errors or not gains or point.p95_ms > _MOST_WAIT * points[0].p95_ms:
            break
        best = point
    return Capacity(in_flight=best.in_flight, rows_per_second=best.rows_per_second)


def cost_per_1000(
    rows_per_second: float, *, cpu_hour: float, memory_gib_hour: float, size: tuple[float, float]
) -> float:
    """Price of 1,000 predictions of a busy replica of ``size`` (CPUs, GiB).

    Worked example: 2 CPUs at 0.04 an hour and 100 rows a second -> 1000 / 100 / 3600 * 0.08
    = 0.000222.
    """
    cpus, gib = size
    hourly = cpus * cpu_hour + gib * memory_gib_hour
    return 1000 / rows_per_second / 3600 * hourly
