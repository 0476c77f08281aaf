"""gRPC on grpc.aio with handlers on raw bytes. The one importer of grpc.

What the doors see is ``Method`` and ``RpcRefused`` only, so that another transport can take its
place.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import grpc
import grpc.aio

from slipway.errors import Invalid

_LOG = logging.getLogger("slipway_server.grpc")
_STREAMS: Final = 1024  # of one connection
_MIN_PING_MS: Final = 5000
_METADATA_BYTES: Final = 16 << 10


class RpcRefused(Exception):  # noqa: N818 - it is an answer
    """An answer that is an error.

    Attributes:
        code: name of a gRPC status code.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Method(Protocol):
    """A unary method."""

    def __call__(self, request: bytes, *, seconds: float | None) -> Awaitable[bytes]:
        """Answer a message; ``seconds`` are left to the client's deadline. May be cancelled.

        Raises:
            RpcRefused: the answer is an error.
        """


@dataclass(frozen=True, slots=True)
class GrpcLimits:
    """Bounds: message in bytes, times in seconds (see ``HttpLimits``)."""

    message: int = 64 << 20
    connection_age: float = 60.0
    connection_grace: float = 30.0


class RpcServer(Protocol):
    """A transport for unary methods."""

    async def start(self, host: str | None, port: int) -> int:
        """Listen; returns the port. Raises ``Invalid`` when the address cannot be had."""

    async def stop(self, grace: float) -> None:
        """Take no more, tell every connection to go elsewhere, end after what is in flight."""


class GrpcAioServer:
    """Implements ``RpcServer``."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        *,
        limits: GrpcLimits,
        trailers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            methods: by full path, ``/package.Service/Method``.
            limits: bounds of connections.
            trailers: metadata of every answer.
        """
        self._handler = _Handler(methods, trailers)
        age = int(limits.connection_age * 1000)
        self._options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", limits.message),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", _STREAMS),
            ("grpc.max_metadata_size", _METADATA_BYTES),
            ("grpc.max_connection_age_ms", age),  # grpc spreads it by 10 % itself
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
        if self._server is not None:
            await self._server.stop(grace)


class _Handler(grpc.GenericRpcHandler):
    def __init__(
        self, methods: Mapping[str, Method], trailers: tuple[tuple[str, str], ...]
    ) -> None:
        self._handlers: dict[str, Any] = {
            path: grpc.unary_unary_rpc_method_handler(_unary(method, trailers))
            for path, method in methods.items()
        }

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)  # None is UNIMPLEMENTED


def _unary(
    method: Method, trailers: tuple[tuple[str, str], ...]
) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def call(request: bytes, context: Any) -> bytes:
        if trailers:
            context.set_trailing_metadata(trailers)
        try:
            return await method(request, seconds=context.time_remaining())
        except RpcRefused as refused:
            code = getattr(grpc.StatusCode, refused.code)
            return bytes(await context.abort(code, str(refused)))
        except Exception:  # noqa: BLE001 - top of a request: a bug ends it, not the server
            _LOG.exception("a request hit a bug")
            text = "internal error: see the server's log"
            return bytes(await context.abort(grpc.StatusCode.INTERNAL, text))

    return call
