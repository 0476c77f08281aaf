"""The sending half of a connection: answers leave in turns, as the peer's windows allow. Pure."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from slipway_server.transport.h2.credit import Credit
from slipway_server.transport.h2.fields import Headers
from slipway_server.transport.h2.frames import (
    DATA,
    DEFAULT_FRAME,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_WINDOW,
    Code,
    ConnectionFault,
    head,
    rst_stream,
)

Bytes = bytes | memoryview
_BURST: Final = 256 << 10  # of answers, before the transport is asked again
_MAX_RECORD: Final = 512


class Stream:
    """One request and its answer.

    Attributes:
        headers: of the request.
        recv_left, recv_used: what the peer may still send, and what was not yet given back.
        received: bytes of the body so far.
        window: what may be sent.
        block: of the answer's headers, until they are sent.
        pending: what waits to be sent, ``unsent`` bytes of it.
        queued: it waits for its turn.
        tail: the block of the trailers; ``None`` while more may be pushed.
        sent: bytes of the answer so far.
        remote_ended: the request is complete.
        closed: nothing more is sent or taken.
        user: whatever the layer above keeps here.
        since: when the request, or the last message of it, came.
        sent_before, stalled: how much was sent when somebody looked, and when that was.
    """

    __slots__ = (
        "block", "closed", "headers", "id", "pending", "queued", "received", "recv_left",
        "recv_used", "remote_ended", "sent", "sent_before", "since", "stalled", "tail", "unsent",
        "user", "window",
    )  # fmt: skip

    def __init__(self, number: int, headers: Headers, *, recv: int, send: int) -> None:
        self.id = number
        self.headers = headers
        self.recv_left = recv
        self.recv_used = 0
        self.received = 0
        self.window = send
        self.block: bytes | None = None
        self.pending: deque[memoryview] | None = None
        self.queued = False
        self.unsent = 0
        self.tail: bytes | None = None
        self.sent = 0
        self.remote_ended = False
        self.closed = False
        self.user: Any = None
        self.since = 0.0
        self.sent_before = 0
        self.stalled = 0.0


class Sender:
    """Streams of one connection, and what goes out.

    Attributes:
        out: what is to be written, in this order; see ``take``.
        streams: those that are not closed, by number.
        window: of the connection.
        initial: window of a new stream.
        max_frame: the longest payload that the peer takes.
        open: whether the transport takes more; while it does not, answers wait here.
        unsent: bytes of answers that wait here.
        credit: what floods cost; answers earn it.
    """

    def __init__(self) -> None:
        self.out: list[Bytes] = []
        self.streams: dict[int, Stream] = {}
        self.window = DEFAULT_WINDOW
        self.initial = DEFAULT_WINDOW
        self.max_frame = DEFAULT_FRAME
        self.open = True
        self.unsent = 0
        self.credit = Credit()
        self._moved = 0  # bytes of answers in ``out``
        self._turns: deque[Stream] = deque()
        # Which streams ended lately, and whether we ended them: then what is still under way from
        # the peer is its right and is ignored. Two halves, so that the oldest can be dropped.
        self._ended: dict[int, bool] = {}
        self._ended_before: dict[int, bool] = {}

    # ---- answers

    def answer(self, stream: Stream, block: bytes, body: Sequence[bytes], tail: bytes) -> None:
        """Send a whole answer.

        Args:
            stream: whose.
            block: of its headers.
            body: its parts.
            tail: block of the trailers; empty means that the body ends the answer.
        """
        if stream.closed:
            return
        size = 0
        for part in body:
            size += len(part)
        if (
            self.open
            and not self._turns
            and tail
            and size <= stream.window
            and size <= self.window
            and size <= self.max_frame
            and self._moved < _BURST
        ):
            number = stream.id
            self.window -= size
            self._moved += size
            self.out.append(
                b"".join(
                    (
                        head(HEADERS, END_HEADERS, number, len(block)),
                        block,
                        head(DATA, 0, number, size),
                        *body,
                        head(HEADERS, END_HEADERS | END_STREAM, number, len(tail)),
                        tail,
                    )
                )
            )
            self._finish(stream)
            return
        self.start(stream, block)
        self._append(stream, body)
        self.finish(stream, tail)

    def start(self, stream: Stream, block: bytes) -> None:
        """Begin an answer whose body follows."""
        stream.block = block

    def push(self, stream: Stream, body: Sequence[bytes]) -> None:
        """Send a part of a body, as soon as it may leave."""
        if not stream.closed:
            self._append(stream, body)
            self._queue(stream)
            self.pump()

    def _append(self, stream: Stream, body: Sequence[bytes]) -> None:
        if stream.pending is None:
            stream.pending = deque()
        for part in body:
            if part:
                stream.pending.append(memoryview(part))
                stream.unsent += len(part)
                self.unsent += len(part)

    def finish(self, stream: Stream, tail: bytes) -> None:
        """End an answer after all that was pushed; ``tail`` is as in ``answer``."""
        if stream.closed:
            return
        stream.tail = tail
        self._queue(stream)
        self.pump()

    def refuse(self, stream: Stream, block: bytes) -> None:
        """Send an answer that is one block only."""
        if stream.closed:
            return
        self.out.append(head(HEADERS, END_HEADERS | END_STREAM, stream.id, len(block)) + block)
        self._finish(stream)

    def reset(self, stream: Stream, code: Code) -> None:
        """End a stream at once."""
        if not stream.closed:
            self.out.append(rst_stream(stream.id, code))
            self.forget(stream, by_us=True)

    # ---- what makes pending answers move

    def take(self) -> list[Bytes]:
        """What is to be written now. It has to be asked for again until it is nothing."""
        self.pump()
        out, self.out = self.out, []
        self._moved = 0
        return out

    def pump(self) -> None:
        """Move what may be sent to ``out``, unless there is much already."""
        while self._turns and self.open:
            stream = self._turns[0]
            if stream.closed or not self._due(stream):
                self._leave()
                continue
            if stream.block is not None:
                block, stream.block = stream.block, None
                self.out.append(head(HEADERS, END_HEADERS, stream.id, len(block)) + block)
            room = min(stream.unsent, stream.window, self.window, self.max_frame)
            if room <= 0 and stream.unsent:
                if self.window <= 0:
                    return
                self._leave()  # its own window is shut: an update brings it back
                continue
            if self._moved >= _BURST:
                return
            self._leave()
            self._moved += room
            self._send(stream, room)
            if not stream.closed and self._due(stream):
                self._queue(stream)

    def add_window(self, stream: Stream | None, increment: int) -> bool:
        """Widen the connection's window or a stream's; ``False`` when it is beyond the maximum."""
        if stream is None:
            self.window += increment
            return self.window <= MAX_WINDOW
        stream.window += increment
        if stream.unsent:
            self._queue(stream)
        return stream.window <= MAX_WINDOW

    def set_initial(self, value: int) -> None:
        """The peer changed the window of every stream.

        Raises:
            ConnectionFault: one is beyond the maximum now.
        """
        delta, self.initial = value - self.initial, value
        for stream in self.streams.values():
            if not self.add_window(stream, delta):
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "a window beyond 2^31-1")

    def _queue(self, stream: Stream) -> None:
        if not stream.queued:
            stream.queued = True
            self._turns.append(stream)

    def _leave(self) -> None:
        self._turns.popleft().queued = False

    @staticmethod
    def _due(stream: Stream) -> bool:
        return bool(stream.unsent) or stream.tail is not None

    def _send(self, stream: Stream, room: int) -> None:
        """Send one frame of ``room`` bytes, and the end if that was all."""
        last = room == stream.unsent and stream.tail is not None
        if room or (last and not stream.tail):
            flags = END_STREAM if last and not stream.tail else 0
            self.out.append(head(DATA, flags, stream.id, room))
            self._cut(stream, room)
        if last:
            if stream.tail:
                block = stream.tail
                flags = END_HEADERS | END_STREAM
                self.out.append(head(HEADERS, flags, stream.id, len(block)) + block)
            self._finish(stream)

    def _cut(self, stream: Stream, room: int) -> None:
        pending, left = stream.pending, room
        while left and pending:
            part = pending[0]
            if len(part) <= left:
                self.out.append(pending.popleft())
                left -= len(part)
            else:
                self.out.append(part[:left])
                pending[0] = part[left:]
                left = 0
        stream.window -= room
        stream.unsent -= room
        stream.sent += room
        self.credit.earn(Credit.DATA)
        self.window -= room
        self.unsent -= room

    # ---- ends

    def _finish(self, stream: Stream) -> None:
        """The answer is complete. What the peer still sends is not needed any more."""
        self.credit.earn(Credit.CALL)
        if stream.remote_ended:
            self.forget(stream, by_us=False)
        else:
            self.reset(stream, Code.NO_ERROR)

    def forget(self, stream: Stream, *, by_us: bool) -> None:
        """A stream is over."""
        stream.closed = True
        self.unsent -= stream.unsent
        stream.unsent = 0
        stream.pending = None
        self.streams.pop(stream.id, None)
        self.record(stream.id, by_us=by_us)

    def record(self, number: int, *, by_us: bool) -> None:
        """Remember how a stream ended."""
        if len(self._ended) >= _MAX_RECORD:
            self._ended_before, self._ended = self._ended, {}
        self._ended[number] = by_us

    def ended(self, number: int) -> bool | None:
        """Whether we ended a stream ourselves; ``None`` if it did not end lately."""
        by_us = self._ended.get(number)
        return self._ended_before.get(number) if by_us is None else by_us
