from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from slipway.api.v1alpha1.resource import parse_spec, parse_status
from slipway.api.v1alpha1.status import AnalysisStatus, Status
from slipway.artifacts.manifest import Verdict
from slipway_operator.plan import optimize
from slipway_operator.plan.memory import Memory, Note
from slipway_operator.plan.observed import Window
from slipway_operator.plan.plan import plan
from slipway_operator.plan.rollout import advance, next_moment, weight_at
from tests.support.builders import config, job_report
from tests.support.worlds import (
    NOW,
    facts,
    job_of,
    observed,
    rolling,
    served,
    server_pod,
    target_of,
)

Json = dict[str, Any]
STEPS: list[Json] = [{"setWeight": 20}, {"pause": {"duration": "60s"}}, {"setWeight": 80}]


def canary(steps: list[Json], **analysis: Any) -> Json:
    return {"canary": {"steps": steps, "analysis": analysis}}


def later(seconds: float) -> Any:
    return NOW + timedelta(seconds=seconds)


def ready(memory: Memory, **changes: Any) -> Memory:
    assert memory.rollout is not None
    update = {"ready_at": "2026-01-01T12:00:00Z", **changes}
    return replace(memory, rollout=memory.rollout.model_copy(update=update))


def test_a_weight_holds_through_the_pauses_after_it() -> None:
    spec = parse_spec(served(rollout=canary(STEPS)))
    assert [weight_at(spec, index) for index in range(5)] == [20, 20, 80, 100, 100]


def test_the_first_revision_takes_all_at_once() -> None:
    resource = served()
    moved = advance(Memory(), facts(resource))
    assert moved.memory.rollout is not None
    assert moved.memory.rollout.weight.desired == 100
    assert moved.notes[0].reason == "DeploymentStarted"


def test_steps_taken_away_under_a_running_canary_end_it_by_promotion() -> None:
    resource = served(rollout=canary([{"setWeight": 20}]))
    target = target_of(resource)
    passed = AnalysisStatus(name="latency-p95", threshold="", verdict=Verdict.PASSED)
    memory = ready(
        rolling(target, weight=80),
        current_step_index=2,
        passes=1,
        judged_at="2026-01-01T12:00:00Z",
        analysis=(passed,),
    )
    pods = [server_pod(f"p{n}", target) for n in range(20)]
    moved = advance(memory, facts(resource, *pods, now=later(1)))
    assert moved.memory.rollout is not None
    assert (moved.memory.rollout.weight.desired, moved.memory.rollout.current_step_index) == (
        100,
        1,
    )
    assert moved.notes == (Note("Normal", "WeightChanged", f"{target}: weight 80 % -> 100 %"),)


def test_a_failed_judgement_within_the_limit_is_forgiven_and_one_more_is_not() -> None:
    resource = served(rollout=canary(STEPS, failureLimit=1, noDataPolicy="Wait"))
    target = target_of(resource)
    bad = {
        target: Window(1000, 500, 1.0),
        "fraud-old": Window(1000, 0, 1.0),
    }
    pods = [server_pod("p", target)]
    first = advance(ready(rolling(target)), facts(resource, *pods, now=later(30), windows=bad))
    assert first.memory.rollout is not None
    assert (first.memory.rollout.failures, first.memory.canary) == (1, target)
    assert first.memory.rollout.weight.actual == 50
    second = advance(first.memory, facts(resource, *pods, now=later(60), windows=bad))
    assert second.memory.canary is None
    assert [r.reason for r in second.memory.rejected] == ["AnalysisFailed"]
    assert second.notes[0].message.endswith("fraud-old serves everything again")


def test_nothing_is_judged_before_its_interval_nor_twice_in_it() -> None:
    resource = served(rollout=canary(STEPS, interval="30s"))
    target = target_of(resource)
    memory, pod = ready(rolling(target)), server_pod("p", target)
    assert advance(memory, facts(resource, pod, now=later(29))).memory == memory
    judged = ready(memory, judged_at="2026-01-01T12:00:30Z")
    assert advance(judged, facts(resource, pod, now=later(59))).memory == judged


def test_a_timed_pause_needs_its_time_and_a_pass() -> None:
    resource = served(rollout=canary(STEPS))
    target = target_of(resource)
    passed = [
        {"name": "request-success-rate", "threshold": ">=99%", "verdict": "Passed", "value": "100%"}
    ]
    status = Status.model_validate(
        {
            "stable": {"revision": "fraud-old"},
            "canary": {"revision": target},
            "rollout": {
                "currentStepIndex": 1,
                "stepStartedAt": "2026-01-01T12:00:00Z",
                "readyAt": "2026-01-01T12:00:00Z",
                "judgedAt": "2026-01-01T12:00:55Z",
                "passes": 1,
                "weight": {"desired": 20},
                "analysis": passed,
            },
        }
    )
    memory, pod = Memory.of(status), server_pod("p", target)
    assert advance(memory, facts(resource, pod, now=later(59))).memory == memory
    moved = advance(memory, facts(resource, pod, now=later(60))).memory
    assert moved.rollout is not None
    assert (moved.rollout.current_step_index, moved.rollout.weight.desired) == (2, 80)
    assert next_moment(memory, facts(resource, pod, now=later(59))) == later(60)


@pytest.mark.parametrize(
    ("seconds", "final", "reason"),
    [
        (5, True, None),
        (6, True, "GoldenMismatch"),
        (599, False, None),
        (601, False, "ProgressDeadlineExceeded"),
    ],
)
def test_a_canary_that_is_not_ready_has_until_its_deadline_unless_it_never_will_be(
    seconds: int, final: bool, reason: str | None
) -> None:
    resource = served()
    target = target_of(resource)
    kind = '"transient":false' if final else '"transient":true'
    message = f'{{"kind":"StepFailure","reason":"GoldenMismatch","message":"other outputs",{kind}}}'
    pod = server_pod(
        "p",
        target,
        ready=False,
        containerStatuses=[
            {"name": "server", "state": {"terminated": {"exitCode": 1, "message": message}}}
        ],
    )
    moved = advance(rolling(target), facts(resource, pod, now=later(seconds))).memory
    refused = moved.rejection(target)
    assert (refused.reason if refused else None) == reason


def test_an_act_on_another_revision_changes_nothing() -> None:
    resource = served()
    resource["metadata"]["annotations"] = {
        "slipway.dev/abort": "fraud-old",
        "slipway.dev/retry": "fraud-old",
        "slipway.dev/promote": "fraud-old",
    }
    memory = rolling(target_of(resource))
    assert advance(memory, facts(resource)).memory == memory


def test_a_retry_of_what_did_not_fail_is_handled_and_no_more() -> None:
    resource = served()
    target = target_of(resource)
    resource["metadata"]["annotations"] = {"slipway.dev/retry": f"{target}/x"}
    moved = advance(Memory(stable=target), facts(resource)).memory
    assert (moved.handled.retry, moved.stable, moved.canary) == (f"{target}/x", target, None)


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.INCONCLUSIVE])
def test_what_did_not_pass_is_refused_before_any_pod(verdict: Verdict) -> None:
    resource = served()
    report = job_report(verdict=verdict, reason="AccuracyGateFailed", message="0.6 < 0.9")
    outcome = optimize.Done(report, stored=True)
    moved = advance(Memory(stable="fraud-old"), facts(resource, outcome=outcome))
    assert moved.memory.canary is None
    assert moved.notes[0].message.endswith("0.6 < 0.9; fraud-old goes on serving")


def test_a_passed_report_without_an_artifact_serves_nothing() -> None:
    outcome = optimize.Done(job_report(artifact=None), stored=True)
    moved = advance(Memory(), facts(served(), outcome=outcome))
    assert (moved.memory.canary, len(moved.memory.rejected)) == (None, 1)


def test_backoff_doubles_up_to_five_minutes() -> None:
    waits = [(optimize.next_try(n, NOW) - NOW).total_seconds() for n in range(1, 7)]
    assert waits == [20, 40, 80, 160, 300, 300]


@pytest.mark.parametrize("transient", [True, False])
def test_a_program_s_message_of_any_length_is_remembered_and_can_be_read_back(
    transient: bool,
) -> None:
    resource = served()
    target = target_of(resource)
    job = job_of(f"{target}-opt", ended="Failed")
    kind = "true" if transient else "false"
    text = (
        f'{{"kind":"StepFailure","reason":"{"R" * 300}","message":"{"m" * 3000}",'
        f'"transient":{kind}}}'
    )
    pod = {
        "kind": "Pod",
        "metadata": {
            "name": "x",
            "namespace": "default",
            "ownerReferences": [{"uid": job["metadata"]["uid"], "controller": True}],
        },
        "status": {
            "containerStatuses": [
                {"name": "publish", "state": {"terminated": {"exitCode": 75, "message": text}}}
            ]
        },
    }
    decided = plan(observed(resource, job, pod), config())
    status = parse_status({"status": decided.status})
    assert status.model_dump(mode="json", by_alias=True, exclude_none=True) == decided.status
    assert (status.retry is not None, len(status.rejected_revisions)) == (transient, not transient)
