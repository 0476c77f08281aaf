"""Targets of the HTTP/2 transport."""

import gzip

import hpack as other_hpack

from slipway_server.transport.h2 import frames, heads, hpack, huffman
from slipway_server.transport.h2.connection import Connection
from slipway_server.transport.h2.fields import Headers
from slipway_server.transport.h2.frames import ConnectionFault
from slipway_server.transport.h2.messages import MessageReader, prefixed
from slipway_server.transport.h2.sender import Bytes, Sender, Stream
from slipway_server.transport.rpc import RpcRefused
from tests.support import h2

_LIMIT = 4096
_BLOCKS = heads.Blocks((("slipway-revision", "m-1"),))


class _Echo:
    """Answers every request with its body, some at once and some never; notes what happened."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.events: list[tuple[str, int, bytes]] = []

    def on_request(self, stream: Stream, *, ended: bool) -> None:
        stream.user = bytearray()
        assert heads.read(stream.headers) is not None
        self.events.append(("request", stream.id, bytes([ended])))
        if ended:
            self._answer(stream)

    def on_data(self, stream: Stream, data: Bytes, *, ended: bool) -> None:
        assert not stream.closed
        stream.user += data
        if len(stream.user) > _LIMIT:
            self.sender.refuse(stream, _BLOCKS.refusal("RESOURCE_EXHAUSTED", "large"))
        elif ended:
            self._answer(stream)

    def on_reset(self, stream: Stream) -> None:
        assert stream.closed
        self.events.append(("reset", stream.id, b""))

    def _answer(self, stream: Stream) -> None:
        body = bytes(stream.user)
        self.events.append(("answer", stream.id, body))
        if body[:1] == b"?":
            return  # it runs for ever
        if body[:1] == b"!":
            self.sender.answer(stream, _BLOCKS.headers, (body,), b"")
        else:
            self.sender.answer(stream, _BLOCKS.headers, prefixed(body * 3), _BLOCKS.ok)


def _talk(pieces: list[bytes]) -> tuple[list[tuple[str, int, bytes]], bytes, bool]:
    """What a connection makes of bytes: events, answer, whether it failed."""
    sender = Sender()
    handler = _Echo(sender)
    machine = Connection(handler, sender, streams=8, metadata=2048)
    for piece in pieces:
        machine.receive(piece)
        assert len(sender.streams) <= 8
        assert sender.unsent == sum(stream.unsent for stream in sender.streams.values())
        assert sender.unsent >= 0
    out = b""
    while parts := sender.take():
        out += b"".join(parts)
    _check(h2.parse(out), failed=machine.failed)
    return handler.events, out, machine.failed


def _check(sent: list[h2.Frame], *, failed: bool) -> None:
    """What no client may ever see."""
    ended: set[int] = set()
    decoder = other_hpack.Decoder()
    for frame in sent:
        assert len(frame.payload) <= 1 << 16
        if frame.kind in (frames.DATA, frames.HEADERS):
            assert frame.stream not in ended
            if frame.kind == frames.HEADERS:
                decoder.decode(frame.payload, raw=True)
            if frame.flags & frames.END_STREAM:
                ended.add(frame.stream)
    assert failed == any(
        frame.kind == frames.GOAWAY and int.from_bytes(frame.payload[4:8]) for frame in sent
    )


def raw(data: bytes) -> None:
    """Any bytes, whole and in pieces: both have to mean the same."""
    # The order of replies to one read is kept, so the bytes are equal, too.
    step = max(1 + data[0] % 17, len(data) // 32) if data else 1
    whole = _talk([h2.HELLO + data])
    pieces = _talk([h2.HELLO, *(data[place : place + step] for place in range(0, len(data), step))])
    assert whole == pieces


def raw_seeds() -> list[bytes]:
    """Conversations."""
    return [
        h2.call(1) + h2.call(3, b"?") + frames.rst_stream(3, frames.Code.CANCEL),
        frames.settings({4: 3, 5: 20_000}) + h2.call(1, b"!abc") + frames.window_update(1, 9),
        h2.headers(1) + h2.data(1, b"abc", pad=4) + h2.data(1, b"d", end=True),
        h2.headers(1, flags=0) + frames.frame(frames.CONTINUATION, 4, 1, hpack.encode([])),
        frames.ping(b"12345678", ack=False) + frames.goaway(0, frames.Code.NO_ERROR) + h2.call(5),
    ]


_KINDS = (0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 200)
_FIELDS = (
    h2.call_fields(),
    h2.call_fields(grpc_timeout=b"1S"),
    h2.call_fields(content_length=b"3"),
    h2.call_fields(b"/t.T/Other"),
    [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")],
    [(b"trailer", b"1")],
)


def structured(data: bytes) -> None:
    """Frames that are well formed but senseless: four bytes choose each, the next are payload."""
    stream: list[bytes] = [h2.HELLO]
    place = 0
    while place + 4 <= len(data):
        choice, flags, number, size = data[place : place + 4]
        payload = data[place + 4 : place + 4 + size]
        place += 4 + size
        kind = _KINDS[choice % len(_KINDS)]
        number %= 24
        if kind == frames.HEADERS and size % 2:
            fields = _FIELDS[size // 2 % len(_FIELDS)]
            payload = hpack.encode(fields) + (payload if flags & 0x40 else b"")
        elif kind == frames.SETTINGS and size % 2:
            number, payload = 0, payload[: len(payload) // 6 * 6]
        elif kind in (frames.WINDOW_UPDATE, frames.RST_STREAM) and size % 2:
            payload = payload[:4].rjust(4, b"\0")
        elif kind == frames.PING and size % 2:
            number, payload = 0, payload[:8].ljust(8, b"\0")
        stream.append(frames.frame(kind, flags & 0x2D if size % 3 else flags, number, payload))
    whole = _talk([b"".join(stream)])
    assert whole == _talk(stream)


def structured_seeds() -> list[bytes]:
    """Choices that make calls."""
    return [
        bytes((2, 4, 1, 1, 0)) + bytes((0, 1, 1, 5)) + b"hello",
        bytes((2, 5, 1, 1, 0)) + bytes((6, 0, 0, 7, 0, 4, 0, 0, 0, 9, 0)),
        bytes((2, 0, 1, 3, 0, 0, 0)) + bytes((12, 4, 1, 0)) + bytes((5, 0, 1, 5, 0, 0, 0, 8, 0)),
    ]


def header_blocks(data: bytes) -> None:
    """Blocks on one decoder, each with its length before it; compared with another library."""
    ours, theirs = hpack.Decoder(_LIMIT), other_hpack.Decoder(max_header_list_size=_LIMIT)
    place = 0
    while place < len(data):
        size = data[place]
        block = data[place + 1 : place + 1 + size]
        place += 1 + size
        try:
            expected = list(theirs.decode(block, raw=True))
        except (other_hpack.HPACKError, UnicodeDecodeError):
            expected = None
        try:
            fields = ours.decode(block)
        except ConnectionFault:
            return  # the table is lost
        if expected is None or fields is None:
            return
        assert list(fields) == [(bytes(name), bytes(value)) for name, value in expected]
        headers = Headers(fields)
        if headers.fault is None:
            heads.read(headers)
    try:
        text = huffman.decode(data)
    except huffman.HuffmanError:
        return
    coded = other_hpack.huffman_table.decode_huffman(data)
    assert text == coded


def header_block_seeds() -> list[bytes]:
    """Blocks as another encoder writes them."""
    encoder = other_hpack.Encoder()
    found = [encoder.encode(fields, huffman=True) for fields in (*_FIELDS, *_FIELDS)]
    return [b"".join(bytes([len(block)]) + block for block in found), *found]


def messages(data: bytes) -> None:
    """A body, whole and in pieces; the first byte chooses encoding and size of the pieces."""
    if not data:
        return
    encoding = (b"identity", b"gzip", b"deflate")[data[0] % 3]
    step = 1 + data[0] // 3
    body = data[1:]
    whole = _read(encoding, [body])
    pieces = _read(encoding, [body[place : place + step] for place in range(0, len(body), step)])
    if whole[1] is None:
        assert whole == pieces
    else:
        assert whole[1] == pieces[1]


def _read(encoding: bytes, pieces: list[bytes]) -> tuple[list[bytes | memoryview], str | None, int]:
    reader = MessageReader(_LIMIT, encoding)
    found: list[bytes | memoryview] = []
    try:
        for piece in pieces:
            found += reader.feed(piece)
            assert 0 <= reader.held <= _LIMIT + 5
    except RpcRefused as refused:
        return found, refused.code, 0
    assert all(len(one) <= _LIMIT for one in found)
    return found, None, reader.held


def message_seeds() -> list[bytes]:
    """Messages, plain and compressed."""
    packed = h2.message(gzip.compress(b"abc" * 50), flag=1)
    return [
        b"\0" + h2.message(b"abc") + h2.message(b""),
        b"\1" + packed + h2.message(b"plain"),
        b"\1" + h2.message(gzip.compress(bytes(100_000)), flag=1),
    ]
