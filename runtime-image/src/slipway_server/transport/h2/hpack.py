"""Header blocks (HPACK, RFC 7541): a decoder with limits, and what little encoding answers need.

Pure. Answers never use the dynamic table, so there is no encoder with a state to keep.
"""

from typing import Final

from slipway_server.transport.h2 import huffman
from slipway_server.transport.h2.frames import Code, ConnectionFault

Field = tuple[bytes, bytes]

TABLE_SIZE: Final = 4096  # what RFC 9113 gives a peer that is told nothing else
_ENTRY: Final = 32  # each entry counts so much more than its bytes (RFC 7541, section 4.1)
_MAX_INTEGER: Final = 1 << 24
_BOMB: Final = 16  # a list this many times over its limit ends the connection
_STATIC: Final[tuple[Field, ...]] = (
    (b"", b""), (b":authority", b""), (b":method", b"GET"), (b":method", b"POST"),
    (b":path", b"/"), (b":path", b"/index.html"), (b":scheme", b"http"), (b":scheme", b"https"),
    (b":status", b"200"), (b":status", b"204"), (b":status", b"206"), (b":status", b"304"),
    (b":status", b"400"), (b":status", b"404"), (b":status", b"500"), (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"), (b"accept-language", b""), (b"accept-ranges", b""),
    (b"accept", b""), (b"access-control-allow-origin", b""), (b"age", b""), (b"allow", b""),
    (b"authorization", b""), (b"cache-control", b""), (b"content-disposition", b""),
    (b"content-encoding", b""), (b"content-language", b""), (b"content-length", b""),
    (b"content-location", b""), (b"content-range", b""), (b"content-type", b""), (b"cookie", b""),
    (b"date", b""), (b"etag", b""), (b"expect", b""), (b"expires", b""), (b"from", b""),
    (b"host", b""), (b"if-match", b""), (b"if-modified-since", b""), (b"if-none-match", b""),
    (b"if-range", b""), (b"if-unmodified-since", b""), (b"last-modified", b""), (b"link", b""),
    (b"location", b""), (b"max-forwards", b""), (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""), (b"range", b""), (b"referer", b""), (b"refresh", b""),
    (b"retry-after", b""), (b"server", b""), (b"set-cookie", b""),
    (b"strict-transport-security", b""), (b"transfer-encoding", b""), (b"user-agent", b""),
    (b"vary", b""), (b"via", b""), (b"www-authenticate", b""),
)  # fmt: skip


class Decoder:
    """The receiving end of one connection.

    Attributes:
        version: grows whenever the dynamic table changes: a block that leaves it alone means the
            same until the next change.
    """

    def __init__(self, limit: int) -> None:
        """Start with an empty table; ``limit`` is of a field list, as section 6.5.2 counts it."""
        self.version = 0
        self._limit = limit
        self._entries: list[Field] = []  # the newest is the last
        self._size = 0
        self._max = TABLE_SIZE

    def decode(self, block: bytes) -> tuple[Field, ...] | None:
        """The fields of a block; ``None`` when they are more than the limit.

        Raises:
            ConnectionFault: the block is not HPACK, or grows far beyond the limit. The table is in
                an unknown state then: the connection has to end.
        """
        fields: list[Field] = []
        place, end, left = 0, len(block), self._limit
        try:
            while place < end:
                byte = block[place]
                if byte & 0x80:
                    index, place = _integer(block, place, 0x7F)
                    field = self._entry(index)
                elif byte & 0x40:
                    field, place = self._literal(block, place, 0x3F)
                    self._add(field)
                elif byte & 0x20:
                    if fields or left != self._limit:
                        raise _wrong("a table size update inside a header block")
                    place = self._resize(block, place)
                    continue
                else:
                    field, place = self._literal(block, place, 0x0F)
                left -= len(field[0]) + len(field[1]) + _ENTRY
                if left >= 0:
                    fields.append(field)
                elif left < -_BOMB * self._limit:
                    raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header block is a bomb")
        except IndexError as error:
            raise _wrong("a header block is cut off") from error
        return tuple(fields) if left >= 0 else None

    def _entry(self, index: int) -> Field:
        if index == 0:
            raise _wrong("header index 0")
        if index < len(_STATIC):
            return _STATIC[index]
        index -= len(_STATIC) - 1
        if index > len(self._entries):
            raise _wrong("a header index beyond the table")
        return self._entries[-index]

    def _literal(self, block: bytes, place: int, mask: int) -> tuple[Field, int]:
        index, place = _integer(block, place, mask)
        if index:
            name = self._entry(index)[0]
        else:
            name, place = _string(block, place)
        value, place = _string(block, place)
        return (name, value), place

    def _add(self, field: Field) -> None:
        self.version += 1
        self._entries.append(field)
        self._size += len(field[0]) + len(field[1]) + _ENTRY
        self._evict()

    def _resize(self, block: bytes, place: int) -> int:
        size, place = _integer(block, place, 0x1F)
        if size > TABLE_SIZE:
            raise _wrong("a table size beyond what the settings allow")
        self.version += 1
        self._max = size
        self._evict()
        return place

    def _evict(self) -> None:
        gone = 0
        while self._size > self._max:
            name, value = self._entries[gone]
            self._size -= len(name) + len(value) + _ENTRY
            gone += 1
        del self._entries[:gone]


def _integer(block: bytes, place: int, mask: int) -> tuple[int, int]:
    """An integer with a prefix (section 5.1), and the place behind it."""
    value = block[place] & mask
    place += 1
    if value < mask:
        return value, place
    shift = 0
    while True:
        byte = block[place]
        place += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 28:
            raise _wrong("an integer that is too long")
    if value > _MAX_INTEGER:
        raise _wrong("an integer that is too large")
    return value, place


def _string(block: bytes, place: int) -> tuple[bytes, int]:
    coded = block[place] & 0x80
    length, place = _integer(block, place, 0x7F)
    end = place + length
    if end > len(block):
        raise _wrong("a string is cut off")
    text = block[place:end]
    if coded:
        try:
            text = huffman.decode(text)
        except huffman.HuffmanError as error:
            raise _wrong(str(error)) from error
    return text, end


def _wrong(text: str) -> ConnectionFault:
    return ConnectionFault(Code.COMPRESSION_ERROR, text)


def encode(fields: list[Field]) -> bytes:
    """A block of literals that leave the peer's table alone."""
    return b"".join(_encode_one(name, value) for name, value in fields)


def _encode_one(name: bytes, value: bytes) -> bytes:
    field = (name, value)
    if field in _INDEXED:
        return bytes([0x80 | _INDEXED[field]])
    return b"\0" + _prefixed(name) + _prefixed(value)


def _prefixed(text: bytes) -> bytes:
    length = len(text)
    if length < 0x7F:
        return bytes([length]) + text
    length -= 0x7F
    out = bytearray([0x7F])
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out) + text


_INDEXED: Final = {field: index for index, field in enumerate(_STATIC) if field[1]}
