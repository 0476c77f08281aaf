"""HTTP to an API server: the one owner of the ``kubernetes`` package, raw JSON in and out.

Never the typed models (they drop unknown fields), never the client's own retries (they skip PATCH),
a timeout on every call.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client.rest import RESTClientObject

from slipway.errors import Invalid, SlipwayError, Transient
from slipway_operator.kube.errors import error_of
from slipway_operator.plan.objects import Object

TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=3)
LIST_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, connect=3)
# The API server sends a bookmark every minute: silence beyond that is a dead connection.
WATCH_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=3, sock_read=75)
JSON: Final = "application/json"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML


async def load_configuration(kubeconfig: str | None = None, context: str | None = None) -> Any:
    """The pod's service account when in a pod, else the kubeconfig.

    Raises:
        Invalid: neither is there or usable.
    """
    configuration = kubernetes_client.Configuration()
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    try:
        if kubeconfig is None and context is None and in_pod:
            kubernetes_config.load_incluster_config(  # type: ignore[no-untyped-call] # no stubs
                client_configuration=configuration
            )
        else:
            await kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call] # no stubs
                # The client read KUBECONFIG when it was imported; it may have been set since.
                config_file=kubeconfig or os.environ.get("KUBECONFIG"),
                context=context,
                client_configuration=configuration,
            )
    except Exception as error:  # a kubeconfig that is no kubeconfig makes the client raise anything
        text = " ".join(str(error).split())[:300]
        raise Invalid(
            f"no access to a cluster: {text}. Set KUBECONFIG, or run inside a pod"
        ) from error
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.connection_pool_maxsize = 32
    return configuration


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        what: it in a few words, for error messages.
    """

    method: str
    path: str
    what: str
    query: tuple[tuple[str, str], ...] = ()
    body: Object | list[Object] | None = None
    content_type: str = JSON
    timeout: aiohttp.ClientTimeout = TIMEOUT


class HttpApi:
    """One connection pool to one API server.

    Raises:
        Invalid: the configuration's certificates are none.
    """

    def __init__(self, configuration: Any) -> None:
        try:
            self._api = kubernetes_client.ApiClient(configuration)
        except (OSError, ValueError) as error:
            raise Invalid(
                f"no access to a cluster: its certificates cannot be used: {error}. Mend the "
                "kubeconfig"
            ) from error
        self._rest = self._api.rest_client = _Rest(configuration)

    async def close(self) -> None:
        """Close the pool."""
        await self._api.close()  # type: ignore[no-untyped-call] # no stubs

    async def json(self, request: Request) -> Object:
        """The answer as JSON.

        Raises:
            SlipwayError: whatever the answer, or its absence, means.
        """
        try:
            found: Object = json.loads(await self.read(request))
        except ValueError as error:
            raise Transient(f"{request.what}: the API server sent no JSON") from error
        return found

    async def read(self, request: Request) -> bytes:
        """The answer's body.

        Raises:
            SlipwayError: whatever the answer, or its absence, means.
        """
        try:
            response = await self._send(request)
            async with response:
                data: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _silence(request, error) from error
        if response.status >= 300:
            raise _refusal(response, data, request)
        return data

    async def lines(self, request: Request) -> AsyncIterator[bytes]:
        """Whole lines of a streamed answer, of any length (aiohttp's own reader limits them).

        Raises:
            SlipwayError: whatever the answer, or its absence, means.
        """
        try:
            response = await self._send(request)
            async with response:
                if response.status >= 300:
                    raise _refusal(response, await response.read(), request)
                begun: list[bytes] = []  # parts of a line that goes on
                with suppress(aiohttp.SocketTimeoutError):  # silence ends it: ask anew
                    async for chunk in response.content.iter_any():
                        first, *others = chunk.split(b"\n")
                        begun.append(first)
                        for other in others:
                            if line := b"".join(begun):
                                yield line
                            begun = [other]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _silence(request, error) from error

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        # The body goes past param_serialize: that would copy it through the typed models' encoder.
        method, url, headers, _, _ = await self._api.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query),
            header_params={"Accept": JSON, "Content-Type": request.content_type},
            auth_settings=["BearerToken"],
        )
        data = None if request.body is None else encode(request.body)
        return await self._rest.send(method, url, headers, data=data, timeout=request.timeout)


class _Rest(RESTClientObject):
    """The client's connections, with bodies that are encoded already."""

    async def send(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        *,
        data: bytes | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own
    ) -> aiohttp.ClientResponse:
        if self.pool_manager is None:
            self.pool_manager = self._create_pool_manager()
        options: dict[str, Any] = {}
        if self.configuration.tls_server_name:
            options["server_hostname"] = self.configuration.tls_server_name
        if self.proxy:
            options |= {"proxy": self.proxy, "proxy_headers": self.proxy_headers}
        response: aiohttp.ClientResponse = await self.pool_manager.request(
            method, url, headers=headers, data=data, timeout=timeout, **options
        )
        return response


def encode(body: Object | list[Object]) -> bytes:
    """JSON exactly as Go writes it: no blanks, keys sorted, ``<>&`` escaped.

    The API server keeps the bytes of a ControllerRevision's ``data`` as they came, and after any
    patch compares them with its own encoding of them: other bytes are «a change of an immutable
    field».
    """
    text = json.dumps(body, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    for special in "<>&\u2028\u2029":  # only inside strings can they be
        text = text.replace(special, f"\\u{ord(special):04x}")
    return text.encode()


def _silence(request: Request, error: Exception) -> Transient:
    return Transient(
        f"{request.what}: the API server does not answer ({type(error).__name__}: {error})"
    )


def _refusal(response: aiohttp.ClientResponse, data: bytes, request: Request) -> SlipwayError:
    retry_after = response.headers.get("Retry-After")
    return error_of(response.status, data, what=request.what, retry_after=retry_after)
