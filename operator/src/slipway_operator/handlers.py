"""The kopf shell: login, settings, and one event handler that hands over to our own loop.

Only ``on.event`` is used: it makes no write, no annotation and no finalizer, and nothing in an
object's annotations can mislead it. What it misses across a relist, the manager's resync repairs.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, cast

import kopf

from slipway import contract
from slipway.interrupts import on_interrupt
from slipway_operator.kube.cluster import WatchEvent

_BACKOFFS = (1.0, 2.0, 5.0, 10.0)


class _ForEver:
    """Backoffs without an end: an API outage must not end the watch."""

    def __iter__(self) -> Iterator[float]:
        yield from _BACKOFFS
        while True:
            yield _BACKOFFS[-1]


class _NoDiff(kopf.DiffBaseStorage):
    """Remembers no last state: nobody asks for differences, and copies of each object cost CPU."""

    def build(
        self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None
    ) -> kopf.BodyEssence:
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        return None


def configure(settings: kopf.OperatorSettings) -> None:
    """Settings of kopf's own machinery."""
    settings.persistence.diffbase_storage = _NoDiff()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = cast("Any", _ForEver())
    settings.queueing.idle_timeout = 1  # a task for each object that changed is kept so long
    settings.watching.server_timeout = 290
    settings.watching.chunk_size = 500


def registry(on_event: Callable[[WatchEvent], None]) -> kopf.OperatorRegistry:
    """A private registry whose one event handler passes every change on."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(registry=found)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    # A coroutine: kopf would run a plain function in a thread, and what it feeds is the loop's.
    @kopf.on.event(contract.GROUP, contract.VERSION, contract.PLURAL, registry=found)
    async def changed(event: kopf.RawEvent, **_: Any) -> None:
        kind = event["type"] or "ADDED"  # None: seen in the initial list
        if kind in ("ADDED", "MODIFIED", "DELETED"):
            on_event(WatchEvent(kind, dict(cast("dict[str, Any]", event["object"]))))

    return found


class _AllTasks(Collection[Any]):
    """Every task there is or will be."""

    def __contains__(self, task: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


async def serve(
    on_event: Callable[[WatchEvent], None], *, namespaces: Collection[str], stop_flag: asyncio.Event
) -> None:
    """Run kopf until ``stop_flag`` is set, which SIGTERM and SIGINT do, too."""
    settings = kopf.OperatorSettings()
    configure(settings)
    tasks = await kopf.spawn_tasks(
        registry=registry(on_event),
        settings=settings,
        standalone=True,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        stop_flag=stop_flag,
    )
    # kopf has just taken the signals for itself: they would end its watch and nothing else.
    on_interrupt(stop_flag.set)
    # At its end kopf waits 5 s for every task of the process that is younger than itself, then
    # cancels it. Ours are none of its business.
    await kopf.run_tasks(tasks, ignored=_AllTasks())
