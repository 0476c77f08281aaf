"""Gates against figures."""

from dataclasses import replace
from typing import Any

import pytest

from slipway.api.v1alpha1.validation import Gate, GateMetric, Task, Validation, ValidationDataset
from slipway.artifacts.manifest import Verdict
from slipway.errors import Invalid
from slipway_optimizer.gates import (
    Against,
    Evidence,
    Facts,
    Scored,
    check_gates,
    evaluate,
    held_gates,
)
from slipway_optimizer.metrics import Paired

ROWS = 400
BASELINE = Facts(
    name="fp32", recipe="fp32", size_bytes=1000, score=0.95, p50_ms=10, p95_ms=12, ratio=1.0,
    ratio_upper=1.0,
)  # fmt: skip


def variant(delta: float = 0.0, noise: float = 0.004, **more: Any) -> Facts:
    facts = replace(
        BASELINE,
        name="int8",
        score=0.95 + delta,
        paired=Paired(delta, noise, ROWS),
        sqnr_db=35.0,
        ratio=0.5,
        ratio_upper=0.6,
    )
    return replace(facts, **more)


def gate(metric: str, **bounds: str) -> Gate:
    return Gate.model_validate({"name": "g", "metric": metric, **bounds})


@pytest.mark.parametrize(
    ("held", "facts", "verdict", "message"),
    [
        pytest.param(
            gate("accuracy", min="0.9"), variant(), Verdict.PASSED,
            "accuracy 0.95 on 400 rows is within min 0.9 (gate g)", id="above min",
        ),
        pytest.param(
            gate("accuracy", min="0.96"), variant(), Verdict.FAILED,
            "accuracy 0.95 on 400 rows is below min 0.96 (gate g)", id="below min",
        ),
        pytest.param(
            gate("accuracy", maxDegradation="0.01"), variant(-0.005), Verdict.PASSED,
            "accuracy 0.945 on 400 rows is 0.005 worse than fp32, within maxDegradation 0.01 "
            "(gate g)", id="small loss",
        ),
        pytest.param(
            gate("accuracy", maxDegradation="0.01"), variant(-0.02), Verdict.FAILED,
            "accuracy 0.93 on 400 rows is 0.02 worse than fp32, maxDegradation is 0.01 (gate g)",
            id="large loss",
        ),
        pytest.param(
            gate("accuracy", maxDegradation="0.001"), variant(0.0), Verdict.INCONCLUSIVE,
            "accuracy 0.95 on 400 rows is as good as fp32, but maxDegradation 0.001 is "
            "narrower than the noise of 0.004: add rows or widen the gate (gate g)",
            id="narrower than the noise",
        ),
        pytest.param(
            gate("latency_ratio", max="0.55"), variant(), Verdict.FAILED,
            "latency_ratio 0.6 is above max 0.55 (gate g)", id="a claim of speed is its bound",
        ),
        pytest.param(
            gate("latency_p95_ms", max="5"), variant(), Verdict.FAILED,
            "latency_p95_ms 12 is above max 5 (gate g)", id="latency",
        ),
        pytest.param(
            gate("size_bytes", maxDegradation="100"), variant(size_bytes=1200), Verdict.FAILED,
            "size_bytes 1200 is 200 worse than fp32, maxDegradation is 100 (gate g)", id="size",
        ),
        pytest.param(
            gate("sqnr_db", min="30"), variant(), Verdict.PASSED,
            "sqnr_db 35 is within min 30 (gate g)", id="closeness",
        ),
        pytest.param(
            gate("latency_p95_ms", max="5"), replace(variant(), p95_ms=None), Verdict.INCONCLUSIVE,
            "latency_p95_ms was not measured (gate g)", id="no data is no pass",
        ),
    ],
)  # fmt: skip
def test_a_gate_is_held(held: Gate, facts: Facts, verdict: Verdict, message: str) -> None:
    result = evaluate(held, facts, baseline=BASELINE, rows=ROWS)
    assert (result.verdict, result.message) == (verdict, message)


def test_more_error_is_worse_in_regression() -> None:
    facts = replace(variant(), score=1.2, paired=Paired(0.2, 0.01, ROWS))
    held = gate("mean_absolute_error", maxDegradation="0.1")
    assert evaluate(held, facts, baseline=BASELINE, rows=ROWS).verdict is Verdict.FAILED


@pytest.mark.parametrize("metric", ["accuracy", "sqnr_db"])
def test_the_baseline_has_no_distance_from_itself(metric: str) -> None:
    held = gate(metric, maxDegradation="0.001")
    assert evaluate(held, BASELINE, baseline=BASELINE, rows=ROWS).verdict is Verdict.PASSED


def labelled(*gates: Gate, task: Task = Task.CLASSIFICATION) -> Validation:
    dataset = ValidationDataset(storage_uri="file:///d.npz")
    return Validation(dataset=dataset, task=task, gates=gates)


def test_quality_is_never_left_open() -> None:
    latency = gate("latency_p95_ms", max="5")
    gates = held_gates(labelled(latency), BASELINE, Evidence(ROWS, labelled=True))
    assert [(g.metric, g.max_degradation) for g in gates] == [
        (GateMetric.LATENCY_P95_MS, None),
        (GateMetric.ACCURACY, "0.01"),
    ]


def test_the_default_for_regression_is_a_percent_of_the_error() -> None:
    evidence = Evidence(ROWS, labelled=True)
    (held,) = held_gates(labelled(task=Task.REGRESSION), replace(BASELINE, score=2.0), evidence)
    assert (held.metric, held.max_degradation) == (GateMetric.MEAN_ABSOLUTE_ERROR, "0.020000000")


def test_users_gates_on_quality_and_unlabelled_rows_get_no_default() -> None:
    own = gate("accuracy", min="0.5")
    assert held_gates(labelled(own), BASELINE, Evidence(ROWS, labelled=True)) == (own,)
    assert held_gates(Validation(), BASELINE, Evidence(ROWS, labelled=False)) == ()


@pytest.mark.parametrize(
    ("metric", "task", "words"),
    [
        ("accuracy", Task.REGRESSION, "is judged by mean_absolute_error"),
        ("mean_absolute_error", Task.NONE, "has no labels"),
    ],
)
def test_a_gate_on_what_the_task_does_not_measure_is_refused(
    metric: str, task: Task, words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        check_gates(labelled(gate(metric, min="1"), task=task))


def scored(value: float, *, delta: float | None = None, noise: float = 0.001) -> Facts:
    difference = None if delta is None else Paired(delta, noise, ROWS)
    return variant(scores={GateMetric.F1: Scored(value, difference)}, cosine=0.995, agreement=0.97)


@pytest.mark.parametrize(
    ("held", "facts", "verdict"),
    [
        pytest.param(gate("f1", min="0.8"), scored(0.81), Verdict.PASSED, id="f1 above min"),
        pytest.param(gate("f1", min="0.8"), scored(0.79), Verdict.FAILED, id="f1 below min"),
        pytest.param(gate("auc", min="0.8"), scored(0.9), Verdict.INCONCLUSIVE, id="not measured"),
        pytest.param(
            gate("f1", maxDegradation="0.01"), scored(0.8, delta=-0.02), Verdict.FAILED, id="lost"
        ),
        pytest.param(
            gate("f1", maxDegradation="0.01"), scored(0.8, delta=0.02), Verdict.PASSED, id="gained"
        ),
        pytest.param(
            gate("f1", maxDegradation="0.01"), scored(0.8, delta=0.0, noise=0.05),
            Verdict.INCONCLUSIVE, id="narrower than the noise",
        ),
        pytest.param(
            gate("f1", maxDegradation="0.01"), scored(0.8), Verdict.INCONCLUSIVE, id="not paired"
        ),
        pytest.param(gate("cosine", min="0.99"), scored(0.8), Verdict.PASSED, id="close"),
        pytest.param(gate("agreement", min="0.99"), scored(0.8), Verdict.FAILED, id="disagrees"),
        pytest.param(
            gate("cosine", maxDegradation="0.1"), scored(0.8), Verdict.INCONCLUSIVE,
            id="a distance has nothing to degrade from",
        ),
        pytest.param(
            gate("throughput", maxDegradation="5"), variant(throughput=94.0), Verdict.FAILED,
            id="fewer rows a second is worse",
        ),
        pytest.param(
            gate("throughput", maxDegradation="5"), variant(throughput=200.0), Verdict.PASSED,
            id="more is not",
        ),
        pytest.param(
            gate("memory_bytes", max="100"), variant(memory_bytes=101), Verdict.FAILED, id="memory"
        ),
        pytest.param(gate("load_ms", max="100"), variant(load_ms=99.0), Verdict.PASSED, id="load"),
        pytest.param(gate("cost_per_1000", max="0.1"), variant(cost=0.2), Verdict.FAILED),
    ],
)  # fmt: skip
def test_further_metrics_are_held_in_their_own_direction(
    held: Gate, facts: Facts, verdict: Verdict
) -> None:
    baseline = replace(BASELINE, throughput=100.0)
    assert evaluate(held, facts, baseline=baseline, rows=ROWS).verdict is verdict


@pytest.mark.parametrize("metric", ["sqnr_db", "cosine", "agreement"])
def test_the_baseline_keeps_every_distance_from_itself(metric: str) -> None:
    found = evaluate(gate(metric, min="0.99"), BASELINE, baseline=BASELINE, rows=ROWS)
    assert found.verdict is Verdict.PASSED


def test_a_gate_must_suit_the_task() -> None:
    dataset = ValidationDataset(storage_uri="file:///d.npz")
    for task, metric in ((Task.CLASSIFICATION, "f1"), (Task.REGRESSION, "r2")):
        check_gates(Validation(task=task, dataset=dataset, gates=(gate(metric, min="0.5"),)))
    with pytest.raises(Invalid, match="is judged by accuracy, precision, recall, f1, auc, top5"):
        check_gates(Validation(dataset=dataset, gates=(gate("r2", min="0.5"),)))


STABLE = Facts(name="stable", recipe="", size_bytes=500, score=0.97, p95_ms=6)
BY_STABLE = {"maxDegradation": "0.01", "against": "Stable"}


def against(metric: GateMetric, delta: float, noise: float = 0.004) -> Against:
    return Against(STABLE, {metric: Paired(delta, noise, ROWS)})


@pytest.mark.parametrize(
    ("held", "facts", "verdict", "message"),
    [
        pytest.param(
            gate("accuracy", **BY_STABLE),
            variant(stable=against(GateMetric.ACCURACY, -0.02)), Verdict.FAILED,
            "accuracy 0.95 on 400 rows is 0.02 worse than the stable revision, maxDegradation is "
            "0.01 (gate g)", id="as good as its source, which is worse than the served",
        ),
        pytest.param(
            gate("accuracy", **BY_STABLE),
            variant(-0.02, stable=against(GateMetric.ACCURACY, 0.005)), Verdict.PASSED,
            "accuracy 0.93 on 400 rows is 0.005 better than the stable revision, within "
            "maxDegradation 0.01 (gate g)", id="worse than its source, better than what is served",
        ),
        pytest.param(
            gate("accuracy", **BY_STABLE),
            variant(stable=against(GateMetric.ACCURACY, 0.0, noise=0.02)), Verdict.INCONCLUSIVE,
            "accuracy 0.95 on 400 rows is as good as the stable revision, but maxDegradation 0.01 "
            "is narrower than the noise of 0.02: add rows or widen the gate (gate g)", id="noise",
        ),
        pytest.param(
            gate("accuracy", **BY_STABLE), variant(-0.005), Verdict.PASSED,
            "accuracy 0.945 on 400 rows is 0.005 worse than fp32, within maxDegradation 0.01; "
            "there is no stable revision yet, so it was held to the source (gate g)", id="first",
        ),
        pytest.param(
            gate("accuracy", **BY_STABLE), variant(stable=Against(None, problem="it is gone")),
            Verdict.INCONCLUSIVE,
            "the stable revision cannot be compared (it is gone): hold the gate against Source "
            "(gate g)", id="gone",
        ),
        pytest.param(
            gate("latency_p95_ms", maxDegradation="3", against="Stable"),
            variant(stable=Against(STABLE)), Verdict.FAILED,
            "latency_p95_ms 12 is 6 worse than the stable revision, maxDegradation is 3 (gate g)",
            id="slower than what is served",
        ),
        pytest.param(
            gate("cosine", **BY_STABLE), variant(cosine=0.99, stable=Against(STABLE)),
            Verdict.INCONCLUSIVE,
            "cosine cannot degrade by 0.01: use min: the source has no distance from itself "
            "(gate g)", id="a distance",
        ),
    ],
)  # fmt: skip
def test_a_gate_against_the_stable_revision(
    held: Gate, facts: Facts, verdict: Verdict, message: str
) -> None:
    result = evaluate(held, facts, baseline=BASELINE, rows=ROWS)
    assert (result.verdict, result.message) == (verdict, message)


def test_fp32_itself_is_held_to_the_stable_revision() -> None:
    own = replace(BASELINE, stable=against(GateMetric.ACCURACY, -0.03))
    result = evaluate(gate("accuracy", **BY_STABLE), own, baseline=own, rows=ROWS)
    assert result.verdict is Verdict.FAILED
    first = evaluate(gate("accuracy", **BY_STABLE), BASELINE, baseline=BASELINE, rows=ROWS)
    assert first.verdict is Verdict.PASSED
    assert "there is no stable revision yet" in first.message
