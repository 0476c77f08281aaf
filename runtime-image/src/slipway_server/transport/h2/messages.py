"""Messages of gRPC inside HTTP/2: read piece by piece, decompressed, and written. Pure."""

import zlib
from struct import Struct
from typing import Final

from slipway_server.transport.h2.sender import Bytes
from slipway_server.transport.rpc import Message, Padding, RpcRefused, no_padding

PREFIX: Final = Struct(">BL")
ENCODINGS: Final = b"identity,deflate,gzip"
_LARGE: Final = 4096
_WINDOW_BITS: Final = {b"gzip": 31, b"deflate": 15}


def encoding_is_known(name: bytes) -> bool:
    """Whether requests may be compressed so."""
    return name in _WINDOW_BITS or name == b"identity"


class MessageReader:
    """Turns the body of one call into its messages.

    What comes in several pieces is copied once, into a buffer that grows with what has really come:
    what a prefix promises reserves nothing.

    Attributes:
        held: bytes that wait for the rest of their message.
    """

    __slots__ = ("_begun", "_encoding", "_large", "_limit", "_padding", "_rest", "held")

    def __init__(self, limit: int, encoding: bytes, padding: Padding = no_padding) -> None:
        """Begin.

        Args:
            limit: bytes of a message, before and after decompression.
            encoding: ``grpc-encoding`` of the call.
            padding: see ``Methods``.
        """
        self._limit = limit
        self._encoding = encoding
        self._padding = padding
        self._rest = b""  # less than a prefix, or the begin of a small message
        self._large: bytearray | None = None
        self._begun = (0, 0, 0)  # of the large message: its flag, where it begins, where it ends
        self.held = 0

    def feed(self, piece: Bytes) -> list[Message]:
        """Take a piece; returns the messages that are complete now.

        Raises:
            RpcRefused: a message that is too large, or not readable.
        """
        messages: list[Message] = []
        place = 0 if self._large is None else self._feed_large(piece, messages)
        if self._large is not None:
            return messages
        if self._rest:
            piece = self._rest + piece
            self._rest = b""
        size = len(piece)
        while size - place >= PREFIX.size:
            flag, length = PREFIX.unpack_from(piece, place)
            self._check(flag, length)
            start = place + PREFIX.size
            end = start + length
            if end > size:
                break
            place = end
            self._add(messages, bytes(piece[start:end]), flag)
        self.held = size - place
        if size - place > _LARGE:
            self._begin_large(memoryview(piece)[place:])
        elif place < size:
            self._rest = bytes(piece[place:])
        return messages

    def _begin_large(self, piece: memoryview) -> None:
        flag, length = PREFIX.unpack_from(piece)
        begin = piece[PREFIX.size :]
        padding = self._padding(begin)
        self._large = bytearray(padding)
        self._large += begin
        self._begun = (flag, padding, padding + length)

    def _feed_large(self, piece: Bytes, messages: list[Message]) -> int:
        """Take what belongs to the large message; returns how much that is."""
        large = self._large
        assert large is not None
        flag, begin, end = self._begun
        taken = min(len(piece), end - len(large))
        large += piece if taken == len(piece) else piece[:taken]
        self.held += taken
        if len(large) == end:
            self._large = None
            self._add(messages, memoryview(large)[begin:], flag)
        return taken

    def _add(self, messages: list[Message], message: Message, flag: int) -> None:
        messages.append(self._inflate(message) if flag else message)

    def _check(self, flag: int, length: int) -> None:
        if flag > 1:
            raise RpcRefused("INTERNAL", f"a message begins with {flag} instead of 0 or 1")
        if length > self._limit:
            text = f"the message has {length} bytes: at most {self._limit} are taken"
            raise RpcRefused("RESOURCE_EXHAUSTED", text)
        if flag and self._encoding == b"identity":
            raise RpcRefused("INTERNAL", "a message is compressed, but grpc-encoding names no way")

    def _inflate(self, data: Message) -> bytes:
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
