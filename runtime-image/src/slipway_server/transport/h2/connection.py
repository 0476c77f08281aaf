"""One HTTP/2 connection of a server as a state machine: bytes in, calls of a handler, bytes out.

Pure: no socket, no clock. The peer may break any rule and send any flood: a broken rule ends the
stream or the connection as RFC 9113 says, and what is of no use to anybody costs credit, which
calls and time give back (``Credit``).
"""

from collections.abc import Callable
from typing import Final, Protocol

from slipway_server.transport.h2 import frames
from slipway_server.transport.h2.credit import Credit
from slipway_server.transport.h2.fields import Headers, trailers_fault
from slipway_server.transport.h2.frames import Code, ConnectionFault
from slipway_server.transport.h2.hpack import Decoder
from slipway_server.transport.h2.reader import Reader
from slipway_server.transport.h2.sender import Bytes, Sender, Stream

STREAM_WINDOW: Final = 1 << 20
CONNECTION_WINDOW: Final = 8 << 20
_MAX_SENT: Final = 64 << 10  # longer frames would make others wait
_KNOWN_BLOCKS: Final = 32
_LONG_BLOCK: Final = 1024
DRAIN_PING: Final = b"slipway!"


class Handler(Protocol):
    """What requests are given to. Its methods may answer or reset the stream at once."""

    def on_request(self, stream: Stream, *, ended: bool) -> None:
        """A request began; ``ended`` says that it has no body."""

    def on_data(self, stream: Stream, data: Bytes, *, ended: bool) -> None:
        """A piece of a body, perhaps empty."""

    def on_reset(self, stream: Stream) -> None:
        """The peer gave the stream up, or broke a rule on it: it is closed."""


class Connection:
    """The receiving half, and what belongs to both. Implements ``Target`` of its reader.

    Attributes:
        sender: the sending half; ``sender.out`` is to be written.
        reader: what of a frame is still to come.
        credit: see there.
        failed: the peer broke a rule of the connection: write what is there and close.
        last_stream: the highest stream that was taken.
        draining: the client was asked to open no more streams.
        drained: the last GOAWAY is sent: when no stream is left, the connection is done.
    """

    def __init__(self, handler: Handler, sender: Sender, *, streams: int, metadata: int) -> None:
        """Begin; the server's settings are in ``sender.out`` at once.

        Args:
            handler: gets the requests.
            sender: the sending half.
            streams: that the peer may have open.
            metadata: bytes of a header list, as HTTP/2 counts them.
        """
        self.sender = sender
        self.reader = Reader(self)
        self.credit = sender.credit
        self.failed = False
        self.last_stream = 0
        self.draining = False
        self.drained = False
        self._handler = handler
        self._max_streams = streams
        self._decoder = Decoder(metadata)
        self._known: dict[bytes, Headers] = {}
        self._known_version = 0
        self._recv_left = CONNECTION_WINDOW
        self._recv_used = 0
        values = {
            frames.MAX_CONCURRENT_STREAMS: streams,
            frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            frames.MAX_HEADER_LIST_SIZE: metadata,
        }
        self.sender.out += [
            frames.settings(values),
            frames.window_update(0, CONNECTION_WINDOW - frames.DEFAULT_WINDOW),
        ]

    # ---- for the edge

    def receive(self, data: bytes) -> None:
        """Take what the peer sent."""
        if self.failed:
            return
        try:
            self.reader.receive(data)
        except ConnectionFault as fault:
            self.fail(fault)

    def fail(self, fault: ConnectionFault) -> None:
        """End the connection because of the peer."""
        self.failed = True
        self.sender.out.append(frames.goaway(self.last_stream, fault.code, str(fault)))

    def announce_end(self) -> None:
        """Ask the client to open no more streams here; those that it opens still count.

        The answer to the PING comes behind every stream that the client opened before it knew, so
        then the last of them is known: see ``end``.
        """
        if not self.draining:
            self.draining = True
            self.sender.out += [
                frames.goaway(frames.MAX_STREAM, Code.NO_ERROR, "the connection ends"),
                frames.ping(DRAIN_PING, ack=False),
            ]

    def end(self) -> None:
        """Say which stream was the last that is served."""
        self.draining = True
        if not self.drained:
            self.drained = True
            text = "the connection ends"
            self.sender.out.append(frames.goaway(self.last_stream, Code.NO_ERROR, text))

    # ---- Target

    def on_frame(self, kind: int, number: int, flags: int, payload: bytes) -> None:
        """See ``Target.on_frame``."""
        known = _FRAMES.get(kind)
        if known is None:
            # Unknown kinds are ignored (section 4.1), but not for nothing.
            self.credit.spend(Credit.FRAME + len(payload) // Credit.BYTES)
        else:
            known(self, number, flags, payload)

    # ---- requests

    def _read_block(self, block: bytes) -> Headers:
        """Decode a block, or remember what it meant. It must be done for ignored ones, too."""
        decoder, known = self._decoder, self._known
        if decoder.version != self._known_version:
            known.clear()
            self._known_version = decoder.version
        headers = known.get(block)
        if headers is None:
            headers = Headers(decoder.decode(block))
            if decoder.version == self._known_version and len(block) < _LONG_BLOCK:
                if len(known) >= _KNOWN_BLOCKS:
                    known.clear()
                known[block] = headers
        return headers

    def on_block(self, number: int, block: bytes, *, ends: bool, depends: int) -> None:
        """See ``Target.on_block``."""
        headers = self._read_block(block)
        stream = self.sender.streams.get(number)
        if stream is not None:
            self._on_trailers(stream, headers, ends=ends)
            return
        if number <= self.last_stream or not number & 1:
            self._on_late_block(number)
            return
        if self.drained:
            return  # the client knows that this one is not served: it may send it elsewhere
        self.last_stream = number
        sender = self.sender
        if len(sender.streams) >= self._max_streams:
            self._refuse(number, Code.REFUSED_STREAM)
        elif headers.fault is not None or depends == number or (ends and headers.length):
            self._refuse(number, Code.PROTOCOL_ERROR)
        else:
            stream = Stream(number, headers, recv=STREAM_WINDOW, send=sender.initial)
            stream.remote_ended = ends
            sender.streams[number] = stream
            self._handler.on_request(stream, ended=ends)

    def _on_trailers(self, stream: Stream, headers: Headers, *, ends: bool) -> None:
        if stream.remote_ended:
            self._stream_fault(stream, Code.STREAM_CLOSED)
        elif not ends or headers.fields is None or trailers_fault(headers.fields):
            self._stream_fault(stream, Code.PROTOCOL_ERROR)
        else:
            self.deliver(stream, b"", ends=True)

    def _on_late_block(self, number: int) -> None:
        by_us = self.sender.ended(number)
        if by_us is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"stream {number} cannot be opened")
        if not by_us:
            raise ConnectionFault(Code.STREAM_CLOSED, f"HEADERS on the closed stream {number}")
        self.credit.spend(Credit.FRAME)

    # ---- bodies

    def take(self, number: int, length: int, *, useful: int, ends: bool) -> Stream | None:
        """See ``Target.take``."""
        if number == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "DATA on stream 0")
        if useful < Credit.SMALL and not ends:
            self.credit.spend(Credit.FRAME)
        self._recv_left -= length
        if self._recv_left < 0:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more data than the window")
        self._recv_used += length
        if self._recv_used >= CONNECTION_WINDOW // 2:
            self.sender.out.append(frames.window_update(0, self._recv_used))
            self._recv_left += self._recv_used
            self._recv_used = 0
        stream = self.sender.streams.get(number)
        if stream is None:
            self._on_late_data(number)
            return None
        if stream.remote_ended:
            self._stream_fault(stream, Code.STREAM_CLOSED)
            return None
        stream.recv_left -= length
        if stream.recv_left < 0:
            self._stream_fault(stream, Code.FLOW_CONTROL_ERROR)
            return None
        stream.recv_used += length
        if stream.recv_used >= STREAM_WINDOW // 2 and not ends:
            self.sender.out.append(frames.window_update(number, stream.recv_used))
            stream.recv_left += stream.recv_used
            stream.recv_used = 0
        stream.received += useful
        if useful >= Credit.LARGE:
            self.credit.earn(Credit.DATA)
        return stream

    def _on_late_data(self, number: int) -> None:
        if number > self.last_stream:
            if self.drained and number & 1:
                return
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"DATA on the idle stream {number}")
        if self.sender.ended(number) is not True:
            raise ConnectionFault(Code.STREAM_CLOSED, f"DATA on the closed stream {number}")

    def deliver(self, stream: Stream, data: Bytes, *, ends: bool) -> None:
        """See ``Target.deliver``: handed on if the body keeps to its content-length."""
        length = stream.headers.length
        if length is not None and (
            stream.received > length or (ends and stream.received != length)
        ):
            self._stream_fault(stream, Code.PROTOCOL_ERROR)
            return
        if ends:
            stream.remote_ended = True
        self._handler.on_data(stream, data, ended=ends)

    # ---- streams that end early

    def _refuse(self, number: int, code: Code) -> None:
        """Reset a stream that never was."""
        self.sender.out.append(frames.rst_stream(number, code))
        self.sender.record(number, by_us=True)
        self.credit.spend(Credit.RESET)

    def _stream_fault(self, stream: Stream, code: Code) -> None:
        """The peer broke a rule on a stream. That it makes us reset streams costs it, too."""
        self.sender.reset(stream, code)
        self._handler.on_reset(stream)
        self.credit.spend(Credit.RESET)

    def _on_rst_stream(self, number: int, flags: int, payload: bytes) -> None:
        del flags
        if len(payload) != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "RST_STREAM has four bytes")
        self._check_known(number, "RST_STREAM")
        stream = self.sender.streams.get(number)
        self.credit.spend(Credit.RESET if stream is not None else Credit.FRAME)
        if stream is not None:
            self.sender.forget(stream, by_us=False)
            self._handler.on_reset(stream)

    def _check_known(self, number: int, name: str) -> None:
        if number == 0 or (number > self.last_stream and not (self.drained and number & 1)):
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"{name} on the idle stream {number}")

    # ---- the connection itself

    def _on_priority(self, number: int, flags: int, payload: bytes) -> None:
        del flags
        if number == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PRIORITY on stream 0")
        self.credit.spend(Credit.FRAME)
        wrong_size = len(payload) != 5
        if not wrong_size and int.from_bytes(payload[:4]) & frames.MAX_STREAM != number:
            return  # advice that nobody needs
        code = Code.FRAME_SIZE_ERROR if wrong_size else Code.PROTOCOL_ERROR
        stream = self.sender.streams.get(number)
        if stream is not None:
            self._stream_fault(stream, code)
        elif number > self.last_stream:
            raise ConnectionFault(code, "a PRIORITY of a wrong size, or on itself")
        else:
            self.sender.out.append(frames.rst_stream(number, code))

    def _on_settings(self, number: int, flags: int, payload: bytes) -> None:
        if number != 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        if flags & frames.ACK:
            self.credit.spend(Credit.FRAME)
            return
        self.credit.spend(Credit.SETTINGS)
        initial = self.sender.initial
        for identifier, value in frames.SETTING.iter_unpack(payload):
            if identifier == frames.INITIAL_WINDOW_SIZE:
                if value > frames.MAX_WINDOW:
                    raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "an initial window beyond 2^31")
                initial = value
            elif identifier == frames.MAX_FRAME_SIZE:
                if not frames.DEFAULT_FRAME <= value < 1 << 24:
                    raise ConnectionFault(Code.PROTOCOL_ERROR, "a maximum frame size out of range")
                self.sender.max_frame = min(value, _MAX_SENT)
            elif identifier == frames.ENABLE_PUSH and value > 1:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")
        self.sender.out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        if initial != self.sender.initial:  # once a frame: it touches every stream
            self.sender.set_initial(initial)
            self.sender.pump()

    def _on_push_promise(self, number: int, flags: int, payload: bytes) -> None:
        del number, flags, payload
        raise ConnectionFault(Code.PROTOCOL_ERROR, "clients do not push")

    def _on_ping(self, number: int, flags: int, payload: bytes) -> None:
        if number != 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "PING has eight bytes")
        self.credit.spend(Credit.FRAME)
        if not flags & frames.ACK:
            self.sender.out.append(frames.ping(payload, ack=True))
        elif payload == DRAIN_PING and self.draining:
            self.end()

    def _on_goaway(self, number: int, flags: int, payload: bytes) -> None:
        del flags
        if number != 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "GOAWAY has eight bytes or more")
        self.credit.spend(Credit.FRAME)  # the client closes when its last answer has come

    def _on_window_update(self, number: int, flags: int, payload: bytes) -> None:
        del flags
        if len(payload) != 4:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE has four bytes")
        self.credit.spend(Credit.FRAME)
        increment = int.from_bytes(payload) & frames.MAX_WINDOW
        stream = None
        if number:
            self._check_known(number, "WINDOW_UPDATE")
            stream = self.sender.streams.get(number)
            if stream is None:
                return
        fine = increment > 0 and self.sender.add_window(stream, increment)
        if fine:
            self.sender.pump()
            return
        code = Code.FLOW_CONTROL_ERROR if increment else Code.PROTOCOL_ERROR
        if stream is None:
            raise ConnectionFault(code, "a WINDOW_UPDATE of 0 or beyond 2^31-1")
        self._stream_fault(stream, code)


_FRAMES: Final[dict[int, Callable[[Connection, int, int, bytes], None]]] = {
    frames.PRIORITY: Connection._on_priority,  # noqa: SLF001 - a table of its own methods
    frames.RST_STREAM: Connection._on_rst_stream,  # noqa: SLF001 - as above
    frames.SETTINGS: Connection._on_settings,  # noqa: SLF001 - as above
    frames.PUSH_PROMISE: Connection._on_push_promise,  # noqa: SLF001 - as above
    frames.PING: Connection._on_ping,  # noqa: SLF001 - as above
    frames.GOAWAY: Connection._on_goaway,  # noqa: SLF001 - as above
    frames.WINDOW_UPDATE: Connection._on_window_update,  # noqa: SLF001 - as above
}
