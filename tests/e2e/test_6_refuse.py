"""Step 6: bad versions: one under its gate, and two that fail only in service."""

import time

import pytest

from tests.e2e.figures import tell
from tests.e2e.space import Space, condition, identities
from tests.support import models
from tests.support.kubectl import Json, eventually
from tests.support.load import Load, Mix

STRICT: Json = {
    "interval": "5s",
    "minRequests": 20,
    "failureLimit": 1,
    "noDataPolicy": "Wait",
    "metrics": [
        {"name": "request-success-rate", "min": "99"},
        # One slow answer costs 100 ms of CPU and more.
        {"name": "latency-p95", "max": "60"},
    ],
}
SPEC: Json = {"rollout": {"canary": {"analysis": STRICT}}}


@pytest.fixture(scope="module")
def served(stage: Space) -> Space:
    """A good version serves; so it does at the end of each test."""
    stage.apply(stage.plain("model", **SPEC))
    stage.healthy("model")
    return stage


def refused(resource: Json) -> bool:
    """Only the user can go on."""
    stalled = condition(resource, "Stalled")
    return bool(stalled) and stalled["observedGeneration"] == resource["metadata"]["generation"]


def test_a_model_under_its_gate_never_gets_a_pod_and_is_not_tried_again(served: Space) -> None:
    space, good = served, served.status("model")["stable"]["revision"]
    pods = identities(space.servers("model"))

    since = space.apply(space.plain("model", model="bad", **SPEC))
    status = space.watch.wait("model", refused, since=since)["status"]
    bad = status["targetRevision"]
    assert status["phase"] == "Degraded"
    assert f"{good} serves" in status["message"]
    assert "slipway retry model" in status["message"]
    (rejected,) = status["rejectedRevisions"]
    assert rejected["revision"] == bad
    assert "accuracy" in rejected["message"]
    assert "0.8" in rejected["message"]
    assert condition({"status": status}, "Ready")["status"] == "True"
    assert condition({"status": status}, "Validated")["status"] == "False"
    tell(f"under its gate: {rejected['reason']}: {rejected['message']}")

    jobs = space.jobs("model")
    time.sleep(25)  # longer than the first backoff
    assert set(space.deployments("model")) == {good}
    assert identities(space.servers("model")) == pods
    assert space.jobs("model") == jobs
    assert not any(
        bad == (s["status"].get("canary") or {}).get("revision")
        for s in space.watch.states("model")[since:]
        if s.get("status")
    )

    seen = len(space.watch.states("model"))
    assert bad in space.cli("retry", "model")
    eventually(
        "a new Job",
        lambda: space.jobs("model").get(f"{bad}-opt") not in (None, jobs[f"{bad}-opt"]),
        seconds=60,
    )
    again = space.watch.wait("model", refused, since=seen + 1)
    assert again["status"]["rejectedRevisions"][-1]["revision"] == bad

    # The spec goes back: by reference, without a Job.
    since = space.apply(space.plain("model", **SPEC))
    back = space.healthy("model", since=since, seconds=30)
    assert back["status"]["stable"]["revision"] == good
    assert identities(space.servers("model")) == pods


@pytest.mark.parametrize(
    ("version", "metric"), [("v3-nan", "request-success-rate"), ("v3-slow", "latency-p95")]
)
def test_a_model_that_fails_only_in_service_is_rolled_back_by_itself(
    served: Space, version: str, metric: str
) -> None:
    space, good = served, served.status("model")["stable"]["revision"]
    pods = identities(space.servers("model"))

    row = models.short_row()
    rest, rpc = models.rest("model", "bytes", row), models.grpc("model", "bytes", row)
    since = space.apply(space.plain("model", model=version, **SPEC))
    with Load(
        space.reachable("model"), http=rest, grpc_request=rpc, mix=Mix.only("http-new", 12.0, 6)
    ) as load:
        status = space.watch.wait("model", refused, since=since, seconds=200)["status"]
        bad = status["targetRevision"]
        rejected = status["rejectedRevisions"][-1]
        assert (rejected["revision"], rejected["reason"]) == (bad, "AnalysisFailed")
        assert metric in rejected["message"]
        assert condition({"status": status}, "Ready")["status"] == "True"
        tell(f"{version}: rolled back: {rejected['message']}")
        eventually("the canary at zero", lambda: _replicas(space, bad) == 0, seconds=40)
        eventually("only stable's pods", lambda: len(space.servers("model")) == 1, seconds=90)
        at_rest = load.result.failed
        answered = len(load.result.answers)
        eventually("20 more answers", lambda: len(load.result.answers) > answered + 20, seconds=30)
        assert load.result.failed == at_rest, load.result.failures[-3:]

    tell(f"{version}: {load.result.summary()}")
    assert {answer.revision for answer in load.result.answers[-20:]} == {good}
    assert identities(space.servers("model")) == pods
    told = [each for kind, why, each in space.events("model") if why == "RolledBack"]
    assert any(bad in each for each in told), told


def _replicas(space: Space, revision: str) -> int:
    found: int = space.deployments("model")[revision]["spec"]["replicas"]
    return found
