"""Autoscaling: the arithmetic, and a target that follows its load."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway_local.clock import VirtualClock
from slipway_local.cluster import LocalCluster
from slipway_local.controllers.hpa import Proposal, Sample, propose, stabilize
from slipway_local.pods.runtime import Usage
from slipway_local.pods.simulated import SimulatedPods
from slipway_operator.plan.objects import Object, condition, ref_of
from tests.support.manifests import autoscaler, deployment, probed, ref, template


def up(percent: float | None, *, ready: bool = True) -> Sample:
    """A pod that asks for 100m CPU and uses that percentage of it."""
    return Sample(None if percent is None else percent / 1000, 0.1, ready)


@pytest.mark.parametrize(
    ("story", "samples", "target", "current", "want"),
    [
        ("twice the target doubles", [up(150), up(150)], 75, 2, Proposal(4, 150)),
        ("uneven pods count by their sum", [up(200), up(40)], 60, 2, Proposal(4, 120)),
        ("half the target halves", [up(30)] * 4, 60, 4, Proposal(2, 30)),
        ("rounds up", [up(70)] * 3, 60, 3, Proposal(4, 70)),
        ("within a tenth nothing changes", [up(65)] * 3, 60, 3, Proposal(3, 65)),
        ("idle goes to nothing, for the minimum to lift", [up(0)] * 3, 50, 3, Proposal(0, 0)),
        ("nothing is known", [up(None)], 50, 1, None),
        ("no pods", [], 50, 1, None),
        (
            "a pod that is not ready yet counts as idle when growing",
            [up(100), up(None, ready=False)],
            50,
            2,
            Proposal(2, 100),
        ),
        (
            "and grows less because of it",
            [up(200), up(None, ready=False)],
            50,
            2,
            Proposal(4, 200),
        ),
        (
            "an unknown pod counts as at its target when shrinking",
            [up(10), up(10), up(None)],
            50,
            3,
            Proposal(2, 10),
        ),
    ],
)
def test_a_proposal(
    story: str, samples: list[Sample], target: int, current: int, want: Proposal | None
) -> None:
    assert propose(samples, target, current) == want, story


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ago(seconds: int, replicas: int) -> tuple[datetime, int]:
    return NOW - timedelta(seconds=seconds), replicas


@pytest.mark.parametrize(
    ("story", "history", "current", "behavior", "want"),
    [
        ("up at once", [ago(15, 1), ago(0, 3)], 1, {}, 3),
        ("down waits five minutes", [ago(299, 3), ago(0, 1)], 3, {}, 3),
        ("then goes", [ago(300, 3), ago(0, 1)], 3, {}, 1),
        ("down to the highest wish since", [ago(200, 2), ago(0, 1)], 3, {}, 2),
        (
            "down at once when asked for",
            [ago(15, 3), ago(0, 1)],
            3,
            {"scaleDown": {"stabilizationWindowSeconds": 0}},
            1,
        ),
        (
            "up waits when asked for",
            [ago(15, 1), ago(0, 3)],
            1,
            {"scaleUp": {"stabilizationWindowSeconds": 60}},
            1,
        ),
    ],
)
def test_windows_hold_a_change_back(
    story: str, history: list[tuple[datetime, int]], current: int, behavior: Object, want: int
) -> None:
    assert stabilize(history, current, behavior, NOW) == want, story


class World:
    """A Deployment whose pods share a load, in cores, and ask for 100m each."""

    def __init__(self, **spec: Any) -> None:
        self.clock = VirtualClock()
        self.pods = SimulatedPods(self.clock)
        self.cluster = LocalCluster(self.clock, self.pods)
        pod = template(probed(resources={"requests": {"cpu": "100m"}}))
        self.cluster.objects.apply(deployment(pod=pod))
        self.cluster.objects.apply(autoscaler(**spec))
        self.load = 0.0

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.cluster.step()
            self.clock.advance(1)
            running = self.cluster.objects.select("Pod")
            for pod in running:
                self.pods.set_usage(ref_of(pod), Usage(self.load / len(running), 0))
        self.cluster.step()

    @property
    def replicas(self) -> int:
        found: int = self.cluster.objects.get(ref("Deployment"))["spec"]["replicas"]
        return found

    @property
    def live(self) -> Object:
        return self.cluster.objects.get(ref("HorizontalPodAutoscaler"))


def test_a_target_follows_its_load_up_at_once_and_down_after_the_window() -> None:
    world = World(maxReplicas=3)
    world.run(30)
    assert world.replicas == 1

    world.load = 0.2
    world.run(60)
    assert world.replicas == 3, "0.2 cores at 50 % of 0.1 want 4: the maximum is 3"

    world.load = 0.0
    world.run(200)
    assert world.replicas == 3
    world.run(130)
    assert world.replicas == 1


def test_the_operator_s_applies_leave_a_scaled_target_alone() -> None:
    world = World()
    world.load = 0.15
    world.run(60)
    scaled = world.replicas

    pod = template(probed(resources={"requests": {"cpu": "100m"}}, image="server:2"))
    world.cluster.objects.apply(deployment(pod=pod))

    assert (scaled, world.replicas) == (3, 3)


def test_an_autoscaler_says_what_it_sees() -> None:
    world = World(maxReplicas=3)
    world.load = 0.08
    world.run(45)

    status = world.live["status"]
    assert (status["currentReplicas"], status["desiredReplicas"]) == (2, 2)
    assert status["currentMetrics"] == [
        {
            "type": "Resource",
            "resource": {"name": "cpu", "current": {"averageUtilization": 40}},
        }
    ]
    active = condition(world.live, "ScalingActive")
    assert active is not None
    assert active["reason"] == "ValidMetricFound"


def test_bounds_hold_without_any_metric() -> None:
    world = World(minReplicas=2)
    world.run(1)

    assert world.replicas == 2


def test_an_autoscaler_without_metrics_says_so_and_keeps_its_hands_off() -> None:
    clock = VirtualClock()
    cluster = LocalCluster(clock, SimulatedPods(clock))
    cluster.objects.apply(deployment(replicas=3))
    cluster.objects.apply(autoscaler())
    cluster.step()

    found = condition(cluster.objects.get(ref("HorizontalPodAutoscaler")), "ScalingActive")

    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "FailedGetResourceMetric")
    assert cluster.objects.get(ref("Deployment"))["spec"]["replicas"] == 3


def test_a_target_at_zero_is_left_there() -> None:
    world = World()
    world.cluster.objects.patch(ref("Deployment"), {"spec": {"replicas": 0}}, "scale")
    world.run(60)

    assert world.replicas == 0


def test_an_autoscaler_whose_target_is_missing_says_so() -> None:
    clock = VirtualClock()
    cluster = LocalCluster(clock, SimulatedPods(clock))
    cluster.objects.apply(autoscaler())
    cluster.step()

    found = condition(cluster.objects.get(ref("HorizontalPodAutoscaler")), "AbleToScale")
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "FailedGetScale")
