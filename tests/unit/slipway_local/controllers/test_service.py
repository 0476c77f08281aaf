from slipway_local.clock import VirtualClock
from slipway_local.cluster import LocalCluster
from slipway_local.controllers.service import Endpoint, endpoints
from slipway_local.pods.simulated import SimulatedPods
from slipway_operator.plan.objects import Object
from tests.support.manifests import container, pod, probed, ref, service


def names(cluster: LocalCluster) -> list[str]:
    return [endpoint.pod for endpoint in cluster.endpoints("default", "web")]


def world(*pods: Object) -> tuple[LocalCluster, SimulatedPods, VirtualClock]:
    clock = VirtualClock()
    runtime = SimulatedPods(clock)
    cluster = LocalCluster(clock, runtime)
    for made in (*pods, service()):
        cluster.objects.create(made)
    for _ in range(3):
        cluster.step()
        clock.advance(1)
    cluster.step()
    return cluster, runtime, clock


def test_ready_pods_that_match_are_endpoints() -> None:
    other = pod("other", probed())
    other["metadata"]["labels"] = {"app": "other"}

    cluster, runtime, clock = world(pod("a", probed()), pod("b", probed()), other)
    assert names(cluster) == ["a", "b"]

    runtime.set_ready(ref("Pod", "a"), ready=False)
    for _ in range(4):
        clock.advance(1)
        cluster.step()
    assert names(cluster) == ["b"]


def test_a_pod_that_is_being_deleted_leaves_at_once() -> None:
    cluster, _, _ = world(pod("a", probed()), pod("b", probed()))

    cluster.objects.delete(ref("Pod", "a"))

    assert names(cluster) == ["b"]


def test_ports_are_found_by_number_and_by_name() -> None:
    two = container(
        ports=[{"name": "http", "containerPort": 8080}, {"name": "grpc", "containerPort": 9000}]
    )
    cluster, _, _ = world(pod("a", two))
    found = cluster.objects.get(ref("Service"))

    def target(port: int | str) -> tuple[Endpoint, ...]:
        return endpoints(cluster.objects, found, {"targetPort": port})

    assert [e.port for e in target("grpc")] == [9000]
    assert [e.port for e in target(1234)] == [1234]
    assert target("none") == ()


def test_a_service_without_selector_has_no_endpoints_of_its_own() -> None:
    cluster, _, _ = world(pod("a", probed()))
    made = cluster.objects.create(service("bare", selector={}))

    assert endpoints(cluster.objects, made, made["spec"]["ports"][0]) == ()
