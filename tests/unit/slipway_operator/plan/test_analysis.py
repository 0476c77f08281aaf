from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.api.v1alpha1.rollout import Analysis, AnalysisMetric
from slipway.api.v1alpha1.status import AnalysisStatus
from slipway.artifacts.manifest import Verdict
from slipway.tasks import ReplayReport
from slipway_operator.plan.analysis import (
    Judgement,
    Samples,
    bounds,
    judge,
    needs_replay,
    summary,
)
from slipway_operator.plan.observed import Window
from tests.support.builders import replay_report

SUCCESS = {"name": "request-success-rate", "min": "99"}
LATENCY = {"name": "latency-p95", "max": "25", "maxIncreasePercentOverStable": 20}
AGREEMENT = {"name": "prediction-agreement", "min": "95"}


def analysis(*metrics: dict[str, Any], policy: str = "Wait") -> Analysis:
    return Analysis.model_validate({"metrics": metrics, "noDataPolicy": policy})


def samples(
    canary: Window | None = None,
    stable: Window | None = None,
    replay: ReplayReport | None = None,
) -> Samples:
    return Samples(canary=canary, stable=stable, replay=replay)


def good(p95: float = 10.0) -> Window:
    return Window(requests=500, errors=0, p95_ms=p95)


@pytest.mark.parametrize(
    ("metric", "stable", "expected"),
    [
        (LATENCY, 18.0, (None, 21.6)),
        (LATENCY, 24.0, (None, 25.0)),
        (LATENCY, None, (None, 25.0)),
        ({"name": "latency-p95", "maxIncreasePercentOverStable": 50}, 1.0, (None, 3.0)),
        (SUCCESS, 98.0, (99.0, None)),
        ({"name": "request-success-rate", "min": "90", "max": "99.9"}, None, (90.0, 99.9)),
    ],
)
def test_bounds_are_the_tighter_of_absolute_and_relative(
    metric: dict[str, Any], stable: float | None, expected: tuple[float | None, float | None]
) -> None:
    least, greatest = bounds(AnalysisMetric.model_validate(metric), stable)
    assert (least, greatest and round(greatest, 9)) == expected


def test_a_good_canary_passes_every_default_metric_with_its_numbers() -> None:
    judgement = judge(Analysis(), samples(good(11.0), good(18.0), replay_report()))
    assert judgement == Judgement(
        Verdict.PASSED,
        (
            AnalysisStatus(
                name="request-success-rate",
                value="100%",
                threshold=">=99%",
                verdict=Verdict.PASSED,
                samples=500,
            ),
            AnalysisStatus(
                name="latency-p95",
                value="11 ms",
                threshold="<=27 ms stable+50%",
                verdict=Verdict.PASSED,
                samples=500,
            ),
            AnalysisStatus(
                name="prediction-agreement",
                value="100%",
                threshold=">=95%",
                verdict=Verdict.PASSED,
                samples=256,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("metric", "window", "value"),
    [
        (SUCCESS, Window(1000, 11, 10.0), "98.9%"),
        (LATENCY, good(21.7), "21.7 ms"),
    ],
)
def test_one_metric_outside_its_bound_fails_the_canary(
    metric: dict[str, Any], window: Window, value: str
) -> None:
    judgement = judge(analysis(metric), samples(window, good(18.0)))
    found = judgement.metrics[0]
    assert (judgement.verdict, found.verdict, found.value) == (
        Verdict.FAILED,
        Verdict.FAILED,
        value,
    )
    assert "outside its bound" in judgement.message


@pytest.mark.parametrize(
    ("policy", "verdict"), [("Wait", Verdict.INCONCLUSIVE), ("Fail", Verdict.FAILED)]
)
def test_too_few_requests_are_no_data_and_never_a_pass(policy: str, verdict: Verdict) -> None:
    judgement = judge(analysis(SUCCESS, policy=policy), samples(Window(49, 0, 1.0), good()))
    assert judgement.verdict is verdict
    assert "49 of 50 requests that it needs" in judgement.message


def test_without_requests_the_replay_stands_in_where_that_is_allowed() -> None:
    found = judge(analysis(SUCCESS, LATENCY, policy="Replay"), samples(replay=replay_report()))
    assert (found.verdict, [m.value for m in found.metrics]) == (Verdict.PASSED, ["100%", "9 ms"])


def test_a_replay_that_is_not_done_is_no_data() -> None:
    found = judge(analysis(SUCCESS, policy="Replay"), samples())
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the replay is not done" in found.message


@pytest.mark.parametrize(
    ("replay", "message"),
    [
        (None, "the replay is not done"),
        (replay_report(samples=0), "stable answered none"),
        (replay_report(stable_errors=256), "stable answered none"),
    ],
)
def test_agreement_without_a_pair_of_answers_is_unknown(
    replay: ReplayReport | None, message: str
) -> None:
    found = judge(analysis(AGREEMENT), samples(good(), good(), replay))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert message in found.message


def test_an_answer_that_only_stable_gave_is_a_disagreement() -> None:
    replay = replay_report(samples=100, agreeing=90, canary_errors=10)
    found = judge(analysis(AGREEMENT), samples(good(), good(), replay))
    assert (found.verdict, found.metrics[0].value) == (Verdict.FAILED, "90%")


def test_a_relative_bound_without_stable_s_number_is_unknown_though_the_absolute_one_holds() -> (
    None
):
    found = judge(analysis(LATENCY), samples(good(1.0), None))
    assert (found.verdict, found.metrics[0].value) == (Verdict.INCONCLUSIVE, None)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (analysis(SUCCESS), False),
        (analysis(SUCCESS, policy="Replay"), True),
        (analysis(SUCCESS, AGREEMENT), True),
        (analysis(), True),
        (analysis(SUCCESS, policy="Fail"), False),
    ],
)
def test_feeds_are_replayed_only_for_what_needs_them(wanted: Analysis, expected: bool) -> None:
    assert needs_replay(wanted) is expected


def windows() -> st.SearchStrategy[Window | None]:
    number = st.integers(0, 10**6)
    p95 = st.none() | st.floats(0, 1e6)
    made = st.builds(
        lambda n, bad, p: Window(n, min(n, bad), p if n else None), number, number, p95
    )
    return st.none() | made


def replays() -> st.SearchStrategy[ReplayReport | None]:
    count = st.integers(0, 256)
    p95 = st.none() | st.floats(0, 1e6)
    made = st.builds(
        lambda n, agreeing, bad, p: replay_report(
            samples=n,
            agreeing=min(n, agreeing),
            canary_errors=min(n, bad),
            stable_errors=0,
            stable_p95_ms=p,
            canary_p95_ms=p,
        ),
        count,
        count,
        count,
        p95,
    )
    return st.none() | made


@given(
    canary=windows(),
    stable=windows(),
    replay=replays(),
    policy=st.sampled_from(("Wait", "Replay", "Fail")),
)
def test_whatever_was_measured_no_data_is_never_a_pass(
    canary: Window | None, stable: Window | None, replay: ReplayReport | None, policy: str
) -> None:
    found = judge(
        Analysis.model_validate({"noDataPolicy": policy}), samples(canary, stable, replay)
    )
    for metric in found.metrics:
        assert (metric.value is None) <= (metric.verdict is not Verdict.PASSED)
        assert (metric.verdict is not Verdict.PASSED) == bool(metric.message)
    passed = all(metric.verdict is Verdict.PASSED for metric in found.metrics)
    assert (found.verdict is Verdict.PASSED) == passed


@pytest.mark.parametrize(
    ("windows_", "expected"),
    [
        ({}, "no requests yet"),
        ({"c": Window(0, 0, None)}, "no requests yet"),
        (
            {"c": Window(412, 0, 11.0), "s": good(18.0)},
            "412 requests, success 100%, p95 11 ms vs 18 ms",
        ),
        ({"c": Window(4, 1, None)}, "4 requests, success 75%"),
    ],
)
def test_the_summary_for_people(windows_: dict[str, Window], expected: str) -> None:
    assert summary(windows_, "c", "s") == expected


@pytest.mark.parametrize(
    ("metric", "few"),
    [(SUCCESS, Window(40, 8, 10.0)), (LATENCY, Window(40, 0, 130.0))],
    ids=["errors", "slow"],
)
def test_a_replay_does_not_outvote_the_few_requests_that_went_wrong(
    metric: dict[str, Any], few: Window
) -> None:
    found = judge(
        analysis(metric, policy="Replay"), samples(few, good(), replay_report(canary_p95_ms=9.0))
    )
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.metrics[0].message == "outside its bound, but 40 of 50 requests only"


def test_a_replay_stands_in_for_few_requests_that_went_well() -> None:
    found = judge(
        analysis(SUCCESS, policy="Replay"), samples(Window(3, 0, 5.0), good(), replay_report())
    )
    assert found.verdict is Verdict.PASSED
