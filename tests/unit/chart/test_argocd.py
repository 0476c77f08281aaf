"""Argo CD's view: health of every status, and actions that mean one revision and one moment."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.api.v1alpha1.status import Phase, Status
from slipway.contract import Annotation
from slipway_operator.plan import acts
from slipway_operator.plan.memory import Memory
from tests.support.lua import ARGOCD, Json, run

RECORDED = Path(__file__).resolve().parents[2] / "e2e" / "recorded"
STEP = "2026-01-02T03:04:05Z"
OLD, NEW = "fraud-1111111111", "fraud-2222222222"


def resource(**status: Any) -> Json:
    """A resource whose status is about its newest spec."""
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "fraud", "generation": 3},
        "status": {"observedGeneration": 3, "message": "all is told here", **status},
    }


def rollout(weight: int = 20, **status: Any) -> Json:
    """One with a canary."""
    found = resource(
        phase="Progressing",
        targetRevision=NEW,
        stable={"revision": OLD},
        canary={"revision": NEW},
        rollout={"currentStepIndex": 0, "stepStartedAt": STEP, "weight": {"desired": weight}},
    )
    found["status"].update(status)
    return found


def refused(target: str = NEW, *rejected: str) -> Json:
    """One whose spec asks for ``target``, with refused revisions, the last refused last."""
    entries = [
        {"revision": name, "reason": "GateFailed", "message": "0.91 < 0.93", "time": f"{STEP}{i}"}
        for i, name in enumerate(rejected)
    ]
    return resource(
        phase="Degraded",
        targetRevision=target,
        stable={"revision": OLD},
        rejectedRevisions=entries,
    )


def condition(kind: str, status: str) -> Json:
    return {"type": kind, "status": status, "reason": "Because", "message": "of that"}


EXPECTED = {
    Phase.PENDING: "Progressing",
    Phase.OPTIMIZING: "Progressing",
    Phase.VALIDATING: "Progressing",
    Phase.PROGRESSING: "Progressing",
    Phase.PAUSED: "Suspended",
    Phase.HEALTHY: "Healthy",
    Phase.DEGRADED: "Degraded",
}


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_health_and_the_message_is_ours(phase: Phase) -> None:
    found = run("health.lua", resource(phase=str(phase)))
    assert found == {"status": EXPECTED[phase], "message": "all is told here"}


@pytest.mark.parametrize("status", [None, {}, {"phase": "Healthy"}])
def test_without_a_status_it_is_progressing(status: Json | None) -> None:
    obj = resource()
    obj["status"] = status
    assert run("health.lua", obj)["status"] == "Progressing"


@pytest.mark.parametrize("phase", ["Healthy", "Degraded", "Paused"])
def test_a_status_of_an_older_spec_says_nothing(phase: str) -> None:
    assert run("health.lua", resource(phase=phase, observedGeneration=2)) == {
        "status": "Progressing",
        "message": "waits for the operator to see the newest spec",
    }


def test_stalled_is_degraded_whatever_the_phase() -> None:
    obj = resource(phase="Pending", conditions=[condition("Stalled", "True")])
    assert run("health.lua", obj)["status"] == "Degraded"


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_only_true_is_stalled(status: str) -> None:
    obj = resource(phase="Healthy", conditions=[condition("Stalled", status)])
    assert run("health.lua", obj)["status"] == "Healthy"


def test_conditions_that_it_does_not_know_change_nothing() -> None:
    strange = [condition("DriftFree", "False"), condition("Ready", "False")]
    assert run("health.lua", resource(phase="Healthy", conditions=strange))["status"] == "Healthy"


def test_without_a_message_the_phase_is_told() -> None:
    assert run("health.lua", resource(phase="Optimizing", message=""))["message"] == "Optimizing"


def recorded() -> list[Any]:
    """Every status that the end-to-end tests saw on a real cluster."""
    found = []
    for path in sorted(RECORDED.glob("*.json")):
        content = json.loads(path.read_text())
        states = content if isinstance(content, list) else [content]
        found += [pytest.param(each, id=f"{path.stem}-{i}") for i, each in enumerate(states)]
    return found


@pytest.mark.parametrize("state", recorded())
def test_a_status_of_a_real_cluster_has_the_health_that_its_phase_says(state: Json) -> None:
    found = run("health.lua", state)
    status = state.get("status") or {}
    assert found["message"]
    if not status or status.get("observedGeneration") != state["metadata"].get("generation"):
        assert found["status"] == "Progressing"
        return
    conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
    stalled = conditions.get("Stalled") == "True"
    assert found == {
        "status": "Degraded" if stalled else EXPECTED[Phase(status["phase"])],
        "message": status["message"],
    }
    assert set(run("actions/discovery.lua", state)) == {"promote", "abort", "retry"}


def offered(obj: Json) -> set[str]:
    actions = run("actions/discovery.lua", obj)
    return {name for name, action in actions.items() if not action["disabled"]}


@pytest.mark.parametrize(
    ("obj", "names"),
    [
        ({"metadata": {}}, set()),
        (resource(phase="Healthy", targetRevision=OLD, stable={"revision": OLD}), set()),
        (rollout(), {"promote", "abort"}),
        (rollout(weight=100), {"abort"}),
        (rollout(weight=100, stable=None), {"abort"}),
        (refused(NEW, NEW), {"retry"}),
        (refused(OLD, NEW), set()),
        (resource(targetRevision=NEW, retry={"revision": NEW, "jobUid": "u1"}), {"retry"}),
    ],
    ids=[
        "no status",
        "at rest",
        "a canary with a share",
        "a canary that takes all",
        "a first start",
        "the revision asked for was refused",
        "another revision was refused",
        "a Job that is tried again later",
    ],
)
def test_actions_are_offered_where_they_do_something(obj: Json, names: set[str]) -> None:
    assert offered(obj) == names


def annotations(script: str, obj: Json) -> Json:
    changed = run(f"actions/{script}/action.lua", obj)
    found: Json = changed["metadata"].get("annotations") or {}
    return found


@pytest.mark.parametrize(
    ("script", "key"), [("promote", Annotation.PROMOTE), ("abort", Annotation.ABORT)]
)
def test_promote_and_abort_name_the_canary_and_the_step(script: str, key: Annotation) -> None:
    assert annotations(script, rollout()) == {str(key): f"{NEW}/{STEP}"}


def test_retry_names_the_revision_that_the_spec_asks_for_and_its_failure() -> None:
    obj = refused(NEW, NEW, OLD)
    assert annotations("retry", obj) == {str(Annotation.RETRY): f"{NEW}/{STEP}0"}


def test_retry_of_a_job_that_waits_names_the_job() -> None:
    obj = resource(targetRevision=NEW, retry={"revision": NEW, "jobUid": "u1"})
    assert annotations("retry", obj) == {str(Annotation.RETRY): f"{NEW}/u1"}


@pytest.mark.parametrize("script", ["promote", "abort", "retry"])
def test_an_action_keeps_other_annotations_and_the_rest_of_the_object(script: str) -> None:
    obj = rollout() if script != "retry" else refused(NEW, NEW)
    obj["metadata"]["annotations"] = {"team": "risk"}
    changed = run(f"actions/{script}/action.lua", obj)
    assert changed["metadata"]["annotations"].pop(f"slipway.dev/{script}")
    assert changed == obj


@pytest.mark.parametrize("script", ["promote", "abort", "retry"])
def test_an_action_that_comes_too_late_changes_nothing(script: str) -> None:
    obj = resource(phase="Healthy", targetRevision=OLD, stable={"revision": OLD})
    assert run(f"actions/{script}/action.lua", obj) == obj


@pytest.mark.parametrize(
    ("act", "obj"), [("promote", rollout()), ("abort", rollout()), ("retry", refused(NEW, NEW))]
)
def test_the_operator_takes_what_an_action_writes_as_asked_once(act: acts.Act, obj: Json) -> None:
    changed = {**obj, "metadata": {**obj["metadata"], "annotations": annotations(act, obj)}}
    assert acts.asked(changed, Memory(), act, NEW)
    assert not acts.asked(changed, Memory(), act, OLD)
    assert not acts.asked(changed, acts.done(changed, Memory(), act), act, NEW)


def test_scripts_read_only_fields_that_status_has() -> None:
    """A typo in a script would read nothing and stay silent."""
    known = json.dumps(Status.model_json_schema(by_alias=True, mode="validation"))
    for word in ("observedGeneration", "targetRevision", "rejectedRevisions", "stepStartedAt"):
        assert f'"{word}"' in known
        assert any(word in path.read_text() for path in ARGOCD.rglob("*.lua"))


def test_the_config_map_holds_these_scripts_under_argo_cds_keys() -> None:
    data = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text())["data"]
    suffix = "slipway.dev_ModelDeployment"
    assert data[f"resource.customizations.health.{suffix}"] == (ARGOCD / "health.lua").read_text()
    actions = yaml.safe_load(data[f"resource.customizations.actions.{suffix}"])
    assert actions == {
        "discovery.lua": (ARGOCD / "actions/discovery.lua").read_text(),
        "definitions": [
            {"name": name, "action.lua": (ARGOCD / f"actions/{name}/action.lua").read_text()}
            for name in ("promote", "abort", "retry")
        ],
    }
