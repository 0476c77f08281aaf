"""Content codings (RFC 9110, section 8.4.1): gzip, deflate and zstd, with bounds.

zlib and zstd are imported when the first client uses them.
"""

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from types import ModuleType

CODINGS: Final = (b"zstd", b"gzip", b"deflate")  # the best first
_GZIP_BITS: Final = 31
_ZLIB_BITS: Final = 15
_WINDOW_LOG: Final = 23  # 8 MiB: what RFC 9659 lets a sender of zstd assume
_MAX_MEMBERS: Final = 1024  # of a body: empty ones cost time and give nothing
_LEVELS: Final = {b"gzip": 1, b"deflate": 1, b"zstd": 1}  # a core is dearer than a byte here


class CodingError(Exception):
    """The body is not of its coding; the text says why."""


class SizeError(Exception):
    """The body decodes to more than it may."""


class Decoder:
    """Decodes one body piece by piece, never further than asked."""

    def __init__(self, coding: bytes) -> None:
        """Begin.

        Args:
            coding: one of ``CODINGS``.
        """
        self._coding = coding
        self._name = coding.decode()
        self._stream: _Stream | None = None
        self._members = 0

    def feed(self, data: bytes, *, room: int) -> bytes:
        """What ``data`` decodes to.

        Raises:
            SizeError: more than ``room`` bytes.
            CodingError: it is not of this coding.
        """
        pieces: list[bytes] = []
        while data:
            if self._stream is None:
                self._stream = _stream_of(self._coding)
                self._members += 1
                if self._members > _MAX_MEMBERS:
                    raise CodingError(f"the body has more than {_MAX_MEMBERS} {self._name} members")
            try:
                piece = self._stream.decompress(data, room + 1)
            except Exception as error:
                raise CodingError(f"the body is not {self._name}") from error
            room -= len(piece)
            if room < 0:
                raise SizeError
            pieces.append(piece)
            if not self._stream.eof:
                break
            data, self._stream = self._stream.unused_data, None  # members may follow each other
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def finish(self) -> None:
        """The body has ended.

        Raises:
            CodingError: in the middle.
        """
        if self._stream is not None:
            raise CodingError(f"the {self._name} body is cut short")


class _Stream(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _stream_of(coding: bytes) -> Any:
    if coding == b"zstd":
        zstd = _zstd()
        limits = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
        return zstd.ZstdDecompressor(options=limits)
    import zlib

    return zlib.decompressobj(_GZIP_BITS if coding == b"gzip" else _ZLIB_BITS)


@lru_cache(maxsize=64)
def chosen(accepted: bytes) -> bytes:
    """The coding for an answer to a client that sent this ``Accept-Encoding``; empty is none."""
    weights: dict[bytes, float] = {}
    for item in accepted.lower().split(b","):
        name, _, parameters = item.partition(b";")
        weights[name.strip()] = _weight(parameters)
    others = weights.get(b"*", 0.0)
    best = max(CODINGS, key=lambda coding: weights.get(coding, others))  # the first of equals
    return best if weights.get(best, others) > 0 else b""


def encode(coding: bytes, body: bytes) -> bytes:
    """A body in one of ``CODINGS``, quickly rather than small."""
    level = _LEVELS[coding]
    if coding == b"zstd":
        coded: bytes = _zstd().compress(body, level)
        return coded
    import zlib

    return zlib.compress(body, level, _GZIP_BITS if coding == b"gzip" else _ZLIB_BITS)


def _weight(parameters: bytes) -> float:
    name, _, value = parameters.strip().partition(b"=")
    if name.strip() != b"q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _zstd() -> "ModuleType":
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
