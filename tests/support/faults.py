"""A cluster that drops its caller at one chosen API call, before or after the call took effect."""

from collections.abc import AsyncIterator
from typing import Literal

from slipway_operator.kube.cluster import Cluster, Listing, WatchEvent
from slipway_operator.plan.objects import Object, Ref


class Dropped(BaseException):
    """The caller is dead: no ``except Exception`` of its may survive this."""


class FaultyCluster:
    """Wraps any ``Cluster``; raises ``Dropped`` at the k-th counted call and at every later one.

    Args:
        inner: the real thing; it goes on living after the caller is dropped.
        fail_at: k, from 1; None never fails and only counts.
        when: ``before`` the call takes effect, or ``after`` it did (the answer is lost).
        counted: ``writes`` counts apply, create, patch and delete; ``all`` get, list and watch too.
    """

    def __init__(
        self,
        inner: Cluster,
        *,
        fail_at: int | None,
        when: Literal["before", "after"] = "before",
        counted: Literal["writes", "all"] = "writes",
    ) -> None:
        self._inner = inner
        self._fail_at = fail_at
        self._when = when
        self._counted = counted
        self.calls: list[str] = []  # what was counted, in order: "patch ModelDeployment default/m"
        self.dropped = False

    async def get(self, ref: Ref) -> Object:
        self._before(f"get {ref}", reads=True)
        result = await self._inner.get(ref)
        self._after()
        return result

    async def list(self, kind: str, namespace: str | None, *, selector: str = "") -> Listing:
        self._before(f"list {kind}", reads=True)
        result = await self._inner.list(kind, namespace, selector=selector)
        self._after()
        return result

    async def watch(
        self, kind: str, namespace: str | None, *, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        self._before(f"watch {kind}", reads=True)
        self._after()
        async for event in self._inner.watch(
            kind, namespace, selector=selector, resource_version=resource_version
        ):
            if self.dropped:
                raise Dropped
            yield event

    async def apply(self, obj: Object) -> Object:
        meta = obj["metadata"]
        self._before(f"apply {Ref(obj['kind'], meta.get('namespace', ''), meta['name'])}")
        result = await self._inner.apply(obj)
        self._after()
        return result

    async def create(self, obj: Object) -> Object:
        meta = obj["metadata"]
        name = meta.get("name") or meta.get("generateName", "")
        self._before(f"create {Ref(obj['kind'], meta.get('namespace', ''), name)}")
        result = await self._inner.create(obj)
        self._after()
        return result

    async def patch(self, ref: Ref, patch: Object, *, subresource: str = "") -> Object:
        self._before(f"patch {ref}" + (f"/{subresource}" if subresource else ""))
        result = await self._inner.patch(ref, patch, subresource=subresource)
        self._after()
        return result

    async def delete(self, ref: Ref, *, uid: str) -> None:
        self._before(f"delete {ref}")
        await self._inner.delete(ref, uid=uid)
        self._after()

    def _before(self, call: str, *, reads: bool = False) -> None:
        if self.dropped:
            raise Dropped
        if reads and self._counted == "writes":
            return
        self.calls.append(call)
        if len(self.calls) == self._fail_at and self._when == "before":
            self.dropped = True
            raise Dropped(call)

    def _after(self) -> None:
        if self.dropped or len(self.calls) == self._fail_at:
            self.dropped = True
            raise Dropped(self.calls[-1])
