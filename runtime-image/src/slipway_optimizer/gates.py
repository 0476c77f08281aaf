"""One gate held against one variant's figures. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.validation import (
    CLASSIFICATION_METRICS,
    LABEL_METRICS,
    REGRESSION_METRICS,
    Gate,
    GateMetric,
    Reference,
    Task,
    Validation,
)
from slipway.artifacts.manifest import GateResult, Verdict
from slipway_optimizer.failures import Refused
from slipway_optimizer.metrics import Paired
from slipway_optimizer.scores import LOWER_IS_BETTER, Group

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
class Scored:
    """A further figure that labels tell, and its difference from the baseline's."""

    value: float
    paired: Paired | None = None


@dataclass(frozen=True, slots=True)
class Against:
    """What was measured of the stable revision's artifact, beside a variant.

    Attributes:
        facts: its own; ``None`` when it could not be measured.
        paired: label metric -> the variant's difference from it, on the same rows.
        problem: why it could not be measured.
    """

    facts: "Facts | None"
    paired: Mapping[GateMetric, Paired] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of one variant; ``None`` is *not measured*.

    Attributes:
        score: the task's metric on the rows that judge.
        paired: its difference from the baseline, ``None`` for the baseline itself.
        sqnr_db: of the judged output against the baseline's; infinite when equal.
        agreement: share of equal answers.
        cosine: the mean of rows with the baseline's.
        scores: the label metrics beside ``score``.
        ratio, ratio_upper: of latency, 1.0 for the baseline.
        p99_ms, samples_ms: of the same runs as ``p95_ms``.
        throughput: rows a second, the best of what was tried.
        throughput_upper: upper bound of the paired ratio of seconds per row; below 1 is faster.
        cost: of 1,000 predictions, in the currency of the price table.
        memory_bytes: resident, of a process that has loaded and run it.
        load_ms: from file to session.
        gzip_bytes: of the file, compressed.
        classes, slices: per-row scores by label and by the data set's slices, the worst first.
        stable: how it compares with what is served now; ``None``: no stable revision.
        failure: reason and sentence, when it cannot be served whatever its figures.
    """

    name: str
    recipe: str
    size_bytes: int | None = None
    score: float | None = None
    paired: Paired | None = None
    sqnr_db: float | None = None
    agreement: float | None = None
    cosine: float | None = None
    scores: Mapping[GateMetric, Scored] = field(default_factory=dict)
    p50_ms: float | None = None
    p95_ms: float | None = None
    ratio: float | None = None
    ratio_upper: float | None = None
    p99_ms: float | None = None
    samples_ms: tuple[float, ...] = ()
    throughput: float | None = None
    throughput_upper: float | None = None
    cost: float | None = None
    memory_bytes: int | None = None
    load_ms: float | None = None
    gzip_bytes: int | None = None
    classes: tuple[Group, ...] = ()
    slices: tuple[Group, ...] = ()
    stable: Against | None = None
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
    known = _METRICS_OF[validation.task]
    for gate in validation.gates:
        if is_quality(gate.metric) and gate.metric not in known:
            measured = f"is judged by {', '.join(known)}" if known else "has no labels"
            raise Refused(
                "GateInvalid",
                f"gate {gate.name} is on {gate.metric}, but task {validation.task} {measured}: "
                "set validation.task, or another metric",
            )


_METRICS_OF: Final[dict[Task, tuple[GateMetric, ...]]] = {
    Task.CLASSIFICATION: CLASSIFICATION_METRICS,
    Task.REGRESSION: REGRESSION_METRICS,
    Task.NONE: (),
}


def is_quality(metric: str) -> bool:
    """Whether a metric speaks of the model itself, not of how it is encoded."""
    return metric in LABEL_METRICS


def evaluate(gate: Gate, facts: Facts, *, baseline: Facts, rows: int) -> GateResult:
    """Hold a gate. A degradation bound narrower than the noise is inconclusive, never a pass."""
    value = _value(gate.metric, facts)
    if gate.metric in _DISTANCES and facts is baseline:
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


_DISTANCES: Final = (GateMetric.SQNR_DB, GateMetric.COSINE, GateMetric.AGREEMENT)


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
    by_stable = gate.against is Reference.STABLE and held.facts.stable is not None
    if gate.max_degradation is None or (held.facts is held.baseline and not by_stable):
        without = gate.against is Reference.STABLE and not by_stable
        return Verdict.PASSED, f"{shown} is within {_bound(gate)}{_NO_STABLE if without else ''}"
    verdict, message = _hold_degradation(gate, held.facts, held.baseline, shown)
    if gate.against is Reference.STABLE and not by_stable:
        message += _NO_STABLE
    return verdict, message


_NO_STABLE: Final = "; there is no stable revision yet, so it was held to the source"


def _hold_degradation(gate: Gate, facts: Facts, baseline: Facts, shown: str) -> tuple[Verdict, str]:
    reference, name = baseline, "fp32"
    against = facts.stable if gate.against is Reference.STABLE else None
    if against is not None:
        if against.facts is None:
            return Verdict.INCONCLUSIVE, (
                f"the stable revision cannot be compared ({against.problem}): hold the gate "
                "against Source"
            )
        reference, name = against.facts, "the stable revision"
    allowed = float(parse_decimal(gate.max_degradation or "0"))
    if gate.metric in _DISTANCES:
        remedy = "use min: the source has no distance from itself"
        return Verdict.INCONCLUSIVE, (
            f"{gate.metric} cannot degrade by {gate.max_degradation}: {remedy}"
        )
    sign = 1 if gate.metric in LOWER_IS_BETTER or gate.metric not in _HIGHER_IS_BETTER else -1
    if gate.metric in LABEL_METRICS:
        paired = _paired(gate.metric, facts) if against is None else against.paired.get(gate.metric)
        if paired is None:
            return Verdict.INCONCLUSIVE, f"{gate.metric} was not measured on the same rows"
        worse, noise = sign * paired.delta, paired.noise
    else:
        value, before = _value(gate.metric, facts), _value(gate.metric, reference)
        if value is None or before is None:
            return Verdict.INCONCLUSIVE, f"{gate.metric} was not measured on both"
        worse, noise = sign * (value - before), 0.0
    compared = f"{shown} is {_comparison(worse)} {name}"
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


_MAIN: Final = (GateMetric.ACCURACY, GateMetric.MEAN_ABSOLUTE_ERROR)
_HIGHER_IS_BETTER: Final = frozenset(
    {*CLASSIFICATION_METRICS, GateMetric.R2, GateMetric.THROUGHPUT}
)


def _paired(metric: GateMetric, facts: Facts) -> Paired | None:
    if metric in _MAIN:
        return facts.paired
    found = facts.scores.get(metric)
    return None if found is None else found.paired


def _value(metric: GateMetric, facts: Facts) -> float | None:
    if metric in LABEL_METRICS and metric not in _MAIN:
        found = facts.scores.get(metric)
        return None if found is None else found.value
    value = _PLAIN[metric](facts)
    return None if value is None else float(value)


_PLAIN: Final[dict[GateMetric, Callable[[Facts], float | int | None]]] = {
    GateMetric.ACCURACY: lambda f: f.score,
    GateMetric.MEAN_ABSOLUTE_ERROR: lambda f: f.score,
    GateMetric.SQNR_DB: lambda f: f.sqnr_db,
    GateMetric.COSINE: lambda f: f.cosine,
    GateMetric.AGREEMENT: lambda f: f.agreement,
    GateMetric.LATENCY_P95_MS: lambda f: f.p95_ms,
    GateMetric.LATENCY_RATIO: lambda f: f.ratio_upper,  # a claim of speed is a bound
    GateMetric.THROUGHPUT: lambda f: f.throughput,
    GateMetric.COST_PER_1000: lambda f: f.cost,
    GateMetric.MEMORY_BYTES: lambda f: f.memory_bytes,
    GateMetric.LOAD_MS: lambda f: f.load_ms,
    GateMetric.SIZE_BYTES: lambda f: f.size_bytes,
}


def _bound(gate: Gate) -> str:
    parts = (("min", gate.min), ("max", gate.max), ("maxDegradation", gate.max_degradation))
    return ", ".join(f"{name} {value}" for name, value in parts if value is not None)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
