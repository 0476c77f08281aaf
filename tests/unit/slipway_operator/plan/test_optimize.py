from datetime import UTC, datetime
from typing import Any

import pytest

from slipway.contract import Step
from slipway.tasks import StepFailure, format_report
from slipway_operator.plan.objects import ref_of
from slipway_operator.plan.observed import Observed
from slipway_operator.plan.optimize import Failed, Outcome, Running, Waiting, outcome
from tests.support.builders import model_deployment

Json = dict[str, Any]
ENDED: Json = {"terminated": {"exitCode": 0}}
RUNS: Json = {"running": {}}
WAITS: Json = {"waiting": {"reason": "PodInitializing"}}


def job(ended: str = "") -> Json:
    told = {
        "type": ended,
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "message": "exit code 65",
    }
    return {
        "kind": "Job",
        "metadata": {"name": "fraud-1-opt", "namespace": "default", "uid": "job"},
        "status": {"conditions": [told] if ended else []},
    }


def failed_with(reason: str) -> Json:
    report = StepFailure(reason=reason, message="why", transient=False)
    return {"terminated": {"exitCode": 65, "message": format_report(report)}}


def pod(*states: Json) -> Json:
    statuses = [
        {"name": str(step), "state": state} for step, state in zip(Step, states, strict=True)
    ]
    owner = {"kind": "Job", "name": "fraud-1-opt", "uid": "job", "controller": True}
    return {
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "ownerReferences": [owner]},
        "status": {"initContainerStatuses": statuses[:-1], "containerStatuses": statuses[-1:]},
    }


def seen(*states: Json, job_ended: str = "", phase: str = "Running") -> Outcome:
    objects = [job(job_ended), pod(*states)] if states else [job(job_ended)]
    for each in objects[1:]:
        each["status"]["phase"] = phase
    observed = Observed(
        resource=model_deployment(),
        now=datetime(2026, 1, 1, tzinfo=UTC),
        namespace_uid="uid",
        children={ref_of(each): each for each in objects},
    )
    return outcome(observed, "fraud-1", None)


@pytest.mark.parametrize(
    ("states", "step"),
    [
        ((RUNS, WAITS, WAITS, WAITS), Step.FETCH),
        ((ENDED, WAITS, WAITS, WAITS), Step.BUILD),
        ((ENDED, ENDED, RUNS, WAITS), Step.VALIDATE),
        ((ENDED, ENDED, ENDED, WAITS), Step.PUBLISH),
        ((ENDED, ENDED, ENDED, ENDED), Step.PUBLISH),
    ],
)
def test_between_two_steps_the_next_one_counts_so_that_the_phase_never_falls_back(
    states: tuple[Json, ...], step: Step
) -> None:
    assert seen(*states) == Running(step)


def test_before_the_first_step_the_pod_is_waited_for() -> None:
    assert seen(WAITS, WAITS, WAITS, WAITS) == Waiting("PodStarting", "waits for pod p to start")


@pytest.mark.parametrize("ended", ["Complete", "Failed"])
def test_a_job_that_is_heard_to_end_before_its_pod_is_not_judged_without_the_report(
    ended: str,
) -> None:
    assert seen(RUNS, WAITS, WAITS, WAITS, job_ended=ended) == Running(Step.FETCH)


def test_the_reason_of_a_failure_is_the_one_that_the_step_reported() -> None:
    found = seen(
        failed_with("SourceNotFound"), WAITS, WAITS, WAITS, job_ended="Failed", phase="Failed"
    )
    assert isinstance(found, Failed)
    assert (found.reason, found.message, found.mendable) == ("SourceNotFound", "why", True)


def test_a_failure_that_nobody_can_explain_any_more_is_tried_again() -> None:
    found = seen(job_ended="Failed")
    assert isinstance(found, Failed)
    assert (found.reason, found.mendable) == ("OptimizationFailed", True)
