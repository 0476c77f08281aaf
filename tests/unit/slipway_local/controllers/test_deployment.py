"""Rolling updates: the arithmetic, and whole rollouts on simulated pods."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_local.clock import VirtualClock
from slipway_local.cluster import LocalCluster
from slipway_local.controllers.deployment import Bounds, Part, bounds_of, next_sizes
from slipway_local.controllers.owning import is_ready
from slipway_local.pods.simulated import Script, SimulatedPods
from slipway_operator.plan.objects import Object, condition
from tests.support import manifests
from tests.support.manifests import deployment, probed, ref, template


@pytest.mark.parametrize(
    ("surge", "unavailable", "want"),
    [
        ("25%", "25%", Bounds(4, 1, 1)),
        ("30%", "30%", Bounds(4, 2, 1)),
        (1, 0, Bounds(4, 1, 0)),
        (0, 0, Bounds(4, 0, 1)),
        ("1%", "24%", Bounds(4, 1, 0)),
    ],
)
def test_percentages_round_up_for_surge_and_down_for_unavailable(
    surge: int | str, unavailable: int | str, want: Bounds
) -> None:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    spec = {"replicas": 4, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}

    assert bounds_of(spec) == want


@pytest.mark.parametrize(
    ("story", "new", "old", "bounds", "want"),
    [
        ("a first start", Part("n", 0, 0), [], Bounds(3, 1, 0), {"n": 3}),
        (
            "the first new pod comes before any old one goes",
            Part("n", 0, 0),
            [Part("o", 3, 3)],
            Bounds(3, 1, 0),
            {"n": 1, "o": 3},
        ),
        (
            "a new pod that is not available holds everything",
            Part("n", 1, 0),
            [Part("o", 3, 3)],
            Bounds(3, 1, 0),
            {"n": 1, "o": 3},
        ),
        (
            "an available new pod frees an old one",
            Part("n", 1, 1),
            [Part("o", 3, 3)],
            Bounds(3, 1, 0),
            {"n": 1, "o": 2},
        ),
        (
            "broken old pods go first",
            Part("n", 1, 1),
            [Part("broken", 2, 0), Part("good", 1, 1)],
            Bounds(3, 1, 1),
            {"n": 1, "broken": 0, "good": 1},
        ),
        ("a scale-down shrinks the new", Part("n", 5, 5), [], Bounds(2, 1, 0), {"n": 2}),
        ("a scale to none", Part("n", 2, 2), [Part("o", 1, 1)], Bounds(0, 1, 0), {"n": 0, "o": 0}),
        (
            "unavailable pods may make room for the new",
            Part("n", 0, 0),
            [Part("o", 4, 4)],
            Bounds(4, 0, 1),
            {"n": 0, "o": 3},
        ),
    ],
)
def test_one_step_of_a_rolling_update(
    story: str, new: Part, old: list[Part], bounds: Bounds, want: dict[str, int]
) -> None:
    assert next_sizes(new, tuple(old), bounds) == want, story


@given(
    replicas=st.integers(0, 8),
    surge=st.integers(0, 3),
    unavailable=st.integers(0, 3),
    parts=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=3),
)
def test_a_step_keeps_what_must_be_available_and_never_exceeds_the_surge(
    replicas: int, surge: int, unavailable: int, parts: list[tuple[int, int]]
) -> None:
    bounds = Bounds(replicas, surge, unavailable or (0 if surge else 1))
    found = [Part(str(i), wanted, min(wanted, up)) for i, (wanted, up) in enumerate(parts)]
    new = found[0] if found else Part("new", 0, 0)
    old = tuple(found[1:])

    sizes = next_sizes(new, old, bounds)

    up = sum(min(part.available, sizes[part.name]) for part in (new, *old))
    was_up = sum(part.available for part in (new, *old))
    total = sum(part.wanted for part in (new, *old))
    assert up >= min(was_up, bounds.replicas - bounds.unavailable)
    assert sum(sizes.values()) <= max(total, bounds.replicas + bounds.surge)
    assert min(sizes.values()) >= 0


class World:
    """A cluster with simulated pods, and its Deployment ``web``."""

    def __init__(self, ready_after: dict[str, float] | None = None) -> None:
        self.clock = VirtualClock()
        delays = ready_after or {}

        def behave(pod: Object, container: str, attempt: int) -> Script:
            return Script(ready_after=delays.get(pod["spec"]["containers"][0]["image"], 2.0))

        self.pods = SimulatedPods(self.clock, behave)
        self.cluster = LocalCluster(self.clock, self.pods)
        self.least_ready = 10**9
        self.most_pods = 0

    @property
    def live(self) -> Object:
        return self.cluster.objects.get(ref("Deployment"))

    def all_pods(self) -> list[Object]:
        return self.cluster.objects.select("Pod")

    def apply(self, image: str, **spec: Any) -> None:
        self.cluster.objects.apply(deployment(pod=template(probed(image=image)), **spec))

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.cluster.step()
            self.least_ready = min(self.least_ready, sum(map(is_ready, self.all_pods())))
            self.most_pods = max(self.most_pods, len(self.all_pods()))
            self.clock.advance(1)
        self.cluster.step()

    def images(self) -> list[str]:
        return sorted(pod["spec"]["containers"][0]["image"] for pod in self.all_pods())


def test_a_rollout_keeps_every_replica_ready_and_one_more_at_most() -> None:
    world = World()
    world.apply("a:1", replicas=3)
    world.run(5)
    world.least_ready, world.most_pods = 10**9, 0

    world.apply("a:2", replicas=3)
    world.run(20)

    assert world.images() == ["a:2"] * 3
    assert (world.least_ready, world.most_pods) == (3, 4)


def test_a_status_tells_where_a_rollout_stands() -> None:
    world = World()
    world.apply("a:1", replicas=2)
    world.run(5)
    world.apply("a:2", replicas=2)
    world.cluster.step()

    status = world.live["status"]
    counts = {k: v for k, v in status.items() if k != "conditions"}
    assert counts == {
        "observedGeneration": 2,
        "replicas": 3,
        "updatedReplicas": 1,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "unavailableReplicas": 1,
    }
    assert condition(world.live, "Progressing") == {
        "type": "Progressing",
        "status": "True",
        "reason": "ReplicaSetUpdated",
        "message": condition(world.live, "Progressing")["message"],  # type: ignore[index]
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "lastUpdateTime": "2026-01-01T00:00:05Z",
    }

    world.run(20)

    status = {k: v for k, v in world.live["status"].items() if k != "conditions"}
    assert status == {
        "observedGeneration": 2,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
    }


def test_a_rollout_that_does_not_get_ready_stops_and_says_so() -> None:
    world = World({"bad:1": 10**9})
    world.apply("a:1", replicas=2)
    world.run(5)
    world.apply("bad:1", replicas=2, progressDeadlineSeconds=60)

    world.run(59)
    assert condition(world.live, "Progressing")["status"] == "True"  # type: ignore[index]
    world.run(2)

    found = condition(world.live, "Progressing")
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert world.images() == ["a:1", "a:1", "bad:1"]
    assert condition(world.live, "Available")["status"] == "True"  # type: ignore[index]


def test_going_back_to_an_old_template_takes_its_old_replica_set() -> None:
    world = World()
    for image in ("a:1", "a:2", "a:1"):
        world.apply(image, replicas=1)
        world.run(8)

    assert world.images() == ["a:1"]
    assert len(world.cluster.objects.select("ReplicaSet")) == 2


def test_old_replica_sets_are_kept_up_to_the_history_limit() -> None:
    world = World()
    for version in range(5):
        world.apply(f"a:{version}", replicas=1, revisionHistoryLimit=1)
        world.run(8)

    assert len(world.cluster.objects.select("ReplicaSet")) == 2


def test_a_change_of_replicas_alone_replaces_no_pod() -> None:
    world = World()
    world.apply("a:1", replicas=3)
    world.run(5)
    before = {pod["metadata"]["uid"] for pod in world.all_pods()}

    world.cluster.objects.patch(ref("Deployment"), {"spec": {"replicas": 5}}, "scale")
    world.run(5)
    world.cluster.objects.patch(ref("Deployment"), {"spec": {"replicas": 3}}, "scale")
    world.run(5)

    assert {pod["metadata"]["uid"] for pod in world.all_pods()} == before


def test_recreate_ends_the_old_pods_before_it_makes_new_ones() -> None:
    world = World()
    strategy = {"type": "Recreate"}
    world.cluster.objects.create(
        manifests.merged(deployment(replicas=2), {"spec": {"strategy": strategy}})
        | {"spec": deployment(replicas=2)["spec"] | {"strategy": strategy}}
    )
    world.run(5)
    world.most_pods = 0
    patch = {"spec": {"template": {"spec": {"containers": [probed(image="a:2")]}}}}
    world.cluster.objects.patch(ref("Deployment"), patch)
    world.run(8)

    assert world.images() == ["a:2", "a:2"]
    assert world.most_pods == 2


def test_a_deleted_pod_is_replaced() -> None:
    world = World()
    world.apply("a:1", replicas=2)
    world.run(5)
    victim = world.all_pods()[0]

    world.cluster.objects.delete(ref("Pod", victim["metadata"]["name"]))
    world.run(5)

    uids = [pod["metadata"]["uid"] for pod in world.all_pods()]
    assert len(uids) == 2
    assert victim["metadata"]["uid"] not in uids


def test_pods_are_available_only_after_min_ready_seconds() -> None:
    world = World()
    world.apply("a:1", replicas=1, minReadySeconds=10)
    world.run(8)
    assert world.live["status"].get("readyReplicas") == 1
    assert "availableReplicas" not in world.live["status"]

    world.run(6)

    assert world.live["status"]["availableReplicas"] == 1
