"""One request and its answer, as the doors see it, and the bounds of a connection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from slipway_server.observe import Tell
from slipway_server.transport.head import Head

if TYPE_CHECKING:
    from slipway_server.transport.connection import Connection
    from slipway_server.transport.repeats import KnownHeads

JSON: Final = b"application/json"


class Channel(Protocol):
    """Where an answer goes."""

    def reply(
        self,
        exchange: "Exchange",
        status: int,
        parts: Sequence[bytes],
        *,
        head: tuple[bytes, bytes],
    ) -> None:
        """Write an answer; ``head`` is the content type and further header lines."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one peer, and all of them together, may take. Sizes in bytes, times in seconds.

    Attributes:
        body: of a request, also after decompression.
        buffered: bodies of all connections together that are not answered yet.
        head_seconds: from a request's first byte to the end of its headers.
        body_seconds: from its first byte to its last.
        idle_seconds: a kept connection without a request. Longer than the 600 s of load balancers
            that reuse connections: the side that uses a connection should be the one that ends it.
        read_seconds: how long a peer may leave an answer unread.
        connection_age: a connection ends with the first answer after this time, +-10 %.
        plain_from: bodies above this size go past the parser, which would only copy them.
        coded_from, coded_to: answers of these sizes are compressed for clients that accept it:
            smaller ones gain nothing, larger ones would hold up everybody else.
    """

    head: int = 32 << 10
    body: int = 64 << 20
    buffered: int = 256 << 20
    head_seconds: float = 10.0
    body_seconds: float = 120.0
    idle_seconds: float = 620.0
    read_seconds: float = 60.0
    connection_age: float = 60.0
    plain_from: int = 1 << 16
    coded_from: int = 4 << 10
    coded_to: int = 4 << 20


class Exchange:
    """One request and its answer.

    Attributes:
        connection: where it came from, and where the answer goes.
        method, target: as sent.
        head: the rest of what headers say.
        body: whole, decoded; a view where binary tensors in it lie at an aligned address.
        received: ``time.monotonic`` when the last byte was read; the loop's own has steps of 1 ms.
        abandoned: called when the client leaves before the answer.
    """

    __slots__ = (
        "abandoned", "body", "connection", "head", "keep_alive", "method", "received", "refusal",
        "target",
    )  # fmt: skip

    def __init__(self, connection: Channel, method: bytes, head: Head) -> None:
        self.connection = connection
        self.method = method
        self.head = head
        self.target = head.target
        self.body: bytes | memoryview = b""
        self.received = 0.0
        self.keep_alive = True
        self.abandoned: Callable[[], None] | None = None
        self.refusal: tuple[int, str] | None = None

    def reply(
        self,
        status: int,
        parts: Sequence[bytes],
        *,
        content_type: bytes = JSON,
        headers: bytes = b"",
    ) -> None:
        """Answer. Does nothing when the client has left.

        Args:
            status: HTTP status.
            parts: the body.
            content_type: of the body.
            headers: further complete header lines.
        """
        self.connection.reply(self, status, parts, head=(content_type, headers))


class Owner(Protocol):
    """What a connection needs of its server.

    Attributes:
        limits: bounds.
        buffered: bytes of bodies that all connections hold.
        closing: whether every answer ends its connection.
        connections: the open ones.
        date: a complete header line.
        now: the loop's time, at most about a second old.
        handle: answers a well-formed request, now or later.
        refuse: answers a request that broke a limit or the grammar.
        observer: told of every request that was answered.
        known: heads that need no parsing.
    """

    limits: HttpLimits
    buffered: int
    closing: bool
    connections: "set[Connection]"
    date: bytes
    now: float
    handle: Callable[[Exchange], None]
    refuse: Callable[[Exchange, int, str], None]
    observer: Tell | None
    known: "KnownHeads"

    def head(self, status: int, content_type: bytes) -> bytes:
        """The constant first lines of an answer."""
