"""The body of one request as it comes: pieces, decoded, within a limit. Pure."""

from typing import Final

from slipway_server.transport import coding
from slipway_server.transport.coding import CodingError, SizeError
from slipway_server.transport.head import Head, Refusal, too_large

Bytes = bytes | memoryview
LARGE: Final = 1 << 16
_ALIGNMENT: Final = 8  # of the widest number


class BodyRefused(Exception):  # noqa: N818 - it is an answer
    """A body that is not taken; ``refusal`` is the answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal[1])
        self.refusal = refusal


class Body:
    """Pieces of one body.

    Attributes:
        size: bytes so far, decoded.
    """

    __slots__ = ("_coded", "_decoder", "_limit", "_parts", "size")

    def __init__(self, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._parts: list[Bytes] = []
        self._decoder: coding.Decoder | None = None
        self._coded = 0  # before decoding

    def decode(self, name: bytes) -> None:
        """What comes is compressed in this way."""
        self._decoder = coding.Decoder(name)

    def add(self, piece: Bytes) -> int:
        """Take a piece, which is not copied; returns how many bytes more that is.

        Raises:
            BodyRefused: the body is too large now, or cannot be decoded.
        """
        if self._decoder is not None:
            piece = self._decoded(self._decoder, bytes(piece))
        self._parts.append(piece)
        more = len(piece)
        self.size += more
        if self.size > self._limit:
            raise BodyRefused(too_large(self._limit))
        return more

    def _decoded(self, decoder: coding.Decoder, piece: bytes) -> bytes:
        self._coded += len(piece)  # what decodes to nothing is bounded too
        try:
            if self._coded <= self._limit:
                return decoder.feed(piece, room=self._limit - self.size)
        except CodingError as error:
            raise BodyRefused((400, str(error))) from error
        except SizeError:
            pass
        raise BodyRefused(too_large(self._limit))

    def finish(self) -> None:
        """All has come.

        Raises:
            BodyRefused: the compressed body is not whole.
        """
        if self._decoder is not None:
            try:
                self._decoder.finish()
            except CodingError as error:
                raise BodyRefused((400, str(error))) from error

    def whole(self, head: Head) -> Bytes:
        """All pieces in one: copied once at most, with binary tensors at an aligned address.

        Args:
            head: of the request, which says where JSON ends.
        """
        parts, self._parts = self._parts, []
        if not parts:
            return b""
        if len(parts) == 1 and isinstance(parts[0], bytes):
            return parts[0]
        padding = -(head.json_length or 0) % _ALIGNMENT if self.size > LARGE else 0
        if not padding:
            return b"".join(parts)
        return memoryview(b"".join((bytes(padding), *parts)))[padding:]


def plain_left(head: Head, size: int, *, beyond: int) -> int:
    """How many bytes of a body no parser needs to see, because nothing but bytes is to come.

    Args:
        head: of the request.
        size: bytes of its body that have come.
        beyond: smaller bodies are not worth it.
    """
    if head.length <= beyond or head.chunked or head.coding or head.upgrade:
        return 0
    return head.length - size
