"""The client's side of HTTP/2, byte by byte, and a state machine of ours to send it to."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from slipway_server.transport.h2 import frames, hpack
from slipway_server.transport.h2.connection import Connection
from slipway_server.transport.h2.messages import PREFIX
from slipway_server.transport.h2.sender import Bytes, Sender, Stream

Fields = list[tuple[bytes, bytes]]
PATH = b"/t.T/Echo"
HELLO = frames.PREFACE + frames.settings({})
STREAMS = 8
METADATA = 4096


def call_fields(path: bytes = PATH, **more: bytes) -> Fields:
    """Headers of a call; an underscore in a name stands for a hyphen."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"a"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]
    return fields + [(name.replace("_", "-").encode(), value) for name, value in more.items()]


def headers(
    stream: int, fields: Fields | None = None, *, end: bool = False, flags: int = frames.END_HEADERS
) -> bytes:
    """A HEADERS frame."""
    block = hpack.encode(call_fields() if fields is None else fields)
    return frames.frame(frames.HEADERS, flags | (frames.END_STREAM if end else 0), stream, block)


def data(stream: int, body: bytes, *, end: bool = False, pad: int | None = None) -> bytes:
    """A DATA frame."""
    flags = frames.END_STREAM if end else 0
    if pad is not None:
        flags |= frames.PADDED
        body = bytes([pad]) + body + bytes(pad)
    return frames.frame(frames.DATA, flags, stream, body)


def message(body: bytes, *, flag: int = 0) -> bytes:
    """A message with its prefix."""
    return PREFIX.pack(flag, len(body)) + body


def call(stream: int, body: bytes = b"hello", fields: Fields | None = None) -> bytes:
    """A whole unary call."""
    return headers(stream, fields) + data(stream, message(body), end=True)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as the other side reads it."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def parse(stream: bytes) -> list[Frame]:
    """Whole frames; the bytes have to be nothing else."""
    found, place = [], 0
    while place < len(stream):
        high, low, kind, flags, number = frames.HEAD.unpack_from(stream, place)
        start = place + frames.HEAD_SIZE
        place = start + (high << 8 | low)
        assert place <= len(stream), "a frame is cut off"
        found.append(Frame(kind, flags, number, stream[start:place]))
    return found


def blocks(found: Iterable[Frame]) -> list[dict[bytes, bytes]]:
    """The header lists among frames."""
    decoder = hpack.Decoder(1 << 16)
    lists = (decoder.decode(frame.payload) for frame in found if frame.kind == frames.HEADERS)
    return [dict(one) for one in lists if one is not None]


@dataclass(slots=True)
class Recorder:
    """A handler that writes down what happens; pieces of one body are joined."""

    requests: dict[int, Stream] = field(default_factory=dict)
    events: list[tuple[str, int]] = field(default_factory=list)
    bodies: dict[int, bytearray] = field(default_factory=dict)

    def on_request(self, stream: Stream, *, ended: bool) -> None:
        """See ``Handler``."""
        self.requests[stream.id] = stream
        self.events.append(("request, no body" if ended else "request", stream.id))

    def on_data(self, stream: Stream, data: Bytes, *, ended: bool) -> None:
        """See ``Handler``."""
        self.bodies.setdefault(stream.id, bytearray()).extend(data)
        if ended:
            self.events.append(("end", stream.id))

    def on_reset(self, stream: Stream) -> None:
        """See ``Handler``."""
        self.events.append(("reset", stream.id))


class Peer:
    """A server's state machine with a recorder, and what it has sent."""

    def __init__(self, *, hello: bool = True, streams: int = STREAMS) -> None:
        self.seen = Recorder()
        self.sender = Sender()
        self.machine = Connection(self.seen, self.sender, streams=streams, metadata=METADATA)
        if hello:
            self.send(HELLO)
            self.sent()

    def send(self, *parts: bytes) -> "Peer":
        """Bytes from the client."""
        for part in parts:
            self.machine.receive(part)
        return self

    def sent(self) -> list[Frame]:
        """What the server sent since the last time."""
        out = b""
        while parts := self.sender.take():
            out += b"".join(parts)
        return parse(out)

    def failure(self) -> tuple[frames.Code, str] | None:
        """Code and text of the GOAWAY that ended the connection because of the client."""
        if not self.machine.failed:
            return None
        last = self.sent()[-1]
        assert last.kind == frames.GOAWAY
        return frames.Code(int.from_bytes(last.payload[4:8])), last.payload[8:].decode()

    def resets(self) -> dict[int, frames.Code]:
        """Streams that the server reset since the last time, and why."""
        return {
            frame.stream: frames.Code(int.from_bytes(frame.payload))
            for frame in self.sent()
            if frame.kind == frames.RST_STREAM
        }
