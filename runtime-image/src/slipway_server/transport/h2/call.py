"""One call on an HTTP/2 connection, and what calls need of what is around them."""

import asyncio
from typing import Protocol

from slipway_server.transport.h2.heads import Blocks, Head
from slipway_server.transport.h2.messages import MessageReader
from slipway_server.transport.rpc import GrpcLimits, Message, Method, Methods, Watch


class Owner(Protocol):
    """What calls need of their server.

    Attributes:
        held: bytes of requests and answers that all connections hold.
    """

    limits: GrpcLimits
    methods: Methods
    blocks: Blocks
    held: int


class Call:
    """One call.

    Attributes:
        held: bytes of its request, ``partial`` of them without their end.
        started: the headers of its answer are on their way.
        over: its answer is complete, though not sent yet.
    """

    __slots__ = (
        "deadline", "held", "message", "method", "over", "parent", "partial", "queue", "reader",
        "started", "task", "timer", "watch",
    )  # fmt: skip

    def __init__(
        self, method: Method | None, head: Head, reader: MessageReader, *, now: float
    ) -> None:
        self.method = method
        self.watch: Watch | None = None  # where there is no method
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
