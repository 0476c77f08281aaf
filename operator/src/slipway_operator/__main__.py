"""Composition root: ``python -m slipway_operator``."""

import asyncio
import json
import logging
import os
import sys
from contextlib import AsyncExitStack
from typing import Final

import uvloop
from aiohttp import web

from slipway import contract
from slipway.contract import ExitCode, OperatorEnv
from slipway.errors import Invalid, NotFound, SlipwayError
from slipway.interrupts import on_interrupt
from slipway_operator import handlers, settings
from slipway_operator.control.elector import Elector
from slipway_operator.control.health import Vitals, application
from slipway_operator.control.manager import Manager, Scope, cancel_all
from slipway_operator.kube.client import KubeClient
from slipway_operator.kube.http import load_configuration
from slipway_operator.kube.store import Store
from slipway_operator.plan.objects import Ref
from slipway_operator.telemetry.metrics import OperatorMetrics
from slipway_operator.telemetry.poller import Poller

_log = logging.getLogger("slipway_operator")
_LEASE: Final = "slipway-operator"
_FIRST_RESTART: Final = 1.0
_LONGEST_RESTART: Final = 10.0


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def main() -> int:
    """Run until told to stop; the exit code says why it ended."""
    try:
        found = settings.read(os.environ)
    except Invalid as error:
        sys.stderr.write(f"slipway-operator: {error}\n")
        return ExitCode.USAGE
    _configure_logging(found)
    try:
        return uvloop.run(run(found))
    except SlipwayError as error:
        _log.error("%s", error)
        return ExitCode.INVALID if isinstance(error, Invalid) else ExitCode.TRANSIENT


def _configure_logging(found: settings.Settings) -> None:
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(_JsonFormatter() if found.json_logs else text)
    logging.basicConfig(level=found.log_level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


async def run(found: settings.Settings) -> int:
    """Wire everything together and run it.

    Raises:
        SlipwayError: no access to the cluster, or the CRD is missing.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    on_interrupt(stop.set)
    metrics = OperatorMetrics()
    async with AsyncExitStack() as stack:
        lease_client = await stack.enter_async_context(KubeClient(await load_configuration()))
        elector = Elector(
            lease_client,
            Ref("Lease", found.lease_namespace, _LEASE),
            found.identity,
            clock=loop.time,
        )
        client = await stack.enter_async_context(
            KubeClient(await load_configuration(), gate=elector.gate, on_write=metrics.wrote)
        )
        await _check_crd(client, found.namespaces)
        manager, poller = _control(client, metrics, found)
        await _serve_health(stack, _vitals(manager, elector), metrics, found.port)
        tasks = [
            loop.create_task(elector.run(), name="elector"),
            loop.create_task(poller.run(), name="poller"),
            loop.create_task(_kopf(manager, found.namespaces, stop), name="kopf"),
            loop.create_task(_resync(manager, found), name="resync"),
            loop.create_task(_follow(elector, manager), name="lead"),
        ]
        await manager.start(watch_resources=False)
        ended = await _until(stop, tasks)
        await manager.stop()
        await elector.release()
        await cancel_all(tasks)
    return ended


def _control(
    client: KubeClient, metrics: OperatorMetrics, found: settings.Settings
) -> tuple[Manager, Poller]:
    store = Store()
    poller = Poller(store)
    manager = Manager(
        client,
        store,
        config=found.config,
        windows=poller,
        metrics=metrics,
        scope=Scope(found.namespaces, found.resync_seconds),
    )
    return manager, poller


async def _check_crd(client: KubeClient, namespaces: tuple[str, ...]) -> None:
    try:
        await client.list(contract.KIND, namespaces[0] if namespaces else None)
    except NotFound as error:
        raise Invalid(
            f"the CustomResourceDefinition {contract.PLURAL}.{contract.GROUP} is not installed: "
            "set crds.install=true for the chart, or kubectl apply -f crds/"
        ) from error


def _vitals(manager: Manager, elector: Elector) -> Vitals:
    return Vitals(
        synced=lambda: manager.synced,
        leading=elector.leading.is_set,
        queue_depth=lambda: len(manager.queue),
        queue_oldest=manager.queue.oldest,
        watch_silence=manager.silent_seconds,
        resources=lambda: len(manager.reconciler.resources),
    )


async def _serve_health(
    stack: AsyncExitStack, vitals: Vitals, metrics: OperatorMetrics, port: int
) -> None:
    beat = asyncio.get_running_loop().create_task(vitals.beat(), name="beat")
    stack.push_async_callback(cancel_all, [beat])
    runner = web.AppRunner(application(vitals, metrics), access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, port=port).start()
    except OSError as error:
        raise Invalid(
            f"port {port} cannot be listened on ({error.strerror}): set {OperatorEnv.PORT}"
        ) from error


async def _follow(elector: Elector, manager: Manager) -> None:
    await elector.leading.wait()
    manager.leading.set()


async def _kopf(manager: Manager, namespaces: tuple[str, ...], stop: asyncio.Event) -> None:
    """Run kopf, again and again: any watch error but 410 ends it (kopf 1.45)."""
    loop = asyncio.get_running_loop()
    wait = _FIRST_RESTART
    while not stop.is_set():
        started = loop.time()
        try:
            await handlers.serve(manager.resource_event, namespaces=namespaces, stop_flag=stop)
        except Exception:  # noqa: BLE001 - whatever ended it, the watch must go on
            _log.exception("the watch of ModelDeployments ended; it starts again")
        if loop.time() - started > 60:
            wait = _FIRST_RESTART
        await asyncio.sleep(wait)
        wait = min(wait * 2, _LONGEST_RESTART)


async def _resync(manager: Manager, found: settings.Settings) -> None:
    while True:
        try:
            await manager.resync(found.namespaces)
        except SlipwayError as error:
            _log.warning("resync: %s", error)
        await asyncio.sleep(found.resync_seconds / 2)


async def _until(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> int:
    """Wait for a signal, or for a task that must not end."""
    stopping = asyncio.get_running_loop().create_task(stop.wait())
    vital = [task for task in tasks if task.get_name() != "lead"]
    done, _ = await asyncio.wait([stopping, *vital], return_when=asyncio.FIRST_COMPLETED)
    if stopping in done:
        return int(ExitCode.OK)
    stopping.cancel()
    for task in done:
        if not task.cancelled() and task.exception() is not None:
            _log.error("task %s ended", task.get_name(), exc_info=task.exception())
    return int(ExitCode.TRANSIENT)


if __name__ == "__main__":
    sys.exit(main())
