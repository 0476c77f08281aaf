"""Prometheus text of a server pod -> counts; counts of many pods -> windows. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from slipway.contract import REPLAY_DOOR, Outcome, ServerMetric
from slipway_operator.plan.observed import Window


@dataclass(frozen=True, slots=True)
class Counts:
    """Cumulative since the pod's start.

    Attributes:
        success, errors: answered requests; client errors are left out.
        buckets: cumulative latency histogram: upper bound in seconds -> requests.
    """

    success: float = 0.0
    errors: float = 0.0
    buckets: Mapping[float, float] = field(default_factory=dict)


def parse(text: str) -> Counts:
    """Read what counts from an exposition: users' requests, not those of a replay.

    Raises:
        ValueError: not an exposition.
    """
    success = errors = 0.0
    buckets: dict[float, float] = {}
    counter = ServerMetric.REQUESTS.removesuffix("_total")
    for family in text_string_to_metric_families(text):
        if family.name == counter:
            for sample in filter(_is_traffic, family.samples):
                outcome = sample.labels.get("outcome")
                success += sample.value if outcome == Outcome.SUCCESS else 0.0
                errors += sample.value if outcome == Outcome.SERVER_ERROR else 0.0
        elif family.name == ServerMetric.LATENCY:
            for sample in filter(_is_traffic, family.samples):
                if sample.name.endswith("_bucket"):
                    bound = float(sample.labels["le"])
                    buckets[bound] = buckets.get(bound, 0.0) + sample.value
    return Counts(success, errors, buckets)


def _is_traffic(sample: Sample) -> bool:
    return sample.labels.get("door") != REPLAY_DOOR


def difference(now: Counts, then: Counts) -> Counts:
    """What happened in between; a restarted pod counts from zero."""
    if now.success + now.errors < then.success + then.errors:
        return now
    return Counts(
        now.success - then.success,
        now.errors - then.errors,
        {bound: value - then.buckets.get(bound, 0.0) for bound, value in now.buckets.items()},
    )


def window(deltas: Iterable[Counts]) -> Window:
    """Sum over pods."""
    success = errors = 0.0
    buckets: dict[float, float] = {}
    for delta in deltas:
        success += delta.success
        errors += delta.errors
        for bound, value in delta.buckets.items():
            buckets[bound] = buckets.get(bound, 0.0) + value
    p95 = quantile(0.95, buckets)
    return Window(
        requests=round(success + errors),
        errors=round(errors),
        p95_ms=None if p95 is None else p95 * 1000,
    )


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """Quantile of a cumulative histogram, linear inside a bucket.

    As Prometheus' ``histogram_quantile``: the last finite bound for what lies beyond it; ``None``
    without samples.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = q * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if bound == float("inf"):
                return lower
            inside = buckets[bound] - below
            return lower + (bound - lower) * ((rank - below) / inside if inside else 1.0)
        lower, below = bound, buckets[bound]
    return lower
