"""``Cluster`` over HTTP: the one owner of the ``kubernetes`` package, raw JSON in and out.

Never the typed models (they drop unknown fields), never the client's own retries (they skip PATCH),
a timeout on every call.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from slipway import contract
from slipway.errors import Conflict, Invalid, NotFound, Transient
from slipway_operator.kube.cluster import Gone, Listing, WatchEvent
from slipway_operator.kube.errors import error_of
from slipway_operator.kube.kinds import KINDS
from slipway_operator.plan.objects import Object, Ref, ref_of

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=3)
_LIST_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, connect=3)
_WATCH_SECONDS: Final = 290
# The API server sends a bookmark every minute: silence beyond that is a dead connection.
_WATCH_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=3, sock_read=75)
_PAGE: Final = 500
_TRIES: Final = 3
_FIRST_WAIT: Final = 0.2
_LONGEST_WAIT: Final = 2.0
_JSON: Final = "application/json"
_MERGE: Final = "application/merge-patch+json"
_APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML


async def load_configuration(kubeconfig: str | None = None, context: str | None = None) -> Any:
    """The pod's service account when in a pod, else the kubeconfig.

    Raises:
        Invalid: neither is there or usable.
    """
    configuration = kubernetes_client.Configuration()
    try:
        if kubeconfig is None and context is None and _in_cluster():
            kubernetes_config.load_incluster_config(client_configuration=configuration)
        else:
            await kubernetes_config.load_kube_config(
                config_file=kubeconfig, context=context, client_configuration=configuration
            )
    except (kubernetes_config.ConfigException, OSError, ValueError) as error:
        raise Invalid(
            f"no access to a cluster: {error}. Set KUBECONFIG, or run inside a pod"
        ) from error
    configuration.client_session_kwargs = {"trust_env": False}
    return configuration


def _in_cluster() -> bool:
    import os

    return "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ


class KubeClient:
    """Implements ``Cluster``.

    Attributes:
        gate: called before every write; raises when this process may not write now.
        on_write: told verb and kind of every write that was sent.
    """

    def __init__(
        self,
        configuration: Any,
        *,
        gate: Callable[[], None] = lambda: None,
        on_write: Callable[[str, str], None] = lambda verb, kind: None,
        dry_run: bool = False,
    ) -> None:
        configuration.connection_pool_maxsize = 32
        self._api = kubernetes_client.ApiClient(configuration)
        # Watches hold connections for minutes: a second pool, so that they never starve writes.
        self._watches = kubernetes_client.ApiClient(configuration)
        self._gate = gate
        self._on_write = on_write
        self._dry_run = dry_run

    async def __aenter__(self) -> "KubeClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close both pools."""
        await self._api.close()
        await self._watches.close()

    async def get(self, ref: Ref) -> Object:
        """See ``Cluster.get``."""
        info = KINDS[ref.kind]
        return await self._json("GET", info.path(ref.namespace, ref.name), what=f"get {ref}")

    async def list(self, kind: str, namespace: str | None, *, selector: str = "") -> Listing:
        """See ``Cluster.list``; in pages of 500."""
        info = KINDS[kind]
        items: list[Object] = []
        token = ""
        while True:
            query = [("limit", str(_PAGE)), ("labelSelector", selector), ("continue", token)]
            page = await self._json(
                "GET",
                info.path(namespace),
                query=[pair for pair in query if pair[1]],
                what=f"list {info.plural}",
                timeout=_LIST_TIMEOUT,
            )
            for item in page.get("items") or []:
                items.append({"apiVersion": info.api_version, "kind": kind, **item})
            meta = page["metadata"]
            token = meta.get("continue") or ""
            if not token:
                return Listing(tuple(items), meta["resourceVersion"])

    async def watch(
        self, kind: str, namespace: str | None, *, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """See ``Cluster.watch``."""
        info = KINDS[kind]
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(_WATCH_SECONDS)),
        ]
        if selector:
            query.append(("labelSelector", selector))
        what = f"watch {info.plural}"
        try:
            response = await self._send(
                self._watches, "GET", info.path(namespace), query=query, timeout=_WATCH_TIMEOUT
            )
            async with response:
                if response.status >= 300:
                    raise _refusal(response, await response.read(), what)
                async for line in _lines(response):
                    yield _event(json.loads(line), what)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Transient(f"{what}: {type(error).__name__}: {error}") from error

    async def apply(self, obj: Object) -> Object:
        """See ``Cluster.apply``."""
        ref = ref_of(obj)
        return await self._write(
            "PATCH",
            KINDS[ref.kind].path(ref.namespace, ref.name),
            obj,
            content_type=_APPLY,
            query=[("fieldManager", contract.FIELD_MANAGER), ("force", "true")],
            what=("apply", ref),
        )

    async def create(self, obj: Object) -> Object:
        """See ``Cluster.create``."""
        ref = ref_of(obj)
        return await self._write(
            "POST",
            KINDS[ref.kind].path(ref.namespace),
            obj,
            content_type=_JSON,
            query=[("fieldManager", contract.FIELD_MANAGER)],
            what=("create", ref),
        )

    async def patch(self, ref: Ref, patch: Object, *, subresource: str = "") -> Object:
        """See ``Cluster.patch``."""
        return await self._write(
            "PATCH",
            KINDS[ref.kind].path(ref.namespace, ref.name, subresource),
            patch,
            content_type=_MERGE,
            query=[("fieldManager", f"{contract.FIELD_MANAGER}-{subresource or 'patch'}")],
            what=(f"patch {subresource}".strip(), ref),
        )

    async def replace(self, obj: Object) -> Object:
        """PUT, only onto the resource version that ``obj`` holds. For Leases."""
        ref = ref_of(obj)
        return await self._json(
            "PUT", KINDS[ref.kind].path(ref.namespace, ref.name), body=obj, what=f"update {ref}"
        )

    async def delete(self, ref: Ref, *, uid: str) -> None:
        """See ``Cluster.delete``."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._write(
                "DELETE",
                KINDS[ref.kind].path(ref.namespace, ref.name),
                body,
                content_type=_JSON,
                query=[],
                what=("delete", ref),
            )
        except (NotFound, Conflict):
            return  # gone, or another object of that name: either way not ours to delete

    async def logs(self, namespace: str, pod: str, container: str, *, tail: int) -> str:
        """The last lines of a container's log."""
        path = KINDS["Pod"].path(namespace, pod, "log")
        query = [("container", container), ("tailLines", str(tail))]
        data = await self._bytes("GET", path, query=query, what=f"read the log of pod {pod}")
        return data.decode(errors="replace")

    async def _write(
        self,
        method: str,
        path: str,
        body: Object,
        *,
        content_type: str,
        query: list[tuple[str, str]],
        what: tuple[str, Ref],
    ) -> Object:
        verb, ref = what
        if self._dry_run:
            query = [*query, ("dryRun", "All")]
        wait = _FIRST_WAIT
        for attempt in range(1, _TRIES + 1):
            self._gate()
            self._on_write(verb, ref.kind)
            try:
                return await self._json(
                    method,
                    path,
                    body=body,
                    query=query,
                    what=f"{verb} {ref}",
                    content_type=content_type,
                )
            except Conflict:
                raise
            except Transient as error:
                if attempt == _TRIES or (error.retry_after or 0) > _LONGEST_WAIT:
                    raise
                pause = max(error.retry_after or 0.0, wait * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                await asyncio.sleep(pause)
                wait *= 2
        raise AssertionError("unreachable")

    async def _json(
        self,
        method: str,
        path: str,
        *,
        what: str,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        content_type: str = _JSON,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,  # noqa: ASYNC109 - aiohttp's own
    ) -> Object:
        data = await self._bytes(
            method,
            path,
            what=what,
            body=body,
            query=query,
            content_type=content_type,
            timeout=timeout,
        )
        try:
            found: Object = json.loads(data)
        except ValueError as error:
            raise Transient(f"{what}: the API server sent no JSON") from error
        return found

    async def _bytes(
        self,
        method: str,
        path: str,
        *,
        what: str,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        content_type: str = _JSON,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,  # noqa: ASYNC109 - aiohttp's own
    ) -> bytes:
        try:
            response = await self._send(
                self._api,
                method,
                path,
                query=query or [],
                timeout=timeout,
                body=body,
                content_type=content_type,
            )
            async with response:
                data: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Transient(
                f"{what}: the API server does not answer ({type(error).__name__}: {error})"
            ) from error
        if response.status >= 300:
            raise _refusal(response, data, what)
        return data

    async def _send(
        self,
        api: Any,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own
        body: Object | None = None,
        content_type: str = _JSON,
    ) -> aiohttp.ClientResponse:
        verb, url, headers, _, _ = await api.param_serialize(
            method,
            path,
            query_params=query,
            header_params={"Accept": _JSON, "Content-Type": content_type},
            auth_settings=["BearerToken"],
        )
        answer = await api.call_api(verb, url, headers, body, _request_timeout=timeout)
        response: aiohttp.ClientResponse = answer.response
        return response


def _refusal(response: aiohttp.ClientResponse, data: bytes, what: str) -> Exception:
    return error_of(
        response.status, data, what=what, retry_after=response.headers.get("Retry-After")
    )


def _event(raw: Object, what: str) -> WatchEvent:
    kind, obj = raw.get("type"), raw.get("object") or {}
    if kind == "ERROR":
        if obj.get("code") == 410:
            raise Gone(f"{what}: {obj.get('message')}")
        raise Transient(f"{what}: {obj.get('message') or obj}")
    return WatchEvent(kind, obj)  # type: ignore[arg-type] # the API knows no other types


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Whole lines of any length (aiohttp's own reader limits them)."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
