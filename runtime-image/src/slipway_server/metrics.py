"""Counters as plain numbers on the loop, rendered as Prometheus text when somebody asks."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from slipway.contract import LATENCY_BUCKETS_SECONDS, Outcome, ServerMetric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_HELP: Final = {
    ServerMetric.REQUESTS: ("counter", "Inference requests by door, code and outcome."),
    ServerMetric.LATENCY: ("histogram", "From the request's last byte to its answer's first."),
    ServerMetric.NONFINITE: ("counter", "Answers refused because an output held NaN or infinity."),
    ServerMetric.INFLIGHT: ("gauge", "Inference requests that are not answered yet."),
    ServerMetric.QUEUED: ("gauge", "Inference requests that wait for the model."),
    ServerMetric.INFO: ("gauge", "What is served; always 1."),
    ServerMetric.STARTUP: ("gauge", "Seconds of each phase between start and ready."),
}


class _Series:
    """One door and code: a count and a histogram."""

    __slots__ = ("buckets", "count", "outcome", "seconds")

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(LATENCY_BUCKETS_SECONDS) + 1)


class ModelMetrics:
    """All numbers of one model. Used on the loop's thread only.

    Attributes:
        in_flight: requests taken and not answered; the doors count it up and down.
        nonfinite: answers refused for NaN or infinity.
        startup: seconds by phase.
    """

    def __init__(self, model: str, *, queued: Callable[[], int]) -> None:
        self.in_flight = 0
        self.nonfinite = 0
        self.startup: dict[str, float] = {}
        self._model = model
        self._queued = queued
        self._info: dict[str, str] = {}
        self._series: dict[tuple[str, object], _Series] = {}

    def describe(self, **labels: str) -> None:
        """Set the labels of the info metric."""
        self._info = labels

    def observe(self, door: str, code: object, *, outcome: Outcome, seconds: float) -> None:
        """Count one request.

        Args:
            door: which protocol.
            code: what was answered; few different values.
            outcome: whose fault, if any. One code has one outcome.
            seconds: how long it took.
        """
        series = self._series.get((door, code))
        if series is None:
            series = self._series[door, code] = _Series(outcome)
        series.count += 1
        series.seconds += seconds
        series.buckets[bisect_left(LATENCY_BUCKETS_SECONDS, seconds)] += 1

    def samples(self, metric: ServerMetric) -> Iterator[str]:
        """The lines of one metric."""
        model = _labels(model=self._model)
        if metric is ServerMetric.REQUESTS:
            for (door, code), series in self._series.items():
                labels = f"{model},{_labels(door=door, code=str(code), outcome=series.outcome)}"
                yield f"{metric}{{{labels}}} {series.count}"
        elif metric is ServerMetric.LATENCY:
            for (door, code), series in self._series.items():
                yield from _histogram(f"{model},{_labels(door=door, code=str(code))}", series)
        elif metric is ServerMetric.NONFINITE:
            yield f"{metric}{{{model}}} {self.nonfinite}"
        elif metric is ServerMetric.INFLIGHT:
            yield f"{metric}{{{model}}} {self.in_flight}"
        elif metric is ServerMetric.QUEUED:
            yield f"{metric}{{{model}}} {self._queued()}"
        elif metric is ServerMetric.INFO:
            yield f"{metric}{{{_labels(model=self._model, **self._info)}}} 1"
        elif metric is ServerMetric.STARTUP:
            for phase, seconds in self.startup.items():
                yield f"{metric}{{{model},{_labels(phase=phase)}}} {seconds:.6g}"


def render(models: Iterable[ModelMetrics]) -> bytes:
    """Prometheus text format 0.0.4 of all of them."""
    every = tuple(models)
    lines = [line for metric in ServerMetric for line in _family(metric, every)]
    return ("\n".join(lines) + "\n").encode()


def _family(metric: ServerMetric, models: Sequence[ModelMetrics]) -> Iterator[str]:
    kind, text = _HELP[metric]
    yield f"# HELP {metric} {text}"
    yield f"# TYPE {metric} {kind}"
    for model in models:
        yield from model.samples(metric)


def _histogram(labels: str, series: _Series) -> list[str]:
    lines, total = [], 0
    bounds = [*(f"{bound:g}" for bound in LATENCY_BUCKETS_SECONDS), "+Inf"]
    for bound, count in zip(bounds, series.buckets, strict=True):
        total += count
        lines.append(f'{ServerMetric.LATENCY}_bucket{{{labels},le="{bound}"}} {total}')
    lines.append(f"{ServerMetric.LATENCY}_sum{{{labels}}} {series.seconds:.9g}")
    lines.append(f"{ServerMetric.LATENCY}_count{{{labels}}} {total}")
    return lines


def _labels(**labels: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
