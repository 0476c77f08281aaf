"""The control loop, driven by watches alone: nobody pokes it."""

import asyncio

from slipway.api.v1alpha1.resource import parse_status
from slipway.tasks import format_report
from slipway_local.clock import VirtualClock
from slipway_local.cluster import LocalCluster
from slipway_local.pods.runtime import Exit
from slipway_local.pods.simulated import Script, SimulatedPods
from slipway_operator.control.manager import Manager
from slipway_operator.kube.store import Store
from slipway_operator.plan.objects import Object, Ref
from slipway_operator.telemetry.metrics import OperatorMetrics
from slipway_operator.telemetry.poller import Poller
from tests.support.builders import config, job_report, model_deployment

KEY = Ref("ModelDeployment", "default", "fraud")
TURNS = 400


def behave(pod: Object, container: str, attempt: int) -> Script:
    if container == "publish":
        return Script(seconds=1.0, exit=Exit(0, format_report(job_report())))
    return Script() if container == "server" else Script(seconds=1.0)


async def test_a_resource_gets_healthy_by_its_own_events_alone() -> None:
    clock = VirtualClock()
    cluster = LocalCluster(clock, SimulatedPods(clock, behave))
    store = Store()
    manager = Manager(
        cluster.api,
        store,
        config=config(),
        windows=Poller(store),
        metrics=OperatorMetrics(),
        now=clock.now,
    )
    manager.leading.set()
    await manager.start(watch_resources=True)
    cluster.objects.create(model_deployment(replicas=1))
    phase = ""
    for _ in range(TURNS):
        cluster.step()
        clock.advance(0.5)
        for _ in range(20):
            await asyncio.sleep(0)
        phase = parse_status(cluster.objects.get(KEY)).phase
        if phase == "Healthy":
            break
    await manager.stop()
    assert phase == "Healthy"
