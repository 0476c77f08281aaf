"""Counters as plain numbers on the loop, rendered as Prometheus text when somebody asks."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from slipway.contract import (
    LATENCY_BUCKETS_SECONDS,
    ROW_BUCKETS,
    RUN_BUCKETS_SECONDS,
    Outcome,
    ServerMetric,
)
from slipway_server.usage import Usage

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_HELP: Final = {
    ServerMetric.REQUESTS: ("counter", "Inference requests by door, code and outcome."),
    ServerMetric.LATENCY: ("histogram", "From the request's last byte to its answer's first."),
    ServerMetric.NONFINITE: ("counter", "Answers refused because an output held NaN or infinity."),
    ServerMetric.INFLIGHT: ("gauge", "Inference requests that are not answered yet."),
    ServerMetric.QUEUED: ("gauge", "Inference requests that wait for the model."),
    ServerMetric.INFO: ("gauge", "What is served; always 1."),
    ServerMetric.STARTUP: ("gauge", "Seconds of each phase between start and ready."),
    ServerMetric.QUEUE: ("histogram", "Seconds that a request waited for its run."),
    ServerMetric.RUN: ("histogram", "Seconds of one run, which several requests may share."),
    ServerMetric.ROWS: ("histogram", "Rows of one run."),
    ServerMetric.CPU: ("counter", "CPU seconds of this process."),
    ServerMetric.RESIDENT: ("gauge", "Memory of this process."),
    ServerMetric.WORKING_SET: ("gauge", "Memory of the container without inactive file pages."),
    ServerMetric.MEMORY_LIMIT: ("gauge", "The container's memory limit."),
    ServerMetric.CPU_LIMIT: ("gauge", "The container's CPU limit."),
    ServerMetric.PERIODS: ("counter", "Periods in which the CPU limit was in force."),
    ServerMetric.THROTTLED_PERIODS: ("counter", "Periods in which the container was stopped."),
    ServerMetric.THROTTLED: ("counter", "Seconds that the container's threads were stopped."),
}


class Histogram:
    """Counts by bucket, and the sum. What is measured is far below a microsecond a value."""

    __slots__ = ("bounds", "buckets", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value; one that equals a bound belongs below it."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.buckets)

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """As Prometheus reads it."""
        total = 0
        bounds = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        for bound, count in zip(bounds, self.buckets, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self.total:.9g}"
        yield f"{name}_count{{{labels}}} {total}"


class _Series(Histogram):
    """Latencies of one door and code."""

    __slots__ = ("outcome",)

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(LATENCY_BUCKETS_SECONDS)
        self.outcome = outcome


class RunMetrics:
    """What a batcher counts.

    Attributes:
        queue: seconds, of requests that came to a run.
        seconds, rows: of runs.
    """

    __slots__ = ("queue", "rows", "seconds")

    def __init__(self) -> None:
        self.queue = Histogram(RUN_BUCKETS_SECONDS)
        self.seconds = Histogram(RUN_BUCKETS_SECONDS)
        self.rows = Histogram(ROW_BUCKETS)


class ModelMetrics:
    """All numbers of one model. Used on the loop's thread only.

    Attributes:
        in_flight: requests taken and not answered; the doors count it up and down.
        nonfinite: answers refused for NaN or infinity.
        startup: seconds by phase.
        runs: counted by the batcher.
    """

    def __init__(self, model: str, *, queued: Callable[[], int]) -> None:
        self.in_flight = 0
        self.nonfinite = 0
        self.startup: dict[str, float] = {}
        self.runs = RunMetrics()
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
        series.add(seconds)

    def samples(self, metric: ServerMetric) -> Iterator[str]:
        """The lines of one metric."""
        model = _labels(model=self._model)
        if metric is ServerMetric.REQUESTS:
            for (door, code), series in self._series.items():
                labels = f"{model},{_labels(door=door, code=str(code), outcome=series.outcome)}"
                yield f"{metric}{{{labels}}} {series.count}"
        elif metric is ServerMetric.LATENCY:
            for (door, code), series in self._series.items():
                labels = f"{model},{_labels(door=door, code=str(code))}"
                yield from series.lines(metric, labels)
        elif metric is ServerMetric.INFO:
            yield f"{metric}{{{_labels(model=self._model, **self._info)}}} 1"
        elif metric is ServerMetric.STARTUP:
            for phase, seconds in self.startup.items():
                yield f"{metric}{{{model},{_labels(phase=phase)}}} {seconds:.6g}"
        elif metric in (ServerMetric.QUEUE, ServerMetric.RUN, ServerMetric.ROWS):
            yield from self._of_runs(metric).lines(metric, model)
        else:
            yield f"{metric}{{{model}}} {self._number(metric)}"

    def _of_runs(self, metric: ServerMetric) -> Histogram:
        runs = self.runs
        known = {ServerMetric.QUEUE: runs.queue, ServerMetric.RUN: runs.seconds}
        return known.get(metric, runs.rows)

    def _number(self, metric: ServerMetric) -> int:
        return {
            ServerMetric.NONFINITE: self.nonfinite,
            ServerMetric.INFLIGHT: self.in_flight,
            ServerMetric.QUEUED: self._queued(),
        }[metric]


def render(models: Iterable[ModelMetrics], usage: Usage) -> bytes:
    """Prometheus text format 0.0.4.

    Args:
        models: what each of them counted.
        usage: what they use together; of what is ``None`` there is no line.
    """
    every, shared = tuple(models), _shared(usage)
    lines = []
    for metric in ServerMetric:
        if metric not in shared:
            found = [line for model in every for line in model.samples(metric)]
        elif shared[metric] is None:
            continue
        else:
            found = [f"{metric} {shared[metric]:.15g}"]
        kind, text = _HELP[metric]
        lines += [f"# HELP {metric} {text}", f"# TYPE {metric} {kind}", *found]
    return ("\n".join(lines) + "\n").encode()


def _shared(usage: Usage) -> dict[ServerMetric, float | None]:
    return {
        ServerMetric.CPU: usage.cpu_seconds,
        ServerMetric.RESIDENT: usage.resident,
        ServerMetric.WORKING_SET: usage.working_set,
        ServerMetric.MEMORY_LIMIT: usage.memory_limit,
        ServerMetric.CPU_LIMIT: usage.cpu_limit,
        ServerMetric.PERIODS: usage.periods,
        ServerMetric.THROTTLED_PERIODS: usage.throttled_periods,
        ServerMetric.THROTTLED: usage.throttled_seconds,
    }


def _labels(**labels: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
