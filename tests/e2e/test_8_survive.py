"""Step 8: kills of the operator, and everything that its users get wrong or lose."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.figures import tell
from tests.e2e.helm import Installation
from tests.e2e.s3 import secret
from tests.e2e.settings import SECRET
from tests.e2e.space import ANALYSIS, Space, condition, identities
from tests.support.kubectl import Json, eventually
from tests.support.load import Mix

KILLS = 10
SEED = 20


@pytest.fixture
def _settled(installation: Installation) -> Iterator[None]:
    """Two operators again, whatever happened."""
    yield
    eventually("two ready operators", lambda: len(installation.ready_pods()) == 2, seconds=90)


@pytest.mark.usefixtures("_settled")
def test_kills_of_the_operator_at_random_change_nothing_of_what_it_does(
    space: Space, installation: Installation
) -> None:
    spec: Json = {
        "replicas": 2,
        "optimization": {"mode": "ConvertOnly"},
        "predictor": {"concurrency": {"maxConnectionAgeSeconds": 2}},
        "rollout": {"canary": {"analysis": {**ANALYSIS, "interval": "5s"}}},
    }
    space.apply(space.digits("digits", **spec))
    space.healthy("digits")
    chance = random.Random(SEED)
    jobs: dict[str, set[str]] = defaultdict(set)
    kills = 0
    versions = ["digits-2.skops", "digits.skops"]
    with space.load("digits", Mix.half_kept(40)) as load:
        while kills < KILLS:
            model = versions[kills % 2]
            since = space.apply(space.digits("digits", model=model, **_apart(spec, kills)))
            for _ in range(5):
                time.sleep(chance.uniform(1.0, 5.0))
                kills += _kill(installation, chance)
                _observe(space, jobs)
            space.healthy("digits", since=since, seconds=240)
            _observe(space, jobs)
    states = space.watch.states("digits")
    tell(f"{kills} kills of operators during rollouts: {load.result.summary()}")
    assert load.result.failures == []
    assert all(len(uids) == 1 for uids in jobs.values()), f"a Job was made twice: {jobs}"
    rejected = [
        entry
        for state in states
        for entry in (state.get("status") or {}).get("rejectedRevisions", ())
    ]
    assert rejected == []


def _apart(spec: Json, kills: int) -> Json:
    """Another revision each time, by something that changes no answer."""
    predictor = {**spec["predictor"], "warmup": {"iterations": 10 + kills}}
    return {**spec, "predictor": predictor}


def _kill(installation: Installation, chance: random.Random) -> int:
    names = sorted(
        pod["metadata"]["name"]
        for pod in installation.pods()
        if not pod["metadata"].get("deletionTimestamp")
    )
    victim = chance.choice(names)
    installation.kubectl("delete", "pod", victim, "--grace-period=0", "--force", "--wait=false")
    return 1


def _observe(space: Space, jobs: dict[str, set[str]]) -> None:
    """Note every Job, and see that never more than one canary has pods.

    A revision that was stable keeps its pods for some seconds, also while the next canary starts.
    """
    for name, uid in space.jobs("digits").items():
        jobs[name].add(uid)
    serving = {
        revision
        for revision, each in space.deployments("digits").items()
        if each["spec"]["replicas"]
    }
    stable = [(s.get("status") or {}).get("stable") or {} for s in space.watch.states("digits")]
    canaries = serving - {each.get("revision") for each in stable}
    assert len(canaries) <= 1, f"more than one canary: {canaries}"


def reason(resource: Json, kind: str = "Optimized") -> str:
    found: str = condition(resource, kind).get("reason", "")
    return found


def _for(wanted: str) -> Callable[[Json], bool]:
    """The condition's reason, once the next try is planned."""
    return lambda resource: (
        reason(resource) == wanted and "next at" in resource["status"]["message"]
    )


def test_what_cannot_be_read_is_named_with_a_remedy_and_mended_by_itself(space: Space) -> None:
    """Three at once: a missing source, refused credentials, and bytes that are no model."""
    space.kubectl.apply(secret("wrong", key="not-the-key"))
    missing = space.plain("missing")
    missing["spec"]["model"]["storageUri"] = space.store.uri + "/nobody/was-here.onnx"
    denied = space.plain("denied")
    denied["spec"]["model"]["storage"]["secretRef"]["name"] = "wrong"
    corrupt = space.plain("corrupt")
    corrupt["spec"]["model"]["storageUri"] = space.store.put("corrupt.onnx", b"no model at all")
    pinned = space.plain("pinned")
    pinned["spec"]["model"]["digest"] = "sha256:" + "0" * 64
    for resource in (missing, denied, corrupt, pinned):
        space.apply(resource)

    seen = {
        name: space.watch.wait(name, _for(wanted), seconds=150)
        for name, wanted in (("missing", "SourceNotFound"), ("denied", "StorageDenied"))
    }
    for name, words in (("missing", "was-here.onnx"), ("denied", "Secret")):
        status = seen[name]["status"]
        assert status["phase"] == "Pending"
        assert words in status["message"], status["message"]
        assert "next at" in status["message"]
        tell(f"{name}: {status['message']}")
    for name, words in (("corrupt", "not readable as onnx"), ("pinned", "digest")):
        final = space.watch.wait(name, lambda r: bool(condition(r, "Stalled")), seconds=150)
        assert final["status"]["phase"] == "Degraded"
        assert words in final["status"]["message"], final["status"]["message"]
        tell(f"{name}: {final['status']['message']}")
        assert set(space.deployments(name)) == set()

    # The user mends what is outside of the spec: it goes on by itself.
    space.store.put("nobody/was-here.onnx", space.files.folder / "v1.onnx")
    space.kubectl.apply(secret("wrong"))
    for name in ("missing", "denied"):
        space.healthy(name, seconds=200)


@pytest.fixture(scope="module")
def served(stage: Space) -> Space:
    """Its model ``digits`` serves; so it does at the end of each test."""
    stage.apply(stage.digits("digits", optimization={"mode": "ConvertOnly"}))
    stage.healthy("digits")
    return stage


def test_a_store_that_is_down_is_waited_for_and_what_serves_goes_on(served: Space) -> None:
    space = served
    try:
        space.store.stop()
        waiting = space.digits(
            "waiting", model="digits-2.skops", optimization={"mode": "ConvertOnly"}
        )
        since = space.apply(waiting)
        with space.load("digits", Mix.only("http-new", 20.0)) as load:
            _restart_container(space, "digits")
            state = space.watch.wait(
                "waiting", lambda r: reason(r) == "StorageUnreachable", seconds=200, since=since
            )
        assert state["status"]["phase"] == "Pending"
        tell(f"store down: {state['status']['message']}")
        assert load.result.answers
    finally:
        space.store.start()
    space.healthy("waiting", seconds=240)


def _restart_container(space: Space, name: str) -> None:
    """End the server's process: its container starts again and finds its files in the pod."""
    (pod,) = space.servers(name)
    word = "import os, signal; os.kill(1, signal.SIGTERM)"
    space.kubectl("exec", pod["metadata"]["name"], "--", "python", "-c", word)

    def restarted() -> bool:
        (now,) = space.servers(name)
        status = now["status"]["containerStatuses"][0]
        assert now["metadata"]["uid"] == pod["metadata"]["uid"]
        return bool(status["restartCount"] == 1 and status["ready"])

    eventually("its container back and ready", restarted, seconds=60)


def test_an_image_that_is_not_there_is_named_and_can_be_corrected(served: Space) -> None:
    space = served
    spec: Json = {"optimization": {"mode": "ConvertOnly"}}
    absent: Json = {"predictor": {"runtimeImage": "registry.invalid/slipway/nothing:1"}}
    good = space.settled("digits")["stable"]["revision"]
    pods = identities(space.servers("digits"))
    since = space.apply(space.digits("digits", **spec, **absent))

    def told(resource: Json) -> bool:
        return "cannot be pulled" in ((resource.get("status") or {}).get("message") or "")

    state = space.watch.wait("digits", told, seconds=120, since=since)
    assert "registry.invalid/slipway/nothing:1" in state["status"]["message"]
    assert "imagePullSecrets" in state["status"]["message"]
    assert condition(state, "Ready")["status"] == "True"
    tell(f"image: {state['status']['message']}")
    assert pods.items() <= identities(space.servers("digits")).items()
    since = space.apply(space.digits("digits", **spec))
    back = space.healthy("digits", seconds=60, since=since)
    assert back["status"]["stable"]["revision"] == good
    eventually("the same pods alone", lambda: identities(space.servers("digits")) == pods)


def test_a_secret_that_is_missing_is_named(space: Space) -> None:
    space.kubectl("delete", "secret", SECRET)
    space.apply(space.digits("digits"))
    state = space.watch.wait(
        "digits",
        lambda r: (
            bool(reason(r))
            and reason(r) not in ("JobMissing", "PodMissing", "PodStarting", "Running")
        ),
        seconds=100,
    )
    assert "Secret" in state["status"]["message"], state["status"]["message"]
    tell(f"no Secret: {reason(state)}: {state['status']['message']}")


def test_no_reconcile_was_a_bug(installation: Installation) -> None:
    """At the end of all steps before: no operator met a fault of its own."""
    assert [line for line in installation.errors() if "bug" in line] == []
