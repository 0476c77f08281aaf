"""Whole lifecycles in virtual time, told as transcripts."""

from typing import Any

from slipway.artifacts.manifest import Verdict
from slipway.tasks import StepFailure
from slipway_local.pods.simulated import Script
from slipway_operator.plan.observed import Window
from tests.support.builders import job_report, model_deployment, replay_report
from tests.support.simulation import (
    BAD,
    GOOD,
    Simulation,
    healthy,
    revision_of,
    rolled_out,
)

FIRST = """\
phase: Pending
phase: Optimizing
  Normal: OptimizationStarted
phase: Validating
phase: Progressing
  Normal: OptimizationFinished
  Normal: DeploymentStarted
phase: Healthy
  Normal: Promoted"""

UPDATE = """\
phase: Pending
phase: Optimizing
  Normal: OptimizationStarted
phase: Validating
phase: Progressing
  Normal: OptimizationFinished
  Normal: CanaryStarted
  Normal: WeightChanged
phase: Healthy
  Normal: WeightChanged
  Normal: Promoted"""


def deployed(**spec: Any) -> Simulation:
    simulation = Simulation(model_deployment(**spec))
    simulation.run(healthy)
    return simulation


def replicas(simulation: Simulation) -> dict[str, int]:
    return {revision_of(d): d["spec"]["replicas"] for d in simulation.objects("Deployment")}


def selector(simulation: Simulation) -> dict[str, str]:
    services = {s["metadata"]["name"]: s for s in simulation.objects("Service")}
    found: dict[str, str] = services["fraud"]["spec"]["selector"]
    return found


def test_the_first_model_is_optimised_validated_and_served_by_all_replicas() -> None:
    simulation = Simulation(model_deployment())
    simulation.run(healthy)

    assert "\n".join(simulation.story) == FIRST
    stable = simulation.status.stable
    assert stable is not None
    assert replicas(simulation) == {stable.revision: 4}
    assert selector(simulation)["slipway.dev/revision"] == stable.revision
    assert [p.phase for p in simulation.status.phases] == [
        "Pending", "Optimizing", "Validating", "Progressing", "Healthy",
    ]  # fmt: skip


def test_a_settled_deployment_is_not_written_to_any_more() -> None:
    simulation = deployed()
    simulation.settle(30)
    before = len(simulation.writes)
    simulation.settle(300)
    assert simulation.writes[before:] == []


def test_a_new_version_takes_over_by_canary_and_the_old_one_is_kept_at_zero() -> None:
    simulation = deployed()
    old = simulation.status.stable
    assert old is not None
    simulation.story.clear()
    simulation.new_model("v2")
    simulation.run(rolled_out(2))

    assert "\n".join(simulation.story) == UPDATE
    new = simulation.status.stable
    assert new is not None
    assert new.revision != old.revision
    assert replicas(simulation) == {old.revision: 4, new.revision: 4}, "old pods linger for nodes"
    simulation.settle(15)
    assert replicas(simulation) == {old.revision: 0, new.revision: 4}


def test_promotion_keeps_every_canary_pod() -> None:
    simulation = deployed()
    simulation.new_model("v2")
    simulation.run(lambda s: s.rollout is not None and s.rollout.current_step_index == 1)
    simulation.run(lambda s: s.canary is not None and s.canary.ready_replicas == 4)
    canary = simulation.status.canary
    assert canary is not None
    before = {
        pod["metadata"]["uid"]
        for pod in simulation.objects("Pod")
        if pod["metadata"]["labels"].get("slipway.dev/revision") == canary.revision
        and pod["metadata"]["labels"]["app.kubernetes.io/component"] == "predictor"
    }
    simulation.run(rolled_out(2))
    simulation.settle(15)
    after = {
        pod["metadata"]["uid"]
        for pod in simulation.objects("Pod")
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "predictor"
    }
    assert after == before


def test_a_model_under_its_gate_never_gets_a_pod_and_is_not_tried_again() -> None:
    refused = job_report(
        verdict=Verdict.FAILED,
        reason="AccuracyGateFailed",
        message="accuracy 0.612 on 384 rows is below min 0.9 (gate accuracy)",
        artifact=None,
    )
    simulation = Simulation(model_deployment(), optimize=lambda pod: refused)
    simulation.run(lambda status: status.phase == "Degraded")
    simulation.settle(300)

    assert simulation.objects("Deployment") == []
    status = simulation.status
    assert "accuracy 0.612 on 384 rows is below min 0.9" in status.message
    conditions = {c.type: (c.status, c.reason) for c in status.conditions}
    assert conditions == {
        "Ready": ("False", "NothingServes"),
        "Optimized": ("True", "VariantSelected"),
        "Validated": ("False", "AccuracyGateFailed"),
        "RolledOut": ("False", "AccuracyGateFailed"),
        "Stalled": ("True", "AccuracyGateFailed"),
    }


def test_a_canary_that_fails_in_service_is_rolled_back_and_stable_is_untouched() -> None:
    simulation = deployed()
    stable = simulation.status.stable
    assert stable is not None
    simulation.traffic = lambda revision, is_canary: BAD if is_canary else GOOD
    simulation.new_model("v2")
    simulation.run(lambda status: status.phase == "Degraded")
    simulation.settle(30)

    status = simulation.status
    assert status.stable is not None
    assert status.stable.revision == stable.revision
    assert replicas(simulation)[stable.revision] == 4
    assert sum(replicas(simulation).values()) == 4
    assert selector(simulation)["slipway.dev/revision"] == stable.revision
    assert [r.reason for r in status.rejected_revisions] == ["AnalysisFailed"]
    assert "request-success-rate 80% (>=99%" in status.rejected_revisions[0].message


def test_a_refused_revision_is_tried_again_when_asked() -> None:
    simulation = deployed()
    simulation.traffic = lambda revision, is_canary: BAD if is_canary else GOOD
    simulation.new_model("v2")
    simulation.run(lambda status: status.phase == "Degraded")
    simulation.traffic = lambda revision, is_canary: GOOD
    simulation.settle(60)
    assert simulation.status.phase == "Degraded"

    refused = simulation.status.rejected_revisions[0].revision
    simulation.annotate(retry=f"{refused}/once")
    simulation.run(rolled_out(2))

    assert simulation.status.stable is not None
    assert simulation.status.stable.revision == refused
    assert simulation.status.rejected_revisions == ()


def test_a_retry_after_a_failed_gate_asks_the_job_to_judge_anew() -> None:
    requests: list[str] = []

    def judge_by_attempt(pod: dict[str, object]) -> object:
        meta = pod["metadata"]
        assert isinstance(meta, dict)
        request = meta["annotations"]["slipway.dev/request"]
        requests.append(request)
        failed = '"attempt":0' in request
        verdict = Verdict.FAILED if failed else Verdict.PASSED
        return job_report(verdict=verdict, reason="AccuracyGateFailed" if failed else "GatesPassed")

    simulation = Simulation(model_deployment(), optimize=judge_by_attempt)  # type: ignore[arg-type]  # one signature for both
    simulation.run(lambda status: status.phase == "Degraded")
    refused = simulation.status.rejected_revisions[0].revision
    simulation.annotate(retry=f"{refused}/once")
    simulation.run(healthy)

    assert len(set(requests)) == 2


def test_a_spec_change_during_a_canary_ends_it_before_the_next_begins() -> None:
    simulation = deployed()
    simulation.new_model("v2")
    simulation.run(lambda status: status.canary is not None and status.canary.ready_replicas == 1)
    first = simulation.status.canary
    assert first is not None
    simulation.new_model("v3")
    simulation.run(rolled_out(3))
    simulation.settle(20)

    assert simulation.status.stable is not None
    assert simulation.status.stable.revision != first.revision
    assert replicas(simulation)[first.revision] == 0
    assert simulation.status.rejected_revisions == ()


def test_an_abort_by_hand_rolls_back_and_a_late_one_changes_nothing() -> None:
    simulation = deployed()
    simulation.new_model("v2")
    simulation.run(lambda status: status.canary is not None)
    canary = simulation.status.canary
    assert canary is not None
    simulation.annotate(abort=f"{canary.revision}/now")
    simulation.run(lambda status: status.phase == "Degraded")
    assert simulation.status.rejected_revisions[0].reason == "Aborted"

    simulation.new_model("v3")
    simulation.run(rolled_out(3))


def test_a_pause_without_duration_waits_for_promote() -> None:
    steps = [{"setWeight": 20}, {"pause": {}}]
    simulation = deployed(rollout={"canary": {"steps": steps}})
    simulation.new_model("v2")
    simulation.run(lambda status: status.phase == "Paused")
    simulation.settle(300)
    assert simulation.status.phase == "Paused"
    assert "slipway promote fraud" in simulation.status.message
    canary = simulation.status.canary
    assert canary is not None
    simulation.annotate(promote=canary.revision)
    simulation.run(rolled_out(2))


def test_disagreeing_predictions_roll_back_though_every_request_succeeds() -> None:
    simulation = deployed()
    simulation.replay = lambda pod: replay_report(agreeing=200)
    simulation.new_model("v2")
    simulation.run(lambda status: status.phase == "Degraded")
    assert "prediction-agreement 78.12% (>=95%" in simulation.status.message


def test_without_requests_the_replay_judges() -> None:
    simulation = deployed()
    simulation.traffic = lambda revision, is_canary: Window(0, 0, None)
    simulation.new_model("v2")
    simulation.run(rolled_out(2))


def test_no_data_is_never_a_pass() -> None:
    simulation = deployed(
        rollout={"canary": {"analysis": {"noDataPolicy": "Wait"}}}, progressDeadlineSeconds=120
    )
    simulation.traffic = lambda revision, is_canary: Window(3, 0, 5.0)
    simulation.new_model("v2")
    simulation.run(lambda status: status.phase == "Degraded")
    assert simulation.status.rejected_revisions[0].reason == "AnalysisInconclusive"
    assert "3 of 50 requests that it needs" in simulation.status.message


def test_a_canary_that_never_gets_ready_is_rolled_back_at_its_deadline() -> None:
    simulation = deployed(progressDeadlineSeconds=60)
    old = simulation.status.stable
    assert old is not None
    simulation.serve = lambda pod: Script(
        ready_after=1.0 if revision_of(pod) == old.revision else 10_000.0
    )
    simulation.new_model("v2")
    simulation.run(lambda status: status.phase == "Degraded")
    assert simulation.status.rejected_revisions[0].reason == "ProgressDeadlineExceeded"


def test_an_unreachable_store_is_retried_until_it_is_back() -> None:
    down = StepFailure(
        reason="StorageUnreachable", message="the store does not answer", transient=True
    )
    simulation = Simulation(model_deployment(job={"backoffLimit": 0}), optimize=lambda pod: down)
    simulation.run(lambda status: status.retry is not None and status.retry.attempts == 2)
    assert simulation.status.phase == "Pending"
    assert "the store does not answer; tried 2 times, next at" in simulation.status.message
    simulation.optimize = lambda pod: job_report()
    simulation.run(healthy)
    assert simulation.status.retry is None


def test_without_autoscaling_spec_replicas_rules() -> None:
    simulation = deployed()
    simulation.change(replicas=2)
    simulation.run(lambda s: s.stable is not None and s.stable.ready_replicas == 2)
    simulation.run(rolled_out(2))
    assert list(replicas(simulation).values()) == [2]


def test_a_deployment_without_replicas_takes_a_new_version_at_once() -> None:
    simulation = deployed(replicas=0)
    simulation.new_model("v2")
    simulation.run(rolled_out(2), seconds=60)
    assert simulation.status.rejected_revisions == ()


def test_with_autoscaling_the_operator_leaves_replicas_to_the_scaler() -> None:
    simulation = deployed(autoscaling={"minReplicas": 1, "maxReplicas": 3})
    stable = simulation.status.stable
    assert stable is not None
    assert replicas(simulation) == {stable.revision: 1}
    deployment = simulation.objects("Deployment")[0]
    ref = type(simulation.ref)("Deployment", "default", deployment["metadata"]["name"])
    simulation.cluster.objects.patch(ref, {"spec": {"replicas": 3}}, "")
    before = len(simulation.writes)
    simulation.settle(60)
    assert replicas(simulation) == {stable.revision: 3}
    assert [
        w for w in simulation.writes[before:] if "Deployment default" in w and "Model" not in w
    ] == []


def test_an_invalid_spec_says_what_to_do_and_touches_nothing() -> None:
    simulation = deployed()
    simulation.change(artifacts={"storageUri": "file:///tmp/x"})
    simulation.run(lambda status: status.phase == "Degraded")
    assert "file:// works in local mode only" in simulation.status.message
    assert "what serves goes on serving" in simulation.status.message
    assert list(replicas(simulation).values()) == [4]


def test_old_revisions_beyond_the_limit_are_forgotten() -> None:
    simulation = deployed(revisionHistoryLimit=1)
    for number in range(2, 5):
        simulation.new_model(f"v{number}")
        simulation.run(rolled_out(number))
        simulation.settle(20)
    assert len(simulation.objects("ControllerRevision")) == 2
    assert len(simulation.objects("Deployment")) == 2
