"""Messages of gRPC inside HTTP/2: read piece by piece, decompressed, and written. Pure."""

import zlib
from struct import Struct
from typing import Final

from slipway_server.transport.h2.sender import Bytes
from slipway_server.transport.rpc import RpcRefused

PREFIX: Final = Struct(">BL")
ENCODINGS: Final = b"identity,deflate,gzip"
_WINDOW_BITS: Final = {b"gzip": 31, b"deflate": 15}


def encoding_is_known(name: bytes) -> bool:
    """Whether requests may be compressed so."""
    return name in _WINDOW_BITS or name == b"identity"


class MessageReader:
    """Turns the body of one call into its messages.

    A message that comes in several pieces is copied once, into a buffer that grows with what has
    really come: what a prefix promises reserves nothing.

    Attributes:
        held: bytes that wait for the rest of their message.
    """

    __slots__ = ("_buffer", "_encoding", "_limit", "held")

    def __init__(self, limit: int, encoding: bytes) -> None:
        """Begin.

        Args:
            limit: bytes of a message, before and after decompression.
            encoding: ``grpc-encoding`` of the call.
        """
        self._limit = limit
        self._encoding = encoding
        self._buffer: bytearray | None = None
        self.held = 0

    def feed(self, piece: Bytes) -> list[bytes]:
        """Take a piece; returns the messages that are complete now.

        Raises:
            RpcRefused: a message that is too large, or not readable.
        """
        buffer = self._buffer
        if buffer is not None:
            buffer += piece
            piece = memoryview(buffer)
        messages: list[bytes] = []
        place, size = 0, len(piece)
        while True:
            if size - place < PREFIX.size:
                break
            flag, length = PREFIX.unpack_from(piece, place)
            start = place + PREFIX.size
            self._check(flag, length)
            if size - start < length:
                break
            place = start + length
            message = bytes(piece[start:place])
            messages.append(self._inflate(message) if flag else message)
        if place == size:
            self._buffer = None
        elif buffer is None or place:
            self._buffer = bytearray(piece[place:])
        self.held = size - place
        return messages

    def _check(self, flag: int, length: int) -> None:
        if flag > 1:
            raise RpcRefused("INTERNAL", f"a message begins with {flag} instead of 0 or 1")
        if length > self._limit:
            text = f"the message has {length} bytes: at most {self._limit} are taken"
            raise RpcRefused("RESOURCE_EXHAUSTED", text)
        if flag and self._encoding == b"identity":
            raise RpcRefused("INTERNAL", "a message is compressed, but grpc-encoding names no way")

    def _inflate(self, data: bytes) -> bytes:
        inflater = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        try:
            message = inflater.decompress(data, self._limit + 1)
        except zlib.error as error:
            raise RpcRefused("INTERNAL", "a message cannot be decompressed") from error
        if len(message) > self._limit:
            text = f"a message has more than {self._limit} bytes after decompression"
            raise RpcRefused("RESOURCE_EXHAUSTED", text)
        if not inflater.eof:
            raise RpcRefused("INTERNAL", "a compressed message is cut off")
        return message


def prefixed(message: bytes) -> tuple[bytes, bytes]:
    """A message as it is sent."""
    return PREFIX.pack(0, len(message)), message
