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
_SHORT_ROUND: Final = 1.0  # a watch that ends sooner is asked for again with backoff


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
        self._version = ""  # to watch on from; empty means to list first
        self._cluster = cluster
        self._selector = selector
        self._on_list = on_list
        self._on_event = on_event

    async def run(self) -> None:
        """Run until cancelled. Errors are logged and retried with backoff, never raised."""
        loop = asyncio.get_running_loop()
        wait = _FIRST_WAIT
        while True:
            began = loop.time()
            failed = await self._round()
            if not failed and loop.time() - began >= _SHORT_ROUND:
                wait = _FIRST_WAIT
                continue
            if self.last_contact - began >= _SHORT_ROUND:
                wait = _FIRST_WAIT
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _round(self) -> bool:
        """List if need be, then watch until the watch ends; returns whether in an error."""
        try:
            if not self._version:
                await self._list()
            await self._watch()
        except Gone:
            self._version = ""
        except SlipwayError as error:
            _log.warning("%s", error)
            return True
        return False

    async def _list(self) -> None:
        listing = await self._cluster.list(self.kind, self.namespace, selector=self._selector)
        self._touch()
        self._on_list(listing.items)
        self.synced.set()
        self._version = listing.resource_version

    async def _watch(self) -> None:
        async for event in self._cluster.watch(
            self.kind, self.namespace, selector=self._selector, resource_version=self._version
        ):
            self._touch()
            self._version = event.object["metadata"]["resourceVersion"]
            if event.type != "BOOKMARK":
                self._on_event(event)

    def _touch(self) -> None:
        self.last_contact = asyncio.get_running_loop().time()
