"""``Cluster`` over HTTP: paging, watches, server-side apply, our own retries, and the fence."""

import asyncio
import builtins
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from slipway import contract
from slipway.errors import Conflict, NotFound, Transient
from slipway_operator.kube.cluster import Gone, Listing, WatchEvent
from slipway_operator.kube.http import (
    APPLY,
    JSON,
    JSON_PATCH,
    LIST_TIMEOUT,
    MERGE,
    WATCH_TIMEOUT,
    HttpApi,
    Request,
)
from slipway_operator.kube.kinds import KINDS
from slipway_operator.kube.ownership import as_applied
from slipway_operator.plan.objects import Object, Ref, ref_of

_WATCH_SECONDS: Final = 290
_PAGE: Final = 500
_TRIES: Final = 3
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 2.0
_MANAGER: Final = ("fieldManager", contract.FIELD_MANAGER)


class KubeClient:
    """Implements ``Cluster``."""

    def __init__(
        self,
        configuration: Any,
        *,
        gate: Callable[[], None] = lambda: None,
        on_write: Callable[[str, str], None] = lambda verb, kind: None,
    ) -> None:
        """Make a client.

        Args:
            configuration: from ``load_configuration``.
            gate: called before every write; raises when this process may not write now.
            on_write: told verb and kind of every write that is sent.
        """
        self._api = HttpApi(configuration)
        # Watches hold connections for minutes: a second pool, so that they never starve writes.
        self._watches = HttpApi(configuration)
        self._gate = gate
        self._on_write = on_write

    async def __aenter__(self) -> "KubeClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.close()
        await self._watches.close()

    async def get(self, ref: Ref) -> Object:
        """See ``Cluster.get``."""
        path = KINDS[ref.kind].path(ref.namespace, ref.name)
        return await self._api.json(Request("GET", path, f"get {ref}"))

    async def watch(
        self, kind: str, namespace: str | None, *, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """See ``Cluster.watch``."""
        query = (
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(_WATCH_SECONDS)),
            *((("labelSelector", selector),) if selector else ()),
        )
        what = f"watch {KINDS[kind].plural}"
        request = Request(
            "GET", KINDS[kind].path(namespace), what, query=query, timeout=WATCH_TIMEOUT
        )
        async for line in self._watches.lines(request):
            yield _event(line, what)

    async def apply(self, obj: Object) -> Object:
        """See ``Cluster.apply``."""
        ref = ref_of(obj)
        path = KINDS[ref.kind].path(ref.namespace, ref.name)
        await self._take_over(ref, path)
        request = Request(
            "PATCH",
            path,
            f"apply {ref}",
            query=(_MANAGER, ("force", "true")),
            body=obj,
            content_type=APPLY,
        )
        return await self._write("apply", ref, request)

    async def _take_over(self, ref: Ref, path: str) -> None:
        """Make what our creation set removable by the apply that follows."""
        self._gate()
        try:
            meta = (await self.get(ref))["metadata"]
        except NotFound:
            return
        owners = as_applied(meta.get("managedFields") or [])
        if owners is None:
            return
        body = [
            {"op": "replace", "path": "/metadata/managedFields", "value": owners},
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": meta["resourceVersion"],
            },
        ]
        what = f"own {ref}"
        request = Request(
            "PATCH", path, what, query=(_MANAGER,), body=body, content_type=JSON_PATCH
        )
        await self._write("patch", ref, request)

    async def create(self, obj: Object) -> Object:
        """See ``Cluster.create``."""
        ref = ref_of(obj)
        path = KINDS[ref.kind].path(ref.namespace)
        request = Request("POST", path, f"create {ref}", query=(_MANAGER,), body=obj)
        return await self._write("create", ref, request)

    async def patch(self, ref: Ref, patch: Object, *, subresource: str = "") -> Object:
        """See ``Cluster.patch``."""
        manager = f"{contract.FIELD_MANAGER}-{subresource or 'patch'}"
        request = Request(
            "PATCH",
            KINDS[ref.kind].path(ref.namespace, ref.name, subresource),
            f"patch {ref}",
            query=(("fieldManager", manager),),
            body=patch,
            content_type=MERGE,
        )
        return await self._write("patch", ref, request)

    async def replace(self, obj: Object) -> Object:
        """PUT, only onto the resource version that ``obj`` holds. For Leases: not counted."""
        ref = ref_of(obj)
        path = KINDS[ref.kind].path(ref.namespace, ref.name)
        return await self._api.json(Request("PUT", path, f"update {ref}", body=obj))

    async def delete(self, ref: Ref, *, uid: str) -> None:
        """See ``Cluster.delete``."""
        request = Request(
            "DELETE",
            KINDS[ref.kind].path(ref.namespace, ref.name),
            f"delete {ref}",
            body={"propagationPolicy": "Background", "preconditions": {"uid": uid}},
            content_type=JSON,
        )
        try:
            await self._write("delete", ref, request)
        except (NotFound, Conflict):
            return  # gone, or another object of that name: either way not ours to delete

    async def logs(self, namespace: str, pod: str, container: str, *, tail: int) -> str:
        """The last lines of a container's log."""
        path = KINDS["Pod"].path(namespace, pod, "log")
        query = (("container", container), ("tailLines", str(tail)))
        data = await self._api.read(Request("GET", path, f"read the log of pod {pod}", query=query))
        return data.decode(errors="replace")

    async def post(self, path: str, body: Object, *, what: str) -> Object:
        """POST to any path, for instance of the Service proxy."""
        return await self._api.json(Request("POST", path, what, body=body, timeout=LIST_TIMEOUT))

    async def _write(self, verb: str, ref: Ref, request: Request) -> Object:
        """Send a write, again after what may pass: three tries, then the queue backs off."""
        wait = _FIRST_WAIT
        for attempt in range(1, _TRIES + 1):
            self._gate()
            self._on_write(verb, ref.kind)
            try:
                return await self._api.json(request)
            except Conflict:
                raise
            except Transient as error:
                if attempt == _TRIES or (error.retry_after or 0) > _LONGEST_WAIT:
                    raise
                jittered = wait * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
                await asyncio.sleep(max(error.retry_after or 0.0, jittered))
                wait *= 2
        raise AssertionError("unreachable")

    async def list(self, kind: str, namespace: str | None, *, selector: str = "") -> Listing:
        """See ``Cluster.list``; in pages of 500."""
        info = KINDS[kind]
        items: builtins.list[Object] = []
        token = ""
        while True:
            query = (("limit", str(_PAGE)), ("labelSelector", selector), ("continue", token))
            page = await self._api.json(
                Request(
                    "GET",
                    info.path(namespace),
                    f"list {info.plural}",
                    query=tuple(pair for pair in query if pair[1]),
                    timeout=LIST_TIMEOUT,
                )
            )
            base = {"apiVersion": info.api_version, "kind": kind}
            items.extend({**base, **item} for item in page.get("items") or [])
            meta = page["metadata"]
            token = meta.get("continue") or ""
            if not token:
                return Listing(tuple(items), meta["resourceVersion"])


def _event(line: bytes, what: str) -> WatchEvent:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise Transient(f"{what}: the API server sent no JSON") from error
    kind, obj = raw.get("type"), raw.get("object") or {}
    if kind == "ERROR":
        text = f"{what}: {obj.get('message') or obj}"
        raise Gone(text) if obj.get("code") == 410 else Transient(text)
    return WatchEvent(kind, obj)
