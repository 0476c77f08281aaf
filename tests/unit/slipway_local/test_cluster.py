import pytest

from slipway.errors import NotFound
from slipway_local.clock import VirtualClock
from slipway_local.cluster import LocalCluster
from slipway_local.pods.simulated import SimulatedPods
from tests.support.manifests import autoscaler, deployment, job, ref, service


def test_a_cluster_at_rest_writes_nothing_and_says_nothing() -> None:
    clock = VirtualClock()
    cluster = LocalCluster(clock, SimulatedPods(clock))
    for obj in (deployment(replicas=2), service(), autoscaler(minReplicas=2), job()):
        cluster.objects.create(obj)
    for _ in range(30):
        cluster.step()
        clock.advance(1)
    version = cluster.objects.version

    deeds = []
    for _ in range(10):
        deeds += cluster.step()
        clock.advance(1)

    assert (deeds, cluster.objects.version) == ([], version)


def test_the_same_story_twice_ends_in_the_same_objects() -> None:
    def tell() -> list[object]:
        clock = VirtualClock()
        cluster = LocalCluster(clock, SimulatedPods(clock))
        cluster.objects.create(deployment(replicas=3))
        for second in range(20):
            if second == 8:
                cluster.objects.patch(ref("Deployment"), {"spec": {"replicas": 2}})
            cluster.step()
            clock.advance(1)
        return list(cluster.objects.every())

    assert tell() == tell()


def test_endpoints_of_a_service_that_is_not_there_are_not_found() -> None:
    clock = VirtualClock()

    with pytest.raises(NotFound, match="services"):
        LocalCluster(clock, SimulatedPods(clock)).endpoints("default", "none")
