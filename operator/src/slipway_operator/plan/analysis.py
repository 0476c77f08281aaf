"""Is the canary as good as stable? Samples -> verdicts with numbers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from slipway.api.quantity import format_number, parse_decimal
from slipway.api.v1alpha1.rollout import (
    Analysis,
    AnalysisMetric,
    AnalysisMetricName,
    NoDataPolicy,
)
from slipway.api.v1alpha1.status import AnalysisStatus
from slipway.artifacts.manifest import Verdict
from slipway.tasks import ReplayReport
from slipway_operator.plan.observed import Window

DEFAULT_METRICS = (
    AnalysisMetric(name=AnalysisMetricName.SUCCESS_RATE, min="99"),
    AnalysisMetric(name=AnalysisMetricName.LATENCY_P95, max_increase_percent_over_stable=50),
    AnalysisMetric(name=AnalysisMetricName.PREDICTION_AGREEMENT, min="95"),
)
# A difference below this many milliseconds is noise on any shared node.
_LATENCY_NOISE_MS = 2.0
_UNIT = {
    AnalysisMetricName.SUCCESS_RATE: "%",
    AnalysisMetricName.LATENCY_P95: " ms",
    AnalysisMetricName.PREDICTION_AGREEMENT: "%",
}


@dataclass(frozen=True, slots=True)
class Samples:
    """What there is to judge: requests of this step, and the replay when it is done."""

    canary: Window | None
    stable: Window | None
    replay: ReplayReport | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The worst verdict of all metrics, with each."""

    verdict: Verdict
    metrics: tuple[AnalysisStatus, ...]

    @property
    def message(self) -> str:
        """``request-success-rate 100% (>=99%), latency-p95 11 ms (<=21.6 ms), ...``."""
        return ", ".join(
            f"{m.name} {m.value or 'unknown'} ({m.threshold}"
            + (f", {m.verdict}: {m.message})" if m.message else ")")
            for m in self.metrics
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    value: float | None
    stable: float | None
    samples: int
    missing: str


def metrics_of(analysis: Analysis) -> tuple[AnalysisMetric, ...]:
    """The metrics asked for, or the defaults."""
    return analysis.metrics or DEFAULT_METRICS


def needs_replay(analysis: Analysis) -> bool:
    """Whether stored feeds have to be replayed for this analysis."""
    return analysis.no_data_policy is NoDataPolicy.REPLAY or any(
        metric.name is AnalysisMetricName.PREDICTION_AGREEMENT for metric in metrics_of(analysis)
    )


def judge(analysis: Analysis, samples: Samples) -> Judgement:
    """Judge every metric. One failure fails; else one without data is inconclusive."""
    results = tuple(_judge_one(metric, analysis, samples) for metric in metrics_of(analysis))
    verdicts = {result.verdict for result in results}
    for worst in (Verdict.FAILED, Verdict.INCONCLUSIVE):
        if worst in verdicts:
            return Judgement(worst, results)
    return Judgement(Verdict.PASSED, results)


def bounds(metric: AnalysisMetric, stable: float | None) -> tuple[float | None, float | None]:
    """(least, greatest) acceptable value of a metric, given the stable revision's value.

    Worked example: ``max: "25"`` and ``maxIncreasePercentOverStable: 20`` with stable at 18
    -> (None, 21.6). A latency bound relative to stable never lies closer than 2 ms to it.
    """
    least = float(parse_decimal(metric.min)) if metric.min is not None else None
    greatest = float(parse_decimal(metric.max)) if metric.max is not None else None
    percent = metric.max_increase_percent_over_stable
    if percent is not None and stable is not None:
        relative = stable * (1 + percent / 100)
        if metric.name is AnalysisMetricName.LATENCY_P95:
            relative = max(relative, stable + _LATENCY_NOISE_MS)
        greatest = relative if greatest is None else min(greatest, relative)
    return least, greatest


def _judge_one(metric: AnalysisMetric, analysis: Analysis, samples: Samples) -> AnalysisStatus:
    reading = _read(metric.name, analysis, samples)
    least, greatest = bounds(metric, reading.stable)
    threshold = _threshold(metric, least, greatest)
    relative_unknown = (
        metric.max_increase_percent_over_stable is not None and reading.stable is None
    )
    if reading.value is None or relative_unknown:
        failed = analysis.no_data_policy is NoDataPolicy.FAIL
        return AnalysisStatus(
            name=metric.name,
            threshold=threshold,
            verdict=Verdict.FAILED if failed else Verdict.INCONCLUSIVE,
            samples=reading.samples,
            message=reading.missing,
        )
    good = _within(reading.value, least, greatest)
    live = _live(metric.name, samples.canary)
    if good and live is not None and not _within(live, least, greatest):
        # Too few to judge by, but enough to doubt what was replayed: wait for more.
        seen = samples.canary.requests if samples.canary else 0
        return AnalysisStatus(
            name=metric.name,
            value=_text(metric.name, live),
            threshold=threshold,
            verdict=Verdict.INCONCLUSIVE,
            samples=seen,
            message=f"outside its bound, but {seen} of {analysis.min_requests} requests only",
        )
    return AnalysisStatus(
        name=metric.name,
        value=_text(metric.name, reading.value),
        threshold=threshold,
        verdict=Verdict.PASSED if good else Verdict.FAILED,
        samples=reading.samples,
        message="" if good else "outside its bound",
    )


def _within(value: float, least: float | None, greatest: float | None) -> bool:
    return (least is None or value >= least) and (greatest is None or value <= greatest)


def _live(name: AnalysisMetricName, canary: Window | None) -> float | None:
    """What users' requests say, however few they are."""
    if canary is None or not canary.requests or name is AnalysisMetricName.PREDICTION_AGREEMENT:
        return None
    return _success(canary) if name is AnalysisMetricName.SUCCESS_RATE else canary.p95_ms


def _read(name: AnalysisMetricName, analysis: Analysis, samples: Samples) -> _Reading:
    if name is AnalysisMetricName.PREDICTION_AGREEMENT:
        return _agreement(samples.replay)
    canary, stable = samples.canary, samples.stable
    seen = canary.requests if canary else 0
    if seen < analysis.min_requests or canary is None:
        missing = f"{seen} of {analysis.min_requests} requests that it needs"
        if analysis.no_data_policy is not NoDataPolicy.REPLAY:
            return _Reading(None, None, seen, missing)
        if samples.replay is None:
            return _Reading(None, None, seen, f"{missing}, and the replay is not done")
        return _from_replay(name, samples.replay)
    if name is AnalysisMetricName.SUCCESS_RATE:
        return _Reading(
            _success(canary), _success(stable) if stable and stable.requests else None, seen, ""
        )
    replayed = samples.replay.stable_p95_ms if samples.replay else None
    reference = stable.p95_ms if stable and stable.requests >= analysis.min_requests else replayed
    return _Reading(canary.p95_ms, reference, seen, "too few requests to stable to compare with")


def _success(window: Window) -> float:
    return 100 * (window.requests - window.errors) / window.requests


def _from_replay(name: AnalysisMetricName, replay: ReplayReport) -> _Reading:
    if name is AnalysisMetricName.SUCCESS_RATE:
        good = replay.samples - replay.canary_errors
        stable = replay.samples - replay.stable_errors
        value = 100 * good / replay.samples if replay.samples else None
        reference = 100 * stable / replay.samples if replay.samples else None
        return _Reading(value, reference, replay.samples, "the replay had no samples")
    return _Reading(
        replay.canary_p95_ms,
        replay.stable_p95_ms,
        replay.samples,
        "the replay measured no latency",
    )


def _agreement(replay: ReplayReport | None) -> _Reading:
    if replay is None:
        return _Reading(None, None, 0, "the replay is not done")
    compared = replay.samples - replay.stable_errors
    if compared <= 0:
        return _Reading(None, None, 0, "stable answered none of the replayed feeds")
    return _Reading(100 * replay.agreeing / compared, 100.0, compared, "")


def _threshold(metric: AnalysisMetric, least: float | None, greatest: float | None) -> str:
    parts = []
    if least is not None:
        parts.append(f">={_text(metric.name, least)}")
    if greatest is not None:
        parts.append(f"<={_text(metric.name, greatest)}")
    if metric.max_increase_percent_over_stable is not None:
        parts.append(f"stable+{metric.max_increase_percent_over_stable}%")
    return " ".join(parts)


def _text(name: AnalysisMetricName, value: float) -> str:
    return format_number(value) + _UNIT[name]


def summary(windows: Mapping[str, Window], canary: str, stable: str) -> str:
    """``412 requests, success 100%, p95 11 ms vs 18 ms`` for status messages."""
    mine, other = windows.get(canary), windows.get(stable)
    if mine is None or not mine.requests:
        return "no requests yet"
    text = f"{mine.requests} requests, success {format_number(_success(mine))}%"
    if mine.p95_ms is not None:
        text += f", p95 {format_number(mine.p95_ms)} ms"
        if other is not None and other.p95_ms is not None:
            text += f" vs {format_number(other.p95_ms)} ms"
    return text
