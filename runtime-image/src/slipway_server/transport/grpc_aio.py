"""gRPC on grpc.aio with handlers on raw bytes: the reference, and the fallback.

The one importer of grpc.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc
import grpc.aio

from slipway.errors import Invalid
from slipway_server.transport.rpc import GrpcLimits, Method, Methods, RpcRefused

_LOG = logging.getLogger("slipway_server.grpc")
_MIN_PING_MS: Final = 5000
# grpc ends an old connection without losing a call, but its stop() cancels calls that cross it. So
# connections are short-lived, and a stop first waits until calls have stopped coming.
_AGE_SECONDS: Final = 8.0
_QUIET_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.02


class GrpcAioServer:
    """Implements ``RpcServer``."""

    def __init__(self, methods: Methods, limits: GrpcLimits) -> None:
        """Prepare; nothing is opened yet."""
        self._handler = _Handler(methods)
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
            bound = server.add_insecure_port(f"{where}:{port}")
        except RuntimeError as error:
            raise Invalid(f"gRPC port {port} cannot be opened: is it in use?") from error
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
        await self._server.stop(max(0.0, end - loop.time()))


class _Handler(grpc.GenericRpcHandler):
    """Finds a method by its path. ``last_call`` is the loop's time."""

    def __init__(self, methods: Methods) -> None:
        self.last_call = float("-inf")
        self._handlers: dict[str, Any] = {
            path: grpc.unary_unary_rpc_method_handler(self._unary(method, methods.trailers))
            for path, method in methods.unary.items()
        } | {
            path: grpc.stream_stream_rpc_method_handler(_stream(method))
            for path, method in methods.streams.items()
        }

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)  # None is UNIMPLEMENTED

    def _unary(
        self, method: Method, trailers: tuple[tuple[str, str], ...]
    ) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def call(request: bytes, context: Any) -> bytes:
            self.last_call = asyncio.get_running_loop().time()
            if trailers:
                context.set_trailing_metadata(trailers)
            return await _answer(method, request, context)

        return call


def _stream(method: Method) -> Callable[[AsyncIterator[bytes], Any], AsyncIterator[bytes]]:
    async def call(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await _answer(method, request, context)

    return call


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
