"""gRPC on grpc.aio with handlers on raw bytes: the reference, and the fallback.

The one importer of grpc.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc
import grpc.aio

from slipway.errors import Invalid
from slipway_server.transport.rpc import (
    NO_TOKEN,
    Deferred,
    GrpcLimits,
    Message,
    Method,
    Methods,
    RpcRefused,
)
from slipway_server.transport.tls import TlsFiles

_LOG = logging.getLogger("slipway_server.grpc")
_MIN_PING_MS: Final = 5000
# grpc ends an old connection without losing a call, but its stop() cancels calls that cross it. So
# connections are short-lived, and a stop first waits until calls have stopped coming.
_AGE_SECONDS: Final = 8.0
_QUIET_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.02


class GrpcAioServer:
    """Implements ``RpcServer``."""

    def __init__(
        self, offer: Callable[[], Methods], limits: GrpcLimits, *, tls: TlsFiles | None = None
    ) -> None:
        """Prepare; nothing is opened yet. ``offer`` gives the methods."""
        self._tls = tls
        self._handler = _Handler(offer())
        self._age = min(_AGE_SECONDS, limits.connection_age)
        self._options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", limits.message),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", limits.streams),
            ("grpc.max_metadata_size", limits.metadata),
            ("grpc.max_connection_age_ms", int(self._age * 1000)),  # grpc spreads it by 10 % itself
            ("grpc.max_connection_age_grace_ms", int(limits.connection_grace * 1000)),
            ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a rival
        ]
        self._server: grpc.aio.Server | None = None

    async def start(self, host: str | None, port: int) -> int:
        """See ``RpcServer.start``."""
        server = grpc.aio.server(options=self._options)
        server.add_generic_rpc_handlers((self._handler,))
        where = "[::]" if host is None else f"[{host}]" if ":" in host else host
        try:
            address = f"{where}:{port}"
            if self._tls is None:
                bound = server.add_insecure_port(address)
            else:
                bound = server.add_secure_port(address, _credentials(self._tls))
        except RuntimeError as error:
            raise Invalid(f"gRPC port {port} cannot be opened: is it in use?") from error
        self._handler.ending = asyncio.get_running_loop().create_future()
        await server.start()
        self._server = server
        return int(bound)

    async def stop(self, grace: float) -> None:
        """See ``RpcServer.stop``."""
        if self._server is None:
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        until = min(end - _QUIET_SECONDS, loop.time() + 1.2 * self._age + _QUIET_SECONDS)
        while loop.time() < until and loop.time() - self._handler.last_call < _QUIET_SECONDS:  # noqa: ASYNC110 - quiet is no event
            await asyncio.sleep(_POLL_SECONDS)
        self._handler.end_watches()
        await self._server.stop(max(0.0, end - loop.time()))


def _credentials(tls: TlsFiles) -> Any:
    """Credentials that are read anew for each connection, so that a renewed pair counts."""

    def pair() -> Any:
        return grpc.ssl_server_certificate_configuration([tls.pem()])

    return grpc.dynamic_ssl_server_credentials(pair(), pair)


class _Handler(grpc.GenericRpcHandler):
    """Finds a method by its path.

    Attributes:
        last_call: the loop's time.
        ending: done when watches have to end.
    """

    ending: "asyncio.Future[None]"

    def __init__(self, methods: Methods) -> None:
        self.last_call = float("-inf")
        self._handlers: dict[str, Any] = (
            {
                path: grpc.unary_unary_rpc_method_handler(self._unary(path, methods))
                for path in (*methods.unary, *methods.deferred)
            }
            | {
                path: grpc.stream_stream_rpc_method_handler(_stream(path, methods))
                for path in methods.streams
            }
            | {
                path: grpc.unary_stream_rpc_method_handler(self._watch(path, methods))
                for path in methods.watches
            }
        )

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)  # None is UNIMPLEMENTED

    def _unary(self, path: str, methods: Methods) -> Callable[[bytes, Any], Awaitable[bytes]]:
        deferred, trailers = methods.deferred.get(path), methods.trailers
        method = methods.unary.get(path)

        async def call(request: bytes, context: Any) -> bytes:
            self.last_call = asyncio.get_running_loop().time()
            if trailers:
                context.set_trailing_metadata(trailers)
            parent = await _admit(path, methods, context)
            if deferred is not None:
                waiting = _Waiting(context.peer(), parent)
                return await _answer(partial(_wait, deferred, waiting), request, context)
            assert method is not None
            return await _answer(method, request, context)

        return call

    def _watch(self, path: str, methods: Methods) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
        watch = methods.watches[path]

        async def call(request: bytes, context: Any) -> AsyncIterator[bytes]:
            await _admit(path, methods, context)
            try:
                async for answer in watch(request, ending=self.ending):
                    yield answer
            except RpcRefused as refused:
                await context.abort(getattr(grpc.StatusCode, refused.code), str(refused))

        return call

    def end_watches(self) -> None:
        """The server stops."""
        if not self.ending.done():
            self.ending.set_result(None)


def _stream(
    path: str, methods: Methods
) -> Callable[[AsyncIterator[bytes], Any], AsyncIterator[bytes]]:
    method = methods.streams[path]

    async def call(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await _admit(path, methods, context)
        async for request in requests:
            yield await _answer(method, request, context)

    return call


async def _admit(path: str, methods: Methods, context: Any) -> str:
    """Look at the metadata: whether the call may be made; returns its ``traceparent``."""
    metadata = dict(context.invocation_metadata() or ())
    shown = str(metadata.get("authorization", "")).encode()
    if methods.allows is not None and not methods.allows(path, shown):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, NO_TOKEN)
    return str(metadata.get("traceparent", ""))


class _Waiting:
    """Waits for a deferred method. Implements ``Caller``."""

    def __init__(self, source: str, parent: str) -> None:
        self.source = source
        self.parent = parent
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def answer(self, message: bytes) -> None:
        """See ``Caller.answer``."""
        if not self.answered.done():
            self.answered.set_result(message)

    def refuse(self, code: str, text: str) -> None:
        """See ``Caller.refuse``."""
        if not self.answered.done():
            self.answered.set_exception(RpcRefused(code, text))


async def _wait(
    deferred: Deferred, waiting: _Waiting, request: Message, *, seconds: float | None
) -> bytes:
    give_up = deferred(request, waiting, seconds=seconds)
    try:
        return await waiting.answered
    except asyncio.CancelledError:
        give_up()
        raise


async def _answer(method: Method, request: bytes, context: Any) -> bytes:
    try:
        return await method(request, seconds=context.time_remaining())
    except RpcRefused as refused:
        code = getattr(grpc.StatusCode, refused.code)
        return bytes(await context.abort(code, str(refused)))
    except Exception:  # noqa: BLE001 - top of a request: a bug ends it, not the server
        _LOG.exception("a request hit a bug")
        text = "internal error: see the server's log"
        return bytes(await context.abort(grpc.StatusCode.INTERNAL, text))
