from datetime import UTC, datetime
from typing import Any

import pytest

from slipway.contract import Step
from slipway_operator.plan.objects import ref_of
from slipway_operator.plan.observed import Observed
from slipway_operator.plan.optimize import Outcome, Running, Waiting, outcome
from tests.support.builders import model_deployment

Json = dict[str, Any]
ENDED: Json = {"terminated": {"exitCode": 0}}
RUNS: Json = {"running": {}}
WAITS: Json = {"waiting": {"reason": "PodInitializing"}}


def job() -> Json:
    return {
        "kind": "Job",
        "metadata": {"name": "fraud-1-opt", "namespace": "default", "uid": "job"},
        "status": {},
    }


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


def seen(*states: Json) -> Outcome:
    objects = [job(), pod(*states)]
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
