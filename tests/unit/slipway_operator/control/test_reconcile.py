"""Carrying out a plan: never over somebody else's object, never on an old view."""

import asyncio

import pytest

from slipway.errors import Invalid
from slipway_local.clock import VirtualClock
from slipway_local.cluster import LocalCluster
from slipway_local.pods.simulated import SimulatedPods
from slipway_operator.control.reconcile import Reconciler, Stale
from slipway_operator.kube.kinds import WATCHED
from slipway_operator.kube.store import Store
from slipway_operator.plan.objects import Object, Ref
from slipway_operator.telemetry.poller import Poller
from tests.support.builders import config, model_deployment
from tests.support.simulation import Simulation, healthy

KEY = ("default", "fraud")
RESOURCE = Ref("ModelDeployment", *KEY)
SERVICE = Ref("Service", *KEY)


async def operator_on(cluster: LocalCluster) -> Reconciler:
    """A new operator that has listed everything."""
    store = Store()
    found = Reconciler(
        cluster.api, store, config=config(), windows=Poller(store), now=cluster.clock.now
    )
    await look_again(found, store, cluster)
    return found


async def look_again(operator: Reconciler, store: Store, cluster: LocalCluster) -> None:
    """As reflectors do."""
    for kind in WATCHED:
        store.replace(kind, (await cluster.api.list(kind, None)).items)
    operator.resources[KEY] = await cluster.api.get(RESOURCE)


def cluster_with(*objects: Object) -> LocalCluster:
    clock = VirtualClock()
    cluster = LocalCluster(clock, SimulatedPods(clock))
    for obj in objects:
        cluster.objects.create(obj)
    return cluster


async def test_somebody_elses_service_of_that_name_is_left_alone_and_named() -> None:
    foreign: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "fraud", "namespace": "default"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"name": "http", "port": 80}]},
    }
    cluster = cluster_with(foreign, model_deployment())
    before = cluster.objects.get(SERVICE)
    operator = await operator_on(cluster)

    with pytest.raises(Invalid, match="does not belong to this ModelDeployment"):
        await operator.reconcile(KEY)

    assert cluster.objects.get(SERVICE) == before
    status = cluster.objects.get(RESOURCE)["status"]
    stalled = next(c for c in status["conditions"] if c["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ChildRefused")
    assert "Service default/fraud exists" in status["message"]


def test_nothing_is_scaled_or_deleted_on_an_old_view_of_the_resource() -> None:
    simulation = Simulation(model_deployment())
    simulation.run(healthy)
    simulation.change(replicas=2)
    with asyncio.Runner() as runner:
        operator = runner.run(operator_on(simulation.cluster))
        simulation.change(replicas=3)  # what this operator does not know
        with pytest.raises(Stale):
            runner.run(operator.reconcile(KEY))
    (deployment,) = simulation.objects("Deployment")
    assert deployment["spec"]["replicas"] == 4
    assert operator.resources[KEY]["spec"]["replicas"] == 3


async def test_a_resource_that_is_gone_or_going_is_not_touched() -> None:
    cluster = cluster_with(model_deployment())
    operator = await operator_on(cluster)
    del operator.resources[KEY]
    outcome = await operator.reconcile(KEY)
    assert (outcome.requeue_at, outcome.writes) == (None, 0)
    assert list(cluster.objects.select("Service", None, "")) == []


async def test_what_a_resource_needs_is_made_before_anything_is_told_of_it() -> None:
    cluster = cluster_with(model_deployment())
    operator = await operator_on(cluster)

    made = await operator.reconcile(KEY)
    untold = cluster.objects.get(RESOURCE).get("status") or {}
    told = await operator.reconcile(KEY)

    assert [len(cluster.objects.select(kind)) for kind in ("Job", "Service")] == [1, 1]
    assert (untold.get("phase"), made.writes, told.writes) == (None, 4, 1)
    assert cluster.objects.get(RESOURCE)["status"]["phase"] == "Pending"


async def test_an_object_that_never_stays_as_applied_does_not_silence_the_status() -> None:
    cluster = cluster_with(model_deployment())
    operator = await operator_on(cluster)
    for _ in range(2):
        await operator.reconcile(KEY)
    cluster.objects.patch(RESOURCE, {"spec": {"replicas": 7}}, "")
    for other in ("one", "two"):
        meddled = {"spec": {"selector": {"slipway.dev/model-deployment": other}}}
        cluster.objects.patch(SERVICE, meddled, "")
        await look_again(operator, operator._store, cluster)
        assert (await operator.reconcile(KEY)).writes
    status = cluster.objects.get(RESOURCE)["status"]
    assert status["observedGeneration"] == cluster.objects.get(RESOURCE)["metadata"]["generation"]
