"""Large tensors inside a ``ModelInferRequest``, found without copying them. Pure.

protobuf copies every bytes field. Here the raw contents of a large message are looked at where they
are, and only what is left of it is given to protobuf.
"""

from collections.abc import Iterator
from typing import Final

_RAW_INPUT: Final = 7 << 3 | 2  # raw_input_contents, length-delimited
_RAW_OUTPUT: Final = bytes([6 << 3 | 2])  # raw_output_contents of a ModelInferResponse
_MAX_FIELDS: Final = 256
_ALIGNMENT: Final = 64


def split(message: memoryview) -> tuple[bytes, list[memoryview]] | None:
    """A message without its raw contents, and those; ``None`` if it has to be parsed as a whole."""
    rest: list[memoryview] = []
    raws: list[memoryview] = []
    last = 0
    for tag, begin, start, end in _fields(message):
        if end > len(message):
            return None
        if tag == _RAW_INPUT:
            rest.append(message[last:begin])
            raws.append(message[start:end])
            last = end
        elif tag < 0:
            return None
    rest.append(message[last:])
    return b"".join(rest), raws


def places(message: memoryview) -> list[tuple[int, int]] | None:
    """Where raw contents begin and end, if there are some and nothing else comes behind the first.

    ``None`` also where that cannot be told.
    """
    found: list[tuple[int, int]] = []
    for tag, _, start, end in _fields(message):
        if end > len(message) or tag < 0 or (found and tag != _RAW_INPUT):
            return None
        if tag == _RAW_INPUT:
            found.append((start, end))
    return found or None


def append(parts: list[bytes], content: bytes) -> None:
    """Add raw contents to the parts of a ``ModelInferResponse``, behind its other fields."""
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    parts += (_RAW_OUTPUT, bytes(length), content)


def padding(begin: memoryview) -> int:
    """How many bytes to put before a message, so that its first raw contents lie aligned.

    Args:
        begin: what has come of it so far.
    """
    for tag, _, start, _ in _fields(begin):
        if tag == _RAW_INPUT:
            return -start % _ALIGNMENT
    return 0


def _fields(message: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Tag, begin, begin of the content and end of each field; tag -1 where that cannot be told."""
    place, size = 0, len(message)
    for _ in range(_MAX_FIELDS):
        if place >= size:
            return
        begin = place
        try:
            tag, place = _varint(message, place)
            if tag & 7 != 2:
                break  # no field of this message is anything else
            length, start = _varint(message, place)
        except IndexError:
            break
        place = start + length
        yield tag, begin, start, place
    yield -1, 0, 0, 0


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte: int = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 28:
            raise IndexError
