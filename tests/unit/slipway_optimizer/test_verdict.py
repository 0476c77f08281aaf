"""The pick and its reasons."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.api.v1alpha1.optimization import Optimization
from slipway.api.v1alpha1.validation import Validation
from slipway.artifacts.manifest import Verdict
from slipway_optimizer.gates import Evidence, Facts
from slipway_optimizer.metrics import Paired
from slipway_optimizer.verdict import Judgement, judge

LABELLED = Evidence(400, labelled=True)
UNLABELLED = Evidence(64, labelled=False)
FP32 = Facts(
    name="fp32", recipe="fp32", size_bytes=1000, score=0.95, p50_ms=10, p95_ms=12, ratio=1.0,
    ratio_upper=1.0,
)  # fmt: skip
GOOD = Facts(
    name="good", recipe="static", size_bytes=300, score=0.95, paired=Paired(0.0, 0.004, 400),
    sqnr_db=35.0, agreement=1.0, p50_ms=5, p95_ms=6, ratio=0.5, ratio_upper=0.55,
)  # fmt: skip
DATASET = {"storageUri": "file:///d.npz"}


def decide(
    *variants: Facts,
    baseline: Facts = FP32,
    evidence: Evidence = LABELLED,
    optimization: dict[str, object] | None = None,
    gates: tuple[dict[str, str], ...] = (),
) -> Judgement:
    validation = {"gates": gates, "dataset": DATASET} if evidence.labelled else {"gates": gates}
    return judge(
        baseline,
        variants,
        evidence=evidence,
        optimization=Optimization.model_validate(optimization or {}),
        validation=Validation.model_validate(validation),
    )


def reasons(judgement: Judgement) -> dict[str, tuple[str, str]]:
    return {c.name: (c.verdict.value, c.reason) for c in judgement.report.candidates}


def test_the_fastest_that_passes_is_picked_and_praised_with_numbers() -> None:
    slower = replace(GOOD, name="slower", ratio=0.8, ratio_upper=0.85)
    judgement = decide(slower, GOOD)
    assert judgement.picked == "good"
    assert (judgement.report.verdict, judgement.report.reason) == (Verdict.PASSED, "GatesPassed")
    assert judgement.report.message == (
        "picked good: accuracy 0.95 on 400 rows, 0.50x latency (at most 0.55x), 0.30x size"
    )


def test_the_bound_decides_not_a_lucky_middle() -> None:
    lucky = replace(GOOD, name="lucky", ratio=0.4, ratio_upper=0.9)
    assert decide(lucky, GOOD).picked == "good"


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        pytest.param(
            {"ratio": 0.99, "ratio_upper": 1.03}, "Failed",
            "Slower: latency ratio 0.99, upper bound 1.03, is not within 1.02 of fp32", id="slow",
        ),
        pytest.param(
            {"score": 0.93, "paired": Paired(-0.02, 0.004, 400)}, "Failed",
            "AccuracyGateFailed: accuracy 0.93 on 400 rows is 0.02 worse than fp32, "
            "maxDegradation is 0.01 (gate default)", id="inaccurate",
        ),
        pytest.param(
            {"paired": Paired(0.0, 0.02, 400)}, "Inconclusive",
            "GateInconclusive: accuracy 0.95 on 400 rows is as good as fp32, but "
            "maxDegradation 0.01 is narrower than the noise of 0.02: add rows or widen the gate "
            "(gate default)", id="noise",
        ),
        pytest.param(
            {"failure": ("NonFiniteOutputs", "output 'p' is NaN in row 3")}, "Failed",
            "NonFiniteOutputs: output 'p' is NaN in row 3", id="broken",
        ),
        pytest.param(
            {"ratio": None, "ratio_upper": None}, "Failed",
            "NotMeasured: its latency was not measured, so it may be slower than fp32",
            id="never timed",
        ),
    ],
)  # fmt: skip
def test_what_speaks_against_a_variant_leaves_fp32(
    change: dict[str, object], verdict: str, reason: str
) -> None:
    judgement = decide(replace(GOOD, **change))  # type: ignore[arg-type]
    assert judgement.picked == "fp32"
    assert reasons(judgement)["good"] == (verdict, reason)
    assert f"rejected: good ({reason.partition(':')[0]})" in judgement.report.message


def test_on_failure_fail_refuses_fp32_too() -> None:
    slow = replace(GOOD, ratio=1.2, ratio_upper=1.3)
    judgement = decide(slow, optimization={"onFailure": "Fail"})
    assert judgement.picked is None
    assert (judgement.report.verdict, judgement.report.reason, judgement.report.message) == (
        Verdict.FAILED,
        "NoCandidatePassed",
        "no optimised variant passed and onFailure is Fail: good (Slower)",
    )


def test_on_failure_fail_says_when_noise_was_the_reason() -> None:
    noisy = replace(GOOD, paired=Paired(0.0, 0.02, 400))
    judgement = decide(noisy, optimization={"onFailure": "Fail"})
    assert (judgement.picked, judgement.report.reason) == (None, "GateInconclusive")


def test_a_bad_source_is_refused_whatever_its_variants_do() -> None:
    gate = {"name": "quality", "metric": "accuracy", "min": "0.97"}
    lucky = replace(GOOD, score=0.99)
    judgement = decide(lucky, gates=(gate,))
    message = "accuracy 0.95 on 400 rows is below min 0.97 (gate quality)"
    assert judgement.picked is None
    assert (judgement.report.reason, judgement.report.message) == ("AccuracyGateFailed", message)
    assert reasons(judgement) == {
        "fp32": ("Failed", f"AccuracyGateFailed: {message}"),
        "good": ("Failed", f"BaselineRefused: {message}"),
    }


def test_a_source_that_answers_nan_is_refused() -> None:
    broken = replace(FP32, failure=("NonFiniteOutputs", "output 'p' is NaN in row 0"))
    assert decide(baseline=broken).report.reason == "NonFiniteOutputs"


def test_a_variant_may_keep_a_latency_gate_that_fp32_breaks() -> None:
    gate = {"name": "fast", "metric": "latency_p95_ms", "max": "8"}
    assert decide(GOOD, gates=(gate,)).picked == "good"
    refused = decide(gates=(gate,))
    assert (refused.picked, refused.report.reason, refused.report.message) == (
        None,
        "LatencyP95MsGateFailed",
        "no variant keeps every gate; fp32: latency_p95_ms 12 is above max 8 (gate fast)",
    )


def test_the_smallest_is_picked_when_size_is_the_objective_even_if_slower() -> None:
    tiny = replace(GOOD, name="tiny", size_bytes=100, ratio=1.4, ratio_upper=1.5)
    assert decide(GOOD, tiny, optimization={"objective": "MinSize"}).picked == "tiny"
    assert decide(GOOD, tiny).picked == "good"


@pytest.mark.parametrize(
    ("sqnr", "agreement", "picked"),
    [(31.0, None, "good"), (20.0, 0.995, "good"), (20.0, 0.9, "fp32"), (20.0, None, "fp32"),
     (5.0, 1.0, "fp32"), (math.inf, None, "good")],
)  # fmt: skip
def test_without_labels_closeness_decides_and_the_verdict_says_so(
    sqnr: float, agreement: float | None, picked: str
) -> None:
    facts = replace(GOOD, score=None, paired=None, sqnr_db=sqnr, agreement=agreement)
    judgement = decide(facts, baseline=replace(FP32, score=None), evidence=UNLABELLED)
    assert (judgement.picked, judgement.report.reason) == (picked, "NumericOnly")
    assert "judged by closeness to the source on 64 rows only" in judgement.report.message


def test_a_gate_on_closeness_replaces_the_rule_of_thumb() -> None:
    facts = replace(GOOD, score=None, paired=None, sqnr_db=20.0, agreement=None)
    gate = {"name": "close", "metric": "sqnr_db", "min": "15"}
    baseline = replace(FP32, score=None)
    judgement = decide(facts, baseline=baseline, evidence=UNLABELLED, gates=(gate,))
    assert judgement.picked == "good"


BATCHES = {"throughput": 100.0, "throughput_upper": 1.0}
PER_ROW = replace(FP32, **BATCHES)  # type: ignore[arg-type]


@pytest.mark.parametrize("objective", ["MaxThroughput", "MinCost"])
def test_rows_a_second_decide_where_they_are_wanted(objective: str) -> None:
    quick = replace(GOOD, name="quick", throughput=150.0, throughput_upper=0.9)
    many = replace(GOOD, name="many", ratio=0.9, ratio_upper=1.3, throughput=300.0,
                   throughput_upper=0.4)  # fmt: skip
    fewer = replace(GOOD, name="fewer", throughput=90.0, throughput_upper=1.2)
    judgement = decide(quick, many, fewer, baseline=PER_ROW, optimization={"objective": objective})
    assert judgement.picked == "many"
    verdict, reason = reasons(judgement)["fewer"]
    assert verdict == "Failed"
    assert reason.startswith(
        "Slower: seconds per row may be 1.20 times those of fp32 (upper bound)"
    )


def test_the_price_table_decides_the_cost() -> None:
    fast = replace(GOOD, name="fast", throughput_upper=0.4, cost=0.3)
    cheap = replace(GOOD, name="cheap", throughput_upper=0.6, cost=0.2)
    baseline = replace(PER_ROW, cost=0.5)
    judgement = decide(fast, cheap, baseline=baseline, optimization={"objective": "MinCost"})
    assert judgement.picked == "cheap"


@pytest.mark.parametrize(
    ("gate", "picked"),
    [
        ({"name": "g", "metric": "cosine", "min": "0.99"}, "rough"),
        ({"name": "g", "metric": "cosine", "min": "0.9999"}, "fp32"),
        ({"name": "g", "metric": "sqnr_db", "min": "15"}, "rough"),
        ({"name": "g", "metric": "size_bytes", "max": "5000"}, "fp32"),
    ],
)
def test_without_labels_a_bound_on_closeness_of_ones_own_replaces_ours(
    gate: dict[str, str], picked: str
) -> None:
    rough = replace(GOOD, name="rough", sqnr_db=18.0, cosine=0.993, agreement=0.5, paired=None)
    assert decide(rough, evidence=UNLABELLED, gates=(gate,)).picked == picked


FIGURES = st.floats(0.01, 3.0, allow_nan=False)


@st.composite
def variants(draw: st.DrawFn) -> tuple[Facts, ...]:
    return tuple(
        Facts(
            name=f"v{number}",
            recipe="any",
            size_bytes=draw(st.integers(1, 2000)),
            score=0.95 + (delta := draw(st.floats(-0.05, 0.05))),
            paired=Paired(delta, draw(st.floats(0, 0.03)), 400),
            sqnr_db=draw(st.floats(-10, 60)),
            agreement=draw(st.floats(0, 1) | st.none()),
            p50_ms=1.0,
            p95_ms=1.0,
            ratio=draw(FIGURES | st.none()),
            ratio_upper=draw(FIGURES | st.none()),
            throughput_upper=draw(FIGURES | st.none()),
            cost=draw(FIGURES | st.none()),
            failure=draw(st.sampled_from([None, None, ("Broken", "it is")])),
        )
        for number in range(draw(st.integers(0, 5)))
    )


@given(
    found=variants(),
    objective=st.sampled_from(["MinLatencyP95", "MaxThroughput", "MinCost", "MinSize"]),
    labelled=st.booleans(),
)
def test_no_pick_is_ever_slower_or_outside_its_gate(
    found: tuple[Facts, ...], objective: str, labelled: bool
) -> None:
    judgement = decide(
        *found,
        baseline=PER_ROW,
        evidence=LABELLED if labelled else UNLABELLED,
        optimization={"objective": objective},
    )
    assert judgement.picked is not None
    if judgement.picked == "fp32":
        return
    pick = next(f for f in found if f.name == judgement.picked)
    assert pick.failure is None
    if objective == "MinLatencyP95":
        assert pick.ratio_upper is not None
        assert pick.ratio_upper <= 1.02
    elif objective != "MinSize":
        assert pick.throughput_upper is not None
        assert pick.throughput_upper <= 1.02
    if labelled:
        assert pick.paired is not None
        assert -pick.paired.delta <= 0.01
        assert pick.paired.noise <= 0.01
    else:
        assert pick.sqnr_db is not None
        assert pick.sqnr_db >= 30 or (pick.sqnr_db >= 8 and (pick.agreement or 0) >= 0.99)
