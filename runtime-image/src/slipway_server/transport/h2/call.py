"""One call on an HTTP/2 connection, and what calls need of what is around them."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Protocol

from slipway_server.transport.h2.heads import Blocks, Head
from slipway_server.transport.h2.messages import MessageReader
from slipway_server.transport.h2.sender import Stream
from slipway_server.transport.rpc import Deferred, GrpcLimits, Message, Method, Methods, Watch


class Owner(Protocol):
    """What calls need of their server.

    Attributes:
        held: bytes of requests and answers that all connections hold.
    """

    limits: GrpcLimits
    methods: Methods
    blocks: Blocks
    held: int


class Answering(Protocol):
    """Where the answers of deferred methods go."""

    def answer(self, stream: Stream, message: bytes) -> None:
        """Send it, unless the call is over."""

    def refuse(self, stream: Stream, code: str, text: str) -> None:
        """The same with an error."""


class Call:
    """One call. Of its kinds of method it has one.

    Attributes:
        held: bytes of its request, ``partial`` of them without their end.
        started: the headers of its answer are on their way.
        over: its answer is complete, though not sent yet.
        give_up: tells a deferred method that nobody waits any more.
    """

    __slots__ = (
        "deadline", "deferred", "give_up", "held", "message", "method", "over", "parent", "partial",
        "queue", "reader", "started", "task", "timer", "watch",
    )  # fmt: skip

    def __init__(self, head: Head, reader: MessageReader, *, now: float) -> None:
        self.method: Method | None = None
        self.watch: Watch | None = None
        self.deferred: Deferred | None = None
        self.give_up: Callable[[], None] | None = None
        self.parent = head.parent
        self.deadline = None if head.seconds is None else now + head.seconds
        self.reader = reader
        self.message: Message | None = None
        self.queue: asyncio.Queue[Message | None] | None = None  # of a streaming call
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.held = 0
        self.partial = 0
        self.started = False
        self.over = False


class Waiting:
    """Waits for a deferred method. Implements ``Caller``."""

    __slots__ = ("_calls", "_stream", "parent")

    def __init__(self, calls: Answering, stream: Stream, parent: str) -> None:
        self._calls = calls
        self._stream = stream
        self.parent = parent

    @property
    def source(self) -> Hashable:
        """See ``Caller.source``."""
        return id(self._calls)

    def answer(self, message: bytes) -> None:
        """See ``Caller.answer``."""
        self._calls.answer(self._stream, message)

    def refuse(self, code: str, text: str) -> None:
        """See ``Caller.refuse``."""
        self._calls.refuse(self._stream, code, text)


class Wire(Protocol):
    """What calls need of their connection.

    Attributes:
        leaving: the connection is to end: a request is the moment to say so.
    """

    leaving: bool

    def announce(self) -> None:
        """Tell the client to open no more calls."""

    def flush_soon(self) -> None:
        """Write what the sender has, at the end of this turn of the loop."""

    def flush_now(self) -> None:
        """The same at once, where no other call waits: then nothing is to come with it."""


class Gone:
    """The wire of a connection that has ended. Implements ``Wire``."""

    leaving = False

    def announce(self) -> None:
        """See ``Wire.announce``."""

    def flush_soon(self) -> None:
        """See ``Wire.flush_soon``."""

    def flush_now(self) -> None:
        """See ``Wire.flush_now``."""
