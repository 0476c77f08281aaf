"""Step 5: a new version takes over by canary while users send requests."""

import time

import pytest

from tests.e2e.figures import tell
from tests.e2e.space import ANALYSIS, Space, identities
from tests.support.kubectl import SEEN_AT, Json, eventually
from tests.support.load import Mix, Result

REPLICAS = 4
REQUESTS = 20_000
RATE = 220.0  # per second
SETTLING = 2.0  # seconds until connections know of new pods: their greatest age, and a second

SPEC: Json = {
    "replicas": REPLICAS,
    "optimization": {"mode": "ConvertOnly"},
    "predictor": {
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        # Kept connections stay with their pod, so they must end now and then to be shared out.
        "concurrency": {"maxConnectionAgeSeconds": 1},
    },
    "rollout": {"canary": {"analysis": {**ANALYSIS, "interval": "12s"}}},
}


def rollout(state: Json) -> Json:
    """Its rollout; empty without one."""
    return (state.get("status") or {}).get("rollout") or {}


def at_weight(state: Json, weight: int) -> bool:
    """Whether the canary has its pods for that weight."""
    found = rollout(state)
    return bool(found.get("readyAt")) and found["weight"]["desired"] == weight


def span(states: list[Json], weight: int) -> tuple[float, float]:
    """From when until when a weight held."""
    begin = next(state[SEEN_AT] for state in states if at_weight(state, weight))
    past = (state for state in states if state[SEEN_AT] > begin and not at_weight(state, weight))
    return begin, next(past)[SEEN_AT]


@pytest.fixture(scope="module")
def served(stage: Space) -> Space:
    """Its model ``digits`` serves; so it does at the end of each test."""
    stage.apply(stage.digits("digits", **SPEC))
    stage.healthy("digits")
    return stage


def test_a_new_version_takes_over_step_by_step_without_a_failed_request(served: Space) -> None:
    space, old = served, served.status("digits")["stable"]["revision"]

    with space.load("digits", Mix.half_kept(RATE)) as load:
        since = space.apply(space.digits("digits", model="digits-2.skops", **SPEC))
        space.watch.wait("digits", lambda state: at_weight(state, 50), seconds=200, since=since)
        canary = space.status("digits")["canary"]["revision"]
        before = identities(space.kubectl.list("pods", labels=_servers_of(canary)))
        space.healthy("digits", seconds=120, since=since)
        eventually("without pods of the old revision", lambda: _pods(space, old) == 0, seconds=90)
        eventually(
            f"{REQUESTS} requests", lambda: load.result.requests >= REQUESTS, seconds=200, period=1
        )

    states = space.watch.states("digits")[since:]
    tell(f"update under load: {load.result.summary()}")
    assert load.result.failed == 0, story(states, load.result)
    assert load.result.requests >= REQUESTS
    _check_mix(load.result)
    _check_phases(space.watch.phases("digits", since=since))
    _check_weights(load.result, states, canary)
    _check_analysis(states)
    after = identities(space.servers("digits"))
    assert len(before) == REPLICAS
    assert after == before, "promotion must restart no pod"
    assert set(after.values()) == {0}
    assert [reason for _, reason, _ in sorted(space.events("digits"))].count("Promoted") == 2


def story(states: list[Json], result: Result) -> str:
    """What happened when, for whoever looks for the reason of failed requests."""
    lines = [
        (at, f"FAILED {text}") for at, text in zip(result.failed_at, result.failures, strict=False)
    ]
    for state in states:
        status = state.get("status") or {}
        lines.append((state[SEEN_AT], f"{status.get('phase')}: {status.get('message')}"))
    begin = min(at for at, _ in lines)
    return "\n".join(f"{at - begin:6.1f} {text}" for at, text in sorted(lines))


def _servers_of(revision: str) -> str:
    return f"slipway.dev/revision={revision},app.kubernetes.io/component=predictor"


def _pods(space: Space, revision: str) -> int:
    return len(space.kubectl.names("pods", labels=_servers_of(revision)))


def _check_mix(result: Result) -> None:
    doors = result.doors()
    kept = doors["http"] + doors["grpc"]
    assert kept >= 0.45 * result.requests, doors
    assert min(doors["http"], doors["grpc"]) > 0.15 * result.requests, doors


def _check_phases(phases: list[str]) -> None:
    order = ["Pending", "Optimizing", "Validating", "Progressing", "Healthy"]
    assert [phase for phase in phases if phase != "Healthy"] == order[:-1]
    assert phases[-1] == "Healthy"


def _check_weights(result: Result, states: list[Json], canary: str) -> None:
    for weight in (20, 50):
        begin, end = span(states, weight)
        share, requests = result.share(canary, begin + SETTLING, end)
        told = [
            rollout(state)["weight"]["actual"]
            for state in states
            if at_weight(state, weight) and rollout(state)["weight"].get("actual") is not None
        ]
        tell(
            f"canary at {weight} %: users saw {share:.1f} % of {requests} requests in "
            f"{end - begin:.0f} s, status said {told} %"
        )
        assert abs(share - weight) <= 5, f"{share:.1f} % instead of {weight} %"
        assert told
        assert all(abs(each - weight) <= 5 for each in told)


def _check_analysis(states: list[Json]) -> None:
    judged = [entry for state in states for entry in rollout(state).get("analysis", ())]
    names = {entry["name"] for entry in judged}
    assert names == {"request-success-rate", "latency-p95", "prediction-agreement"}
    agreement = [entry for entry in judged if entry["name"] == "prediction-agreement"]
    assert max(entry["samples"] for entry in agreement) >= 200
    assert {entry["verdict"] for entry in judged if entry["samples"]} == {"Passed"}


def test_an_edit_that_makes_no_new_model_starts_no_canary(served: Space) -> None:
    space = served
    space.apply(space.digits("digits", model="digits-2.skops", **{**SPEC, "replicas": 1}))
    revision = space.settled("digits")["stable"]["revision"]
    eventually("one pod", lambda: len(space.servers("digits")) == 1, seconds=90)
    pods = identities(space.servers("digits"))
    two = {**SPEC, "replicas": 2}
    since = space.apply(space.digits("digits", model="digits-2.skops", **two))
    space.healthy("digits", since=since)
    time.sleep(3)
    assert space.status("digits")["stable"]["revision"] == revision
    assert "canary" not in space.status("digits")
    assert pods.items() <= identities(space.servers("digits")).items()


def test_promote_by_hand_after_an_endless_pause(served: Space) -> None:
    space = served
    steps = [{"setWeight": 50}, {"pause": {}}]
    spec = {**SPEC, "replicas": 1, "rollout": {"canary": {"steps": steps, "analysis": ANALYSIS}}}
    space.apply(space.digits("digits", model="digits-2.skops", **spec))
    space.settled("digits")
    other = {"predictor": {**SPEC["predictor"], "warmup": {"iterations": 11}}}
    since = space.apply(space.digits("digits", model="digits-2.skops", **{**spec, **other}))
    paused = space.watch.wait(
        "digits", lambda state: (state.get("status") or {}).get("phase") == "Paused", since=since
    )
    assert "slipway promote digits" in paused["status"]["message"]
    canary = paused["status"]["canary"]["revision"]
    assert "promote" in space.cli("promote", "digits")
    done = space.healthy("digits", since=since, seconds=60)
    assert done["status"]["stable"]["revision"] == canary
