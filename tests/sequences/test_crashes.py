"""The operator dies at every single API call of a rollout, before and after it took effect."""

import functools
from copy import deepcopy
from typing import Any, Literal

import pytest

from tests.support.builders import model_deployment
from tests.support.simulation import Simulation, healthy, revision_of, rolled_out

QUICK = {"canary": {"analysis": {"interval": "4s"}}}


def never_two_canaries(simulation: Simulation) -> None:
    serving = {
        revision_of(pod)
        for pod in simulation.objects("Pod")
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == "predictor"
        and not pod["metadata"].get("deletionTimestamp")
    }
    assert len(serving) <= 2, serving


def stable_never_below_its_replicas(simulation: Simulation) -> None:
    status = simulation.status
    if status.stable is None or status.phase == "Pending":
        return
    found = {revision_of(d): d["spec"]["replicas"] for d in simulation.objects("Deployment")}
    assert found[status.stable.revision] == 4


def end_state(simulation: Simulation) -> dict[str, Any]:
    """Everything that must not depend on crashes: no times, no versions."""
    status = simulation.status
    return {
        "deployments": {
            revision_of(d): d["spec"]["replicas"] for d in simulation.objects("Deployment")
        },
        "services": {
            s["metadata"]["name"]: s["spec"]["selector"] for s in simulation.objects("Service")
        },
        "jobs": sorted(j["metadata"]["name"] for j in simulation.objects("Job")),
        "job_uids": len({j["metadata"]["uid"] for j in simulation.objects("Job")}),
        "optimizer_pods": len(
            [
                p
                for p in simulation.objects("Pod")
                if p["metadata"]["labels"]["app.kubernetes.io/component"] == "optimizer"
            ]
        ),
        "revisions": {
            r["metadata"]["name"]: r["revision"] for r in simulation.objects("ControllerRevision")
        },
        "stable": status.stable.revision if status.stable else None,
        "canary": status.canary,
        "conditions": {c.type: (c.status, c.reason) for c in status.conditions},
        "phase": status.phase,
        "events": sorted({e["reason"] for e in simulation.objects("Event")}),
    }


@functools.cache
def first_model_serves() -> Simulation:
    """Where every rollout begins. Shared: to be copied."""
    simulation = Simulation(
        model_deployment(rollout=QUICK),
        invariants=[never_two_canaries, stable_never_below_its_replicas],
    )
    simulation.run(healthy)
    simulation.writes.clear()
    return simulation


def full_rollout(
    *, fail_at: int | None = None, when: Literal["before", "after"] = "before"
) -> Simulation:
    simulation = deepcopy(first_model_serves())
    simulation.new_model("v2")
    simulation.run(rolled_out(2), fail_at=fail_at, when=when)
    simulation.settle(15)
    return simulation


def first_deploy(
    *, fail_at: int | None = None, when: Literal["before", "after"] = "before"
) -> Simulation:
    simulation = Simulation(model_deployment(), invariants=[never_two_canaries])
    simulation.run(healthy, fail_at=fail_at, when=when)
    simulation.settle(15)
    return simulation


@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("story", [first_deploy, full_rollout])
def test_a_crash_at_any_write_leads_to_the_same_end(
    story: Any, when: Literal["before", "after"]
) -> None:
    undisturbed = story()
    wanted = end_state(undisturbed)
    count = len(undisturbed.writes)
    assert count > 10
    for k in range(1, count + 1):
        assert end_state(story(fail_at=k, when=when)) == wanted, f"crash {when} write {k}"
