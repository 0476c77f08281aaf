"""``LocalCluster``: objects, controllers, pods and services, tied together and stepped."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from slipway_local.addresses import Addresses
from slipway_local.api import ObjectsApi
from slipway_local.clock import Clock, RealClock
from slipway_local.controllers import deployment, gc, job, replicaset, service
from slipway_local.controllers.hpa import Autoscaler
from slipway_local.objects import Objects
from slipway_local.pods.processes import ProcessPods
from slipway_local.pods.runtime import PodRuntime
from slipway_local.services import ServiceProxies
from slipway_operator.plan.objects import Ref

_log = logging.getLogger(__name__)
Controller = Callable[[Objects, datetime], list[str]]
_CONTROLLERS: Final[tuple[Controller, ...]] = (gc.step, deployment.step, replicaset.step, job.step)
_MOST_PASSES: Final = 500  # a step that is not done by then is a bug in a controller
_SHORTEST_PAUSE: Final = 0.02  # seconds between two steps
_LONGEST_PAUSE: Final = 0.25  # without any change: backoffs and probes have their times


class LocalCluster:
    """A cluster of simulated pods, or any other runtime, without a task of its own.

    Args:
        clock: its time.
        pods: what runs its pods.
        addresses: where Services' addresses come from; absent: any, and nobody listens on them.
        scaling_period: seconds between two looks of an autoscaler.

    Attributes:
        api: the ``Cluster`` that operators and command lines speak to.
        objects: the same, synchronous, for controllers and tests.
        pods: the runtime.
    """

    def __init__(
        self,
        clock: Clock,
        pods: PodRuntime,
        *,
        addresses: Addresses | None = None,
        scaling_period: float = 15.0,
    ) -> None:
        self.clock = clock
        self.pods = pods
        allocate = addresses.service if addresses else None
        self.objects = Objects(clock, service_address=allocate)
        self.api = ObjectsApi(self.objects)
        self._autoscaler = Autoscaler(pods.usage, period=scaling_period)

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
        """Ready pods behind a Service's first port.

        Raises:
            NotFound: no such Service.
        """
        found = self.objects.get(Ref("Service", namespace, name))
        return service.endpoints(self.objects, found, found["spec"]["ports"][0])


class RunningCluster(LocalCluster):
    """``slipway local``: real time, pods as processes, Services that answer.

    Use as ``async with RunningCluster(run_dir, images=...) as cluster``; leaving ends every
    process that it started.

    Args:
        run_dir: folder for volumes (removed at the end) and logs (kept).
        images: names of the images that hold Slipway's programs; others cannot be pulled.
        programs: other images, each with the command that stands for it.
        backoff: seconds that the second restart of a container waits.
        scaling_period: seconds between two looks of an autoscaler.

    Raises:
        Transient: this machine's loopback network cannot be used.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        images: frozenset[str],
        programs: Mapping[str, tuple[str, ...]] | None = None,
        backoff: float = 10.0,
        scaling_period: float = 15.0,
    ) -> None:
        self._addresses = Addresses()
        pods = ProcessPods(
            run_dir, self._addresses, images=images, programs=programs, backoff=backoff
        )
        super().__init__(
            RealClock(), pods, addresses=self._addresses, scaling_period=scaling_period
        )
        self._proxies = ServiceProxies(low_ports=self._addresses.low_port_works())
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.objects.listeners.add(self._changed.set)
        self.pods.on_change(self._changed.set)
        self.pods.open()
        self._task = asyncio.create_task(self._run(), name="local cluster")
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._task is not None:
                self._task.cancel()
                with suppress(asyncio.CancelledError):
                    await self._task
        finally:
            await self._proxies.close()
            await self.pods.close()
            self.api.end_watches()
            self._addresses.close()

    def listen_port(self, port: int) -> int:
        """Where a Service's port is listened on: itself, or 8000 more without the right to."""
        return self._proxies.listen_port(port)

    async def failed(self) -> None:
        """Wait for a bug that ends the controllers, and raise it."""
        assert self._task is not None
        await asyncio.shield(self._task)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            for deed in self.step():
                _log.debug(deed)
            await self._proxies.sync(self.objects)
            await asyncio.sleep(_SHORTEST_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_PAUSE):
                    await self._changed.wait()
