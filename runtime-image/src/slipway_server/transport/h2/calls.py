"""The calls of one connection: requests are given to methods, and what they say is answered."""

import asyncio
import logging
from typing import Final

from slipway_server.transport.h2 import heads, messages
from slipway_server.transport.h2.call import Call, Gone, Owner, Waiting, Wire
from slipway_server.transport.h2.frames import Code
from slipway_server.transport.h2.heads import Head, NotGrpc, Refusal
from slipway_server.transport.h2.messages import MessageReader
from slipway_server.transport.h2.sender import Bytes, Sender, Stream
from slipway_server.transport.rpc import NO_TOKEN, Message, RpcRefused

_LOG = logging.getLogger("slipway_server.grpc")
_MAX_WAITING: Final = 16  # messages of one streaming call
_MAX_WATCHES: Final = 16  # of one connection: they are there for as long as it is
_SHARE: Final = 4  # one connection may hold this part of what all may hold
_GONE: Final = Gone()
_BUG: Final = "internal error: see the server's log"


class Calls:
    """Implements ``Handler`` and ``Answering``. ``requests`` counts what came so far."""

    def __init__(
        self, owner: Owner, sender: Sender, wire: Wire, *, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.requests = 0
        self._owner = owner
        self._sender = sender
        self._wire: Wire = wire
        self._loop = loop
        self._deferred = owner.methods.deferred
        self._unary = owner.methods.unary
        self._streams = owner.methods.streams
        self._watches = owner.methods.watches
        self._watching = 0
        self._ending: asyncio.Future[None] | None = None
        self._held = 0  # by requests
        self._counted = 0  # of the sender's unsent bytes
        self._share = max(owner.limits.message, owner.limits.buffered // _SHARE)

    @property
    def waiting(self) -> int:
        """How many calls wait for an answer; watches have theirs."""
        return len(self._sender.streams) - self._watching

    # ---- Handler

    def on_request(self, stream: Stream, *, ended: bool) -> None:
        """See ``Handler.on_request``."""
        self.requests += 1
        stream.since = self._loop.time()
        if self._wire.leaving:
            self._wire.announce()
        headers = stream.headers
        head = headers.parsed
        if head is None:
            head = headers.parsed = heads.read(headers)
        if isinstance(head, Head):
            self._begin(stream, head, ended=ended)
        elif isinstance(head, Refusal):
            self._refuse(stream, head.code, head.message)
        elif ended:
            self._answer_http(stream, head)

    def on_data(self, stream: Stream, data: Bytes, *, ended: bool) -> None:
        """See ``Handler.on_data``."""
        call = stream.user
        if call is None:
            if ended:
                self._answer_http(stream, stream.headers.parsed)
            return
        if call.over:
            return
        try:
            come = call.reader.feed(data)
            more = call.reader.held - call.partial
            call.partial = call.reader.held
            for message in come:
                more += len(message)
            self._hold(call, more)
            if call.queue is not None:
                stream.since = self._loop.time()
                self._enqueue(call.queue, come, ended=ended)
            else:
                self._take(stream, call, come, ended=ended)
        except RpcRefused as refused:
            self._refuse(stream, refused.code, str(refused))

    def on_reset(self, stream: Stream) -> None:
        """See ``Handler.on_reset``."""
        call = stream.user
        if call is not None:
            self._give_up(call)

    # ---- Answering

    def answer(self, stream: Stream, message: bytes) -> None:
        """See ``Answering.answer``."""
        call = stream.user
        if not call.over:
            self._answer(stream, call, message)
            self._wire.flush_now()

    def refuse(self, stream: Stream, code: str, text: str) -> None:
        """See ``Answering.refuse``."""
        call = stream.user
        if not call.over:
            call.give_up = None  # the method knows
            self._refuse(stream, code, text)

    # ---- requests

    def _begin(self, stream: Stream, head: Head, *, ended: bool) -> None:
        path = head.path
        deferred, method, watch, streaming = self._deferred.get(path), None, None, False
        if deferred is None:
            method = self._unary.get(path)
            if method is None:
                method, watch = self._streams.get(path), self._watches.get(path)
                streaming = method is not None
            if method is None and watch is None:
                text = f"method {path[:200]} is not served here"
                self._refuse(stream, "UNIMPLEMENTED", text)
                return
        allows = self._owner.methods.allows
        if allows is not None and not allows(path, head.authorization):
            self._refuse(stream, "UNAUTHENTICATED", NO_TOKEN)
            return
        if self._sender.unsent > self._share:
            text = "too many answers of this connection wait unread: retry later"
            self._refuse(stream, "RESOURCE_EXHAUSTED", text)
            return
        if watch is not None and self._watching >= _MAX_WATCHES:
            text = f"this connection has {_MAX_WATCHES} watches already"
            self._refuse(stream, "RESOURCE_EXHAUSTED", text)
            return
        limits, loop = self._owner.limits, self._loop
        reader = MessageReader(limits.message, head.encoding, self._owner.methods.padding)
        call = stream.user = Call(head, reader, now=stream.since)
        call.method, call.deferred = method, deferred
        if head.seconds is not None:
            call.timer = loop.call_later(head.seconds, self._expire, stream)
        if watch is not None:
            call.watch = watch
            self._watching += 1
        if streaming:
            call.queue = asyncio.Queue()
            call.task = loop.create_task(self._run_stream(stream, call, call.queue))
        if ended:
            self.on_data(stream, b"", ended=True)

    def _hold(self, call: Call, more: int) -> None:
        call.held += more
        self._held += more
        owner = self._owner
        owner.held += more
        if more > 0 and (owner.held > owner.limits.buffered or self._held > self._share):
            text = "too many bytes of requests are being received: retry later"
            raise RpcRefused("RESOURCE_EXHAUSTED", text)

    def _take(self, stream: Stream, call: Call, come: list[Message], *, ended: bool) -> None:
        """A unary call starts when its one message is whole and nothing follows."""
        if come:
            if call.message is not None or len(come) > 1:
                raise RpcRefused("UNIMPLEMENTED", "the method takes one message, not several")
            call.message = come[0]
        if not ended:
            return
        if call.message is None or call.reader.held:
            raise RpcRefused("UNIMPLEMENTED", "the method takes one message: it did not come whole")
        if call.deferred is not None:
            self._defer(stream, call, call.message)
            return
        work = (self._run if call.watch is None else self._run_watch)(stream, call, call.message)
        call.task = self._loop.create_task(work)

    def _defer(self, stream: Stream, call: Call, message: Message) -> None:
        assert call.deferred is not None
        caller = Waiting(self, stream, call.parent)
        try:
            call.give_up = call.deferred(message, caller, seconds=self._seconds(call))
        except RpcRefused:
            raise
        except Exception:  # noqa: BLE001 - top of a request: a bug ends it, not the server
            _LOG.exception("a request hit a bug")
            self._refuse(stream, "INTERNAL", _BUG)

    @staticmethod
    def _enqueue(
        queue: "asyncio.Queue[Message | None]", come: list[Message], *, ended: bool
    ) -> None:
        if queue.qsize() + len(come) > _MAX_WAITING:
            raise RpcRefused("RESOURCE_EXHAUSTED", "too many messages of this call wait already")
        for message in come:
            queue.put_nowait(message)
        if ended:
            queue.put_nowait(None)

    # ---- answers

    async def _run(self, stream: Stream, call: Call, message: Message) -> None:
        assert call.method is not None
        try:
            answer = await call.method(message, seconds=self._seconds(call))
        except RpcRefused as refused:
            call.task = None
            self._refuse(stream, refused.code, str(refused))
        except Exception:  # noqa: BLE001 - top of a request: a bug ends it, not the server
            call.task = None
            _LOG.exception("a request hit a bug")
            self._refuse(stream, "INTERNAL", _BUG)
        else:
            call.task = None
            self._answer(stream, call, answer)
            self._wire.flush_soon()

    async def _run_stream(
        self, stream: Stream, call: Call, queue: "asyncio.Queue[Message | None]"
    ) -> None:
        assert call.method is not None
        blocks, sender = self._owner.blocks, self._sender
        tail = blocks.ok
        while (message := await queue.get()) is not None:
            try:
                answer = await call.method(message, seconds=self._seconds(call))
            except RpcRefused as refused:
                tail = blocks.trailers(refused.code, str(refused))
                break
            except Exception:  # noqa: BLE001 - as above
                _LOG.exception("a request hit a bug")
                tail = blocks.trailers("INTERNAL", _BUG)
                break
            self._hold(call, -len(message))
            self._start(stream, call)
            if sender.unsent > self._share:
                tail = blocks.trailers("RESOURCE_EXHAUSTED", "too many answers wait unread")
                break
            sender.push(stream, messages.prefixed(answer))
            self._wire.flush_soon()
        self._finish(stream, call, tail)

    async def _run_watch(self, stream: Stream, call: Call, message: Message) -> None:
        assert call.watch is not None
        if self._ending is None:
            self._ending = self._loop.create_future()
        tail = self._owner.blocks.ok
        try:
            async for answer in call.watch(message, ending=self._ending):
                self._start(stream, call)
                self._sender.push(stream, messages.prefixed(answer))
                self._wire.flush_soon()
        except RpcRefused as refused:
            tail = self._owner.blocks.trailers(refused.code, str(refused))
        except Exception:  # noqa: BLE001 - as above
            _LOG.exception("a request hit a bug")
            tail = self._owner.blocks.trailers("INTERNAL", _BUG)
        self._finish(stream, call, tail)

    def end_watches(self) -> None:
        """The client knows that the connection ends: nothing is told on it any more."""
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(None)

    def _finish(self, stream: Stream, call: Call, tail: bytes) -> None:
        """End an answer of several messages."""
        call.task = None
        self._let_go(call)
        self._start(stream, call)
        self._sender.finish(stream, tail)
        self._wire.flush_soon()

    def _start(self, stream: Stream, call: Call) -> None:
        if not call.started:
            call.started = True
            self._sender.start(stream, self._owner.blocks.headers)

    def _seconds(self, call: Call) -> float | None:
        return None if call.deadline is None else call.deadline - self._loop.time()

    def _answer(self, stream: Stream, call: Call, answer: bytes) -> None:
        self._let_go(call)
        sender = self._sender
        if sender.unsent + len(answer) > self._share and sender.unsent:
            text = "too many answers of this connection wait unread: retry later"
            self._refuse(stream, "RESOURCE_EXHAUSTED", text)
            return
        blocks = self._owner.blocks
        sender.answer(stream, blocks.headers, messages.prefixed(answer), blocks.ok)

    def _refuse(self, stream: Stream, code: str, text: str) -> None:
        """Answer with an error, and give up whatever runs for the call."""
        call, blocks = stream.user, self._owner.blocks
        if call is not None:
            self._give_up(call)
        if call is not None and call.started:
            self._sender.finish(stream, blocks.trailers(code, text))
        else:
            self._sender.refuse(stream, blocks.refusal(code, text))
        self._wire.flush_soon()

    def _answer_http(self, stream: Stream, answer: object) -> None:
        assert isinstance(answer, NotGrpc)
        block, body = self._owner.blocks.http(answer)
        self._sender.answer(stream, block, (body,), b"")
        self._wire.flush_soon()

    # ---- ends

    def _expire(self, stream: Stream) -> None:
        """The client's deadline has passed."""
        self._stop(stream, "DEADLINE_EXCEEDED", "the deadline passed before the answer was ready")

    def _stop(self, stream: Stream, code: str, text: str) -> None:
        if not stream.closed:
            self._refuse(stream, code, text)

    def _give_up(self, call: Call) -> None:
        """Nobody waits for the method any more."""
        give_up = call.give_up
        if call.task is not None:
            call.task.cancel()
        self._let_go(call)
        if give_up is not None:
            give_up()

    def _let_go(self, call: Call) -> None:
        """The call needs nothing more of what it has."""
        if call.watch is not None and not call.over:
            self._watching -= 1
        call.over = True
        call.give_up = None
        if call.timer is not None:
            call.timer.cancel()
            call.timer = None
        self._held -= call.held
        self._owner.held -= call.held
        call.held = 0

    def count_unsent(self) -> None:
        """Count the answers that wait in the sender for what all connections hold."""
        unsent = self._sender.unsent
        self._owner.held += unsent - self._counted
        self._counted = unsent

    def check_time(self, now: float) -> None:
        """End calls whose message does not come, and those whose answer is not read."""
        for stream in tuple(self._sender.streams.values()):
            if stream.unsent:
                self._check_reading(stream, now)
            elif not stream.remote_ended:
                self._check_sending(stream, now)

    def _check_sending(self, stream: Stream, now: float) -> None:
        allowed = self._owner.limits.body_seconds
        if now - stream.since <= allowed:
            return
        if stream.user is None:
            self._sender.reset(stream, Code.CANCEL)
        else:
            text = f"the message did not arrive within {allowed:g} s"
            self._stop(stream, "DEADLINE_EXCEEDED", text)

    def _check_reading(self, stream: Stream, now: float) -> None:
        """Others on this connection may go on: only the stream ends."""
        if stream.sent != stream.sent_before or stream.stalled == 0.0:
            stream.sent_before, stream.stalled = stream.sent, now
        elif now - stream.stalled > self._owner.limits.read_seconds:
            self._sender.reset(stream, Code.CANCEL)
            self.on_reset(stream)

    def close(self) -> None:
        """The connection is gone: nobody waits for these answers."""
        self._wire = _GONE  # it knows its calls: a cycle
        for stream in tuple(self._sender.streams.values()):
            self._sender.forget(stream, by_us=True)
            self.on_reset(stream)
        self.count_unsent()
