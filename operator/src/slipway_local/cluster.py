"""``LocalCluster``: objects, controllers and pods, tied together and stepped."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from slipway_local.api import ObjectsApi
from slipway_local.clock import Clock
from slipway_local.controllers import deployment, gc, job, replicaset, service
from slipway_local.controllers.hpa import Autoscaler
from slipway_local.objects import Objects
from slipway_local.pods.runtime import PodRuntime
from slipway_operator.plan.objects import Ref

Controller = Callable[[Objects, datetime], list[str]]
_CONTROLLERS: Final[tuple[Controller, ...]] = (gc.step, deployment.step, replicaset.step, job.step)
_MOST_PASSES: Final = 200  # a step that is not done by then is a bug in a controller


class LocalCluster:
    """The whole, without a task of its own.

    Attributes:
        api: the ``Cluster`` that operators and command lines speak to.
        objects: the same, synchronous, for controllers and tests.
    """

    def __init__(self, clock: Clock, pods: PodRuntime, *, scaling_period: float = 15.0) -> None:
        self.clock = clock
        self._autoscaler = Autoscaler(pods.usage, period=scaling_period)
        self.pods = pods
        self.objects = Objects(clock)
        self.api = ObjectsApi(self.objects)

    def step(self, now: datetime | None = None) -> list[str]:
        """Run every controller and the pods until nothing changes any more; says what was done.

        Raises:
            RuntimeError: it does not come to rest, which is a bug.
        """
        moment = now or self.clock.now()
        deeds: list[str] = []
        for _ in range(_MOST_PASSES):
            version = self.objects.version
            for controller in (*_CONTROLLERS, self._autoscaler.step, self.pods.step):
                deeds += controller(self.objects, moment)
            if self.objects.version == version:
                return deeds
        raise RuntimeError(f"the cluster does not come to rest: {deeds[-5:]}")

    def endpoints(self, namespace: str, name: str) -> tuple[service.Endpoint, ...]:
        """Ready pods behind a Service's first port."""
        found = self.objects.get(Ref("Service", namespace, name))
        return service.endpoints(self.objects, found, found["spec"]["ports"][0])
