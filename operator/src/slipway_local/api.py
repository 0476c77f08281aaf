"""``Cluster`` over the objects of this process: asynchronous, and copying at the border."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from slipway_local.objects import Objects
from slipway_local.store import schema
from slipway_local.store.history import Scope
from slipway_local.store.selectors import parse_selector
from slipway_local.store.tree import clone
from slipway_operator.kube.cluster import Cluster, Listing, WatchEvent
from slipway_operator.plan.objects import Object, Ref


class ObjectsApi:
    """Implements ``slipway_operator.kube.cluster.Cluster``.

    Each verb gives way to other tasks once, as a network call would, before it takes effect.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._epoch = 0  # watches of an older epoch end

    async def get(self, ref: Ref) -> Object:
        """The live object."""
        await asyncio.sleep(0)
        return clone(self._objects.get(ref))

    async def list(self, kind: str, namespace: str | None, *, selector: str = "") -> Listing:
        """All objects of a kind whose labels match."""
        await asyncio.sleep(0)
        found = self._objects.select(kind, namespace, selector)
        return Listing(tuple(clone(obj) for obj in found), str(self._objects.version))

    async def watch(
        self, kind: str, namespace: str | None, *, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """Changes after a version, until ``end_watches`` or ``Gone``."""
        schema.info_of(kind)
        scope = Scope(kind, namespace, parse_selector(selector))
        cursor, epoch = int(resource_version), self._epoch
        changed = asyncio.Event()
        self._objects.listeners.add(changed.set)
        try:
            while self._epoch == epoch:
                changed.clear()
                for version, event in list(self._objects.since(cursor, scope)):
                    cursor = version
                    yield WatchEvent(event.type, clone(event.object))
                cursor = self._objects.version if not changed.is_set() else cursor
                await changed.wait()
        finally:
            self._objects.listeners.discard(changed.set)

    def end_watches(self) -> None:
        """End every open watch, as an API server does now and then."""
        self._epoch += 1
        for listener in tuple(self._objects.listeners):
            listener()

    async def apply(self, obj: Object) -> Object:
        """Server-side apply, by force."""
        await asyncio.sleep(0)
        return clone(self._objects.apply(obj))

    async def create(self, obj: Object) -> Object:
        """Create."""
        await asyncio.sleep(0)
        return clone(self._objects.create(obj, applied=True))

    async def patch(self, ref: Ref, patch: Object, *, subresource: str = "") -> Object:
        """JSON merge patch."""
        await asyncio.sleep(0)
        return clone(self._objects.patch(ref, patch, subresource))

    async def delete(self, ref: Ref, *, uid: str) -> None:
        """Delete in the background."""
        await asyncio.sleep(0)
        self._objects.delete(ref, uid=uid)


if TYPE_CHECKING:
    _: type[Cluster] = ObjectsApi
