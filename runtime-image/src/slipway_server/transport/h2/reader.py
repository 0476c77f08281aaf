"""Bytes become frames: preface, framing, padding, header blocks over several frames. Pure.

DATA is handed on as it comes, without waiting for the end of its frame, so that nothing large is
ever copied here.
"""

from typing import Final, Protocol

from slipway_server.transport.h2 import frames
from slipway_server.transport.h2.frames import Code, ConnectionFault
from slipway_server.transport.h2.sender import Bytes, Stream

MAX_FRAME: Final = frames.DEFAULT_FRAME
MAX_BLOCK: Final = 64 << 10
MAX_BLOCK_FRAMES: Final = 16
_LARGE: Final = 2048  # copying less costs less than a view


class Target(Protocol):
    """What frames are given to."""

    def on_block(self, number: int, block: bytes, *, ends: bool, depends: int) -> None:
        """A whole header block; ``depends`` is the stream of its priority, or 0."""

    def take(self, number: int, length: int, *, useful: int, ends: bool) -> Stream | None:
        """A DATA frame begins; returns where its data is to go, or ``None`` to drop it.

        Args:
            number: of the stream.
            length: as flow control counts it.
            useful: without padding.
            ends: whether it ends the stream.
        """

    def deliver(self, stream: Stream, data: Bytes, *, ends: bool) -> None:
        """A piece of its data."""

    def on_frame(self, kind: int, number: int, flags: int, payload: bytes) -> None:
        """Any other frame."""


class _Nobody:
    """Implements ``Target`` where nothing comes any more."""

    def on_block(self, number: int, block: bytes, *, ends: bool, depends: int) -> None:
        """See ``Target``."""

    def take(self, number: int, length: int, *, useful: int, ends: bool) -> Stream | None:
        """See ``Target``."""
        return None

    def deliver(self, stream: Stream, data: Bytes, *, ends: bool) -> None:
        """See ``Target``."""

    def on_frame(self, kind: int, number: int, flags: int, payload: bytes) -> None:
        """See ``Target``."""


_NOBODY: Final = _Nobody()


class Reader:
    """The state between two reads.

    Attributes:
        started: the preface and the first SETTINGS have begun to come.
        frames: how many have begun to come; tells whether there is progress.
    """

    def __init__(self, target: Target) -> None:
        self._target: Target = target
        self.started = False
        self.frames = 0
        self._preface = frames.PREFACE
        self._rest = b""
        self._block: list[bytes] = []  # of a header block that continues
        self._block_size = 0
        self._block_stream = 0
        self._block_ends = False
        self._block_depends = 0
        self._left = 0  # of a DATA frame that has not come whole
        self._padding = 0
        self._stream: Stream | None = None
        self._ends = False

    @property
    def partial(self) -> bool:
        """Whether a header block, or a frame that is not DATA, has begun and not ended."""
        return bool(self._rest or self._block_stream)

    @property
    def in_data(self) -> bool:
        """Whether a DATA frame has begun and not ended."""
        return self._left > 0

    def close(self) -> None:
        """Nothing more comes. The target knows its reader, so this ends a cycle."""
        self._target = _NOBODY

    def receive(self, data: bytes) -> None:
        """Take what the peer sent.

        Raises:
            ConnectionFault: it broke a rule.
        """
        buffer = self._rest + data if self._rest else data
        place, size = 0, len(buffer)
        if self._preface:
            place = self._read_preface(buffer, size)
        target, unpack = self._target, frames.HEAD.unpack_from
        while True:
            if self._left:
                if place == size:
                    break
                place = self._more_data(buffer, place, size)
                continue
            if size - place < frames.HEAD_SIZE:
                break
            high, low, kind, flags, number = unpack(buffer, place)
            length = high << 8 | low
            number &= frames.MAX_STREAM
            self._check_head(kind, number, length)
            start = place + frames.HEAD_SIZE
            end = start + length
            if end > size:
                if kind != frames.DATA or start == size:
                    break
                place = self._begin_data(buffer, start, length, flags=flags, number=number)
                continue
            place = end
            self.frames += 1
            if kind == frames.DATA:
                self._whole_data(buffer, start, end, flags=flags, number=number)
            elif kind == frames.HEADERS:
                self._on_headers(number, flags, buffer[start:end])
            elif kind == frames.CONTINUATION:
                self._on_continuation(number, flags, buffer[start:end])
            else:
                target.on_frame(kind, number, flags, buffer[start:end])
        self._rest = buffer[place:] if place < size else b""

    def _read_preface(self, buffer: bytes, size: int) -> int:
        place = min(size, len(self._preface))
        if buffer[:place] != self._preface[:place]:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "this port speaks HTTP/2 (gRPC) only")
        self._preface = self._preface[place:]
        return place

    def _check_head(self, kind: int, number: int, length: int) -> None:
        if length > MAX_FRAME:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
        if not self.started:
            if kind != frames.SETTINGS:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self.started = True
        if self._block_stream and (kind != frames.CONTINUATION or number != self._block_stream):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block is interrupted")

    # ---- header blocks

    def _on_headers(self, number: int, flags: int, payload: bytes) -> None:
        if number == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "HEADERS on stream 0")
        depends = 0
        if flags & (frames.PADDED | frames.WITH_PRIORITY):
            payload, depends = _strip(payload, flags)
        ends = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._target.on_block(number, payload, ends=ends, depends=depends)
            return
        self._block, self._block_size = [payload], len(payload)
        self._block_stream, self._block_ends, self._block_depends = number, ends, depends

    def _on_continuation(self, number: int, flags: int, payload: bytes) -> None:
        if not self._block_stream:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._block.append(payload)
        self._block_size += len(payload)
        if self._block_size > MAX_BLOCK or len(self._block) > MAX_BLOCK_FRAMES:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header block that is too long")
        if flags & frames.END_HEADERS:
            block = b"".join(self._block)
            self._block, self._block_size, self._block_stream = [], 0, 0
            ends, depends = self._block_ends, self._block_depends
            self._target.on_block(number, block, ends=ends, depends=depends)

    # ---- bodies

    def _whole_data(self, buffer: bytes, start: int, end: int, *, flags: int, number: int) -> None:
        length = end - start
        if flags & frames.PADDED:
            start, end = _unpad(buffer, start, end)
        ends = bool(flags & frames.END_STREAM)
        stream = self._target.take(number, length, useful=end - start, ends=ends)
        if stream is not None:
            large = end - start > _LARGE
            piece: Bytes = memoryview(buffer)[start:end] if large else buffer[start:end]
            self._target.deliver(stream, piece, ends=ends)

    def _begin_data(
        self, buffer: bytes, start: int, length: int, *, flags: int, number: int
    ) -> int:
        """A DATA frame that has not come whole; returns where its data begins."""
        begin, end = start, start + length
        if flags & frames.PADDED:
            begin, end = _unpad(buffer, start, end)
        self.frames += 1
        self._padding = start + length - end
        self._left = start + length - begin
        self._ends = bool(flags & frames.END_STREAM)
        useful = end - begin
        self._stream = self._target.take(number, length, useful=useful, ends=self._ends)
        return begin

    def _more_data(self, buffer: bytes, place: int, size: int) -> int:
        """A part of it; returns where the part ends."""
        end = min(size, place + self._left)
        useful = min(end, place + max(0, self._left - self._padding))
        self._left -= end - place
        stream, done = self._stream, not self._left
        if stream is not None and not stream.closed and (useful > place or done):
            whole = place == 0 and useful == len(buffer)
            piece: Bytes = buffer if whole else memoryview(buffer)[place:useful]
            self._target.deliver(stream, piece, ends=done and self._ends)
        if done:
            self._stream = None
        return end


def _strip(payload: bytes, flags: int) -> tuple[bytes, int]:
    """A header block without padding and priority, and the stream that it depends on."""
    start, end, depends = 0, len(payload), 0
    if flags & frames.PADDED:
        if not payload:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "HEADERS without its pad length")
        start, end = 1, end - payload[0]
    need = 5 if flags & frames.WITH_PRIORITY else 0
    if end - start < need:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "HEADERS with too much padding")
    if need:
        depends = int.from_bytes(payload[start : start + 4]) & frames.MAX_STREAM
        start += need
    return payload[start:end], depends


def _unpad(buffer: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the data of a padded frame lies."""
    if end == start:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "DATA without its pad length")
    first, last = start + 1, end - buffer[start]
    if last < first:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "DATA with too much padding")
    return first, last
