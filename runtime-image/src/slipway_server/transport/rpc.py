"""What a gRPC transport is: methods on bytes go in, listening and draining come out.

Doors know this module only, so that one transport can take the place of another.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

NO_TOKEN = "this server wants a bearer token: send it as metadata 'authorization'"  # noqa: S105 - a text


Message = bytes | memoryview
Padding = Callable[[memoryview], int]


def no_padding(begin: memoryview) -> int:
    """Put nothing before a message."""
    del begin
    return 0


class RpcRefused(Exception):  # noqa: N818 - it is an answer
    """An answer that is an error.

    Attributes:
        code: name of a gRPC status code.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Method(Protocol):
    """A method that answers each message with one message."""

    def __call__(self, request: Message, *, seconds: float | None) -> Awaitable[bytes]:
        """Answer a message; ``seconds`` are left to the client's deadline. May be cancelled.

        A large message is a view of memory that nobody else writes to or keeps.

        Raises:
            RpcRefused: the answer is an error.
        """


class Caller(Protocol):
    """Who waits for a ``Deferred`` method. Only the first of its answers counts."""

    @property
    def source(self) -> Hashable:
        """Equal for calls of one connection."""

    @property
    def parent(self) -> str:
        """The call's ``traceparent``; empty when the client sent none."""

    def answer(self, message: bytes) -> None:
        """The method has succeeded."""

    def refuse(self, code: str, text: str) -> None:
        """The method has failed; ``code`` is the name of a gRPC status code."""


class Deferred(Protocol):
    """A method that answers one message later: for what is called often, since it costs no task."""

    def __call__(
        self, request: Message, caller: Caller, *, seconds: float | None
    ) -> Callable[[], None]:
        """Begin; the caller is answered on the loop, never from within this call.

        Args:
            request: as for ``Method``.
            caller: whom to answer.
            seconds: left to the client's deadline.

        Returns:
            What to call, at most once, when nobody waits any more.

        Raises:
            RpcRefused: the answer is an error.
        """


class Watch(Protocol):
    """A method that answers one message with as many as there come to be."""

    def __call__(self, request: Message, *, ending: "asyncio.Future[None]") -> AsyncIterator[bytes]:
        """Answer a message. May be cancelled.

        Args:
            request: the message.
            ending: done when the connection is about to end: the method should end, too.

        Raises:
            RpcRefused: the end is an error.
        """


@dataclass(frozen=True, slots=True)
class Methods:
    """What a server offers, by full path ``/package.Service/Method``.

    Attributes:
        unary: one message, one answer.
        streams: as many messages as the client likes on one call, each answered in order.
        watches: one message, as many answers as there come to be.
        deferred: one message, one answer, without a task.
        trailers: metadata of every answer.
        allows: whether a call of this path may be made with this ``authorization``; absent means
            that everybody may.
        padding: how many bytes to put before a large message in memory, so that what lies in it is
            aligned; it is given what has come of it first.
    """

    unary: Mapping[str, Method]
    streams: Mapping[str, Method] = field(default_factory=dict)
    watches: Mapping[str, Watch] = field(default_factory=dict)
    deferred: Mapping[str, Deferred] = field(default_factory=dict)
    trailers: tuple[tuple[str, str], ...] = ()
    allows: Callable[[str, bytes], bool] | None = None
    padding: Padding = no_padding


@dataclass(frozen=True, slots=True)
class GrpcLimits:
    """What one peer, and all of them together, may take. Sizes in bytes, times in seconds.

    Attributes:
        message: of a request, also after decompression.
        metadata: of a request's headers, as HTTP/2 counts them (32 more for each field).
        streams: calls that a connection may have under way.
        buffered: requests that are not answered and answers that are not sent, of all connections.
        head_seconds: from a connection's begin to its first call being possible, and for a header
            block or frame from its first byte to its last.
        body_seconds: from a call's headers to the end of its message.
        idle_seconds: a connection without a call.
        read_seconds: how long a peer may leave an answer, or the whole connection, unread.
        connection_age: a connection is ended after this time, +-10 %, without losing a call.
        connection_grace: what calls under way get when their connection ends.
    """

    message: int = 64 << 20
    metadata: int = 16 << 10
    streams: int = 1024
    buffered: int = 256 << 20
    head_seconds: float = 10.0
    body_seconds: float = 120.0
    idle_seconds: float = 620.0
    read_seconds: float = 60.0
    connection_age: float = 60.0
    connection_grace: float = 30.0


class RpcServer(Protocol):
    """A transport."""

    async def start(self, host: str | None, port: int) -> int:
        """Listen; returns the port. Raises ``Invalid`` when the address cannot be had."""

    async def stop(self, grace: float) -> None:
        """Take no more, tell every connection to go elsewhere, end after what is in flight.

        Args:
            grace: seconds; what is not answered then is dropped.
        """
