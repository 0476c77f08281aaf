"""Step 2: kubectl apply, and what kubectl tells."""

import json

import pytest

from tests.e2e.helm import Installation
from tests.e2e.space import Space, condition, is_healthy
from tests.support.invalid_manifests import INVALID
from tests.support.kubectl import Json, Kubectl, Refused

PHASES = ["Pending", "Optimizing", "Validating", "Progressing", "Healthy"]


def test_the_phases_are_seen_in_order(first: Space) -> None:
    assert first.watch.phases("first")[: len(PHASES)] == PHASES
    told = [entry["phase"] for entry in first.status("first")["phases"]]
    assert told == PHASES


def test_a_pending_one_says_what_it_waits_for(first: Space) -> None:
    pending = [
        state["status"]["message"]
        for state in first.watch.states("first")
        if (state.get("status") or {}).get("phase") == "Pending"
    ]
    assert pending
    assert all("waits for" in message for message in pending), pending


def test_no_condition_ever_claimed_a_failure(first: Space) -> None:
    """Ready and RolledOut are false until they are true; the others are unknown until known."""
    states = first.watch.states("first")
    for kind in ("Optimized", "Validated"):
        statuses = [condition(state, kind).get("status") for state in states if state.get("status")]
        assert "False" not in statuses[: _first_healthy(states)]
        assert statuses[-1] == "True"


def _first_healthy(states: list[Json]) -> int:
    return next(index for index, state in enumerate(states) if is_healthy(state))


def test_get_shows_the_columns(first: Space) -> None:
    head, row = first.kubectl("get", "mdep", "first").splitlines()
    assert head.split() == [
        "NAME", "PHASE", "READY", "STABLE", "CANARY", "WEIGHT", "VARIANT", "REPLICAS", "AGE",
    ]  # fmt: skip
    stable = first.status("first")["stable"]
    shown = [stable["revision"], stable["artifact"]["variant"]]
    assert row.split()[:5] == ["first", "Healthy", "True", *shown]
    wide = first.kubectl("get", "modeldeployments.slipway.dev", "-o", "wide").splitlines()[0]
    assert wide.split()[-4:] == ["FORMAT", "DIGEST", "URL", "MESSAGE"]
    assert "first" in first.kubectl("get", "inference")


def test_wait_returns_for_ready(first: Space) -> None:
    said = first.kubectl("wait", "mdep/first", "--for=condition=Ready", "--timeout=10s")
    assert "condition met" in said


def test_describe_tells_the_story_with_numbers(first: Space) -> None:
    text = first.kubectl("describe", "mdep", "first")
    for reason in ("OptimizationStarted", "OptimizationFinished", "DeploymentStarted", "Promoted"):
        assert reason in text
    message = first.status("first")["stable"]["validation"]["message"]
    assert message in text
    assert "accuracy 0." in message
    assert "x latency" in message
    assert "1 of 1 pods ready" in text


def test_diff_is_empty_after_it_is_healthy(first: Space) -> None:
    manifest = json.dumps(first.magika("first"))
    assert first.kubectl("diff", "-f", "-", stdin=manifest) == ""


def test_server_side_apply_works_as_well(first: Space) -> None:
    manifest = first.magika("by-server")
    first.kubectl.apply(manifest, flags=("--server-side", "--field-manager=gitops"))
    first.healthy("by-server")
    first.kubectl.apply(manifest, flags=("--server-side", "--field-manager=gitops"))
    manager = ("--server-side", "--field-manager=gitops")
    assert first.kubectl("diff", *manager, "-f", "-", stdin=json.dumps(manifest)) == ""


def test_explain_describes_the_fields(first: Space) -> None:
    text = first.kubectl("explain", "mdep.spec.rollout.canary.analysis.minRequests")
    assert "Fewer are no data." in text


def test_what_is_invalid_is_many_things() -> None:
    assert len(INVALID) >= 15


@pytest.mark.parametrize("what", INVALID)
def test_the_api_server_refuses(installation: Installation, what: str) -> None:
    refused = INVALID[what]
    with pytest.raises(Refused) as caught:
        Kubectl()("create", "-f", "-", stdin=json.dumps(refused.manifest))
    assert refused.says in str(caught.value)


def test_a_resource_that_names_no_store_is_told_so(first: Space) -> None:
    manifest = first.plain("elsewhere")
    manifest["spec"]["model"]["storageUri"] = "file:///models/v1.onnx"
    since = first.apply(manifest)
    seen = first.watch.wait(
        "elsewhere", lambda r: bool(condition(r, "Stalled")), seconds=30, since=since
    )
    assert seen["status"]["phase"] == "Degraded"
    assert condition(seen, "Stalled")["reason"] == "SpecInvalid"
    assert "upload it and use s3://" in seen["status"]["message"]
    first.kubectl("delete", "mdep", "elsewhere")
