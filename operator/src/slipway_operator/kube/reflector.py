"""List, then watch, for ever; relist when the watch lost the thread. One for each kind."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from slipway.errors import SlipwayError
from slipway_operator.kube.cluster import Cluster, Gone, WatchEvent
from slipway_operator.plan.objects import Object

_log = logging.getLogger(__name__)
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 15.0


class Reflector:
    """Feeds callbacks with one kind.

    Attributes:
        synced: set once the first list is in.
        last_contact: monotonic time of the last list or watch line, for the watchdog.
    """

    def __init__(
        self,
        cluster: Cluster,
        kind: str,
        namespace: str | None,
        *,
        selector: str,
        on_list: Callable[[Iterable[Object]], None],
        on_event: Callable[[WatchEvent], None],
    ) -> None:
        self.kind = kind
        self.namespace = namespace
        self.synced = asyncio.Event()
        self.last_contact = 0.0
        self._cluster = cluster
        self._selector = selector
        self._on_list = on_list
        self._on_event = on_event

    async def run(self) -> None:
        """Run until cancelled. Errors are logged and retried with backoff, never raised."""
        version = ""
        wait = _FIRST_WAIT
        while True:
            try:
                if not version:
                    version = await self._list()
                version = await self._watch(version)
                wait = _FIRST_WAIT
            except Gone:
                version = ""
            except SlipwayError as error:
                _log.warning("%s", error)
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)

    async def _list(self) -> str:
        listing = await self._cluster.list(self.kind, self.namespace, selector=self._selector)
        self._touch()
        self._on_list(listing.items)
        self.synced.set()
        return listing.resource_version

    async def _watch(self, version: str) -> str:
        async for event in self._cluster.watch(
            self.kind, self.namespace, selector=self._selector, resource_version=version
        ):
            self._touch()
            version = event.object["metadata"]["resourceVersion"]
            if event.type != "BOOKMARK":
                self._on_event(event)
        return version

    def _touch(self) -> None:
        self.last_contact = asyncio.get_running_loop().time()
