"""One gate held against one variant's figures. Pure."""

from dataclasses import dataclass
from typing import Final

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.validation import LABEL_METRICS, Gate, GateMetric, Task, Validation
from slipway.artifacts.manifest import GateResult, Verdict
from slipway_optimizer.failures import Refused
from slipway_optimizer.metrics import Paired

_DEFAULT: Final = "default"
_DEFAULT_LOSS: Final = "0.01"
_DEFAULT_ERROR_GROWTH: Final = 0.01  # share of the baseline's error


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the judgement rests on.

    Attributes:
        rows: rows that judged.
        labelled: whether they have labels; otherwise closeness to the source decides.
    """

    rows: int
    labelled: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of one variant; ``None`` is *not measured*.

    Attributes:
        score: the task's metric on the rows that judge.
        paired: its difference from the baseline, ``None`` for the baseline itself.
        sqnr_db: of the judged output against the baseline's; infinite when equal.
        agreement: share of equal answers.
        ratio, ratio_upper: of latency, 1.0 for the baseline.
        failure: reason and sentence, when it cannot be served whatever its figures.
    """

    name: str
    recipe: str
    size_bytes: int | None = None
    score: float | None = None
    paired: Paired | None = None
    sqnr_db: float | None = None
    agreement: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    ratio: float | None = None
    ratio_upper: float | None = None
    failure: tuple[str, str] | None = None


def held_gates(validation: Validation, baseline: Facts, evidence: Evidence) -> tuple[Gate, ...]:
    """The user's gates, and where none of them bounds quality, a default one that does.

    The default: at most a point of accuracy, or 1 % more error. Quality is never left open, since
    recipes that halve the latency can also lose nine answers of ten.
    """
    gates = validation.gates
    if not evidence.labelled or any(is_quality(gate.metric) for gate in gates):
        return gates
    if validation.task is Task.CLASSIFICATION:
        accuracy = GateMetric.ACCURACY
        return (*gates, Gate(name=_DEFAULT, metric=accuracy, max_degradation=_DEFAULT_LOSS))
    growth = f"{_DEFAULT_ERROR_GROWTH * (baseline.score or 0.0):.9f}"
    error = GateMetric.MEAN_ABSOLUTE_ERROR
    return (*gates, Gate(name=_DEFAULT, metric=error, max_degradation=growth))


def metric_of(task: Task) -> GateMetric | None:
    """What labels of that task are judged by."""
    match task:
        case Task.CLASSIFICATION:
            return GateMetric.ACCURACY
        case Task.REGRESSION:
            return GateMetric.MEAN_ABSOLUTE_ERROR
        case Task.NONE:
            return None


def check_gates(validation: Validation) -> None:
    """Refuse gates on what the task does not measure.

    Raises:
        Refused: ``GateInvalid``.
    """
    metric = metric_of(validation.task)
    for gate in validation.gates:
        if is_quality(gate.metric) and gate.metric is not metric:
            measured = f"is judged by {metric}" if metric else "has no labels"
            raise Refused(
                "GateInvalid",
                f"gate {gate.name} is on {gate.metric}, but task {validation.task} {measured}: "
                "set validation.task, or another metric",
            )


def is_quality(metric: str) -> bool:
    """Whether a metric speaks of the model itself, not of how it is encoded."""
    return metric in LABEL_METRICS


def evaluate(gate: Gate, facts: Facts, *, baseline: Facts, rows: int) -> GateResult:
    """Hold a gate. A degradation bound narrower than the noise is inconclusive, never a pass."""
    value = _value(gate.metric, facts)
    if gate.metric is GateMetric.SQNR_DB and facts is baseline:
        verdict, message = Verdict.PASSED, "the baseline itself has no distance from itself"
    elif value is None:
        verdict, message = Verdict.INCONCLUSIVE, f"{gate.metric} was not measured"
    else:
        verdict, message = _hold(gate, value, _Held(facts, baseline, rows))
    return GateResult(
        name=gate.name,
        metric=gate.metric,
        value=value,
        bound=_bound(gate),
        verdict=verdict,
        message=f"{message} (gate {gate.name})",
    )


@dataclass(frozen=True, slots=True)
class _Held:
    facts: Facts
    baseline: Facts
    rows: int


def _hold(gate: Gate, value: float, held: _Held) -> tuple[Verdict, str]:
    shown = f"{gate.metric} {_number(value)}"
    if gate.metric in LABEL_METRICS:
        shown += f" on {held.rows} rows"
    if gate.min is not None and value < float(parse_decimal(gate.min)):
        return Verdict.FAILED, f"{shown} is below min {gate.min}"
    if gate.max is not None and value > float(parse_decimal(gate.max)):
        return Verdict.FAILED, f"{shown} is above max {gate.max}"
    if gate.max_degradation is None or held.facts is held.baseline:
        return Verdict.PASSED, f"{shown} is within {_bound(gate)}"
    return _hold_degradation(gate, held.facts, held.baseline, shown)


def _hold_degradation(gate: Gate, facts: Facts, baseline: Facts, shown: str) -> tuple[Verdict, str]:
    allowed = float(parse_decimal(gate.max_degradation or "0"))
    if gate.metric is GateMetric.SQNR_DB:
        remedy = "use min: the source has no distance from itself"
        return Verdict.INCONCLUSIVE, f"sqnr_db cannot degrade by {gate.max_degradation}: {remedy}"
    if gate.metric in LABEL_METRICS:
        if facts.paired is None:
            return Verdict.INCONCLUSIVE, f"{gate.metric} was not measured on the same rows"
        sign = -1 if gate.metric is GateMetric.ACCURACY else 1
        worse, noise = sign * facts.paired.delta, facts.paired.noise
    else:
        value, before = _value(gate.metric, facts), _value(gate.metric, baseline)
        if value is None or before is None:
            return Verdict.INCONCLUSIVE, f"{gate.metric} was not measured on both"
        worse, noise = value - before, 0.0
    compared = f"{shown} is {_comparison(worse)} fp32"
    if worse > allowed:
        return Verdict.FAILED, f"{compared}, maxDegradation is {gate.max_degradation}"
    if noise > allowed:
        return Verdict.INCONCLUSIVE, (
            f"{compared}, but maxDegradation {gate.max_degradation} is narrower than the noise "
            f"of {_number(noise)}: add rows or widen the gate"
        )
    return Verdict.PASSED, f"{compared}, within maxDegradation {gate.max_degradation}"


def _comparison(worse: float) -> str:
    if worse == 0:
        return "as good as"
    return f"{_number(abs(worse))} {'worse' if worse > 0 else 'better'} than"


def _value(metric: GateMetric, facts: Facts) -> float | None:
    match metric:
        case GateMetric.ACCURACY | GateMetric.MEAN_ABSOLUTE_ERROR:
            return facts.score
        case GateMetric.SQNR_DB:
            return facts.sqnr_db
        case GateMetric.LATENCY_P95_MS:
            return facts.p95_ms
        case GateMetric.LATENCY_RATIO:
            return facts.ratio_upper  # a claim of speed is a bound
        case GateMetric.SIZE_BYTES:
            return None if facts.size_bytes is None else float(facts.size_bytes)


def _bound(gate: Gate) -> str:
    parts = (("min", gate.min), ("max", gate.max), ("maxDegradation", gate.max_degradation))
    return ", ".join(f"{name} {value}" for name, value in parts if value is not None)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
