"""What stands before the raw tensors of a gRPC message: known by its bytes once it was read. Pure.

Clients write the fields of a message in the order of their numbers, so raw contents come last, and
all before them is the same in request after request. Nothing is guessed: the same bytes in front of
as many raw bytes are the same message with other values.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from slipway_server.protocol import binary_tensors, raw_contents
from slipway_server.protocol.tensors import (
    BYTES,
    Array,
    InferRequest,
    OutputChoice,
    Signature,
    TensorSpec,
)

_KEPT: Final = 64  # heads: shapes, mostly
_MESSAGE_BYTES: Final = 16 << 10  # larger ones are cut apart as they come: see raw_contents
_HEAD_BYTES: Final = 1 << 12


@dataclass(frozen=True, slots=True)
class KnownHead:
    """What a head says.

    Attributes:
        model: its name.
        gaps: the bytes between raw contents, and where they lie.
        tensors: of each input where its bytes begin and end, its shape and its elements.
    """

    model: str
    id: str
    outputs: tuple[OutputChoice, ...] | None
    gaps: tuple[tuple[int, int, bytes], ...]
    tensors: tuple[tuple[TensorSpec, int, int, tuple[int, ...], int], ...]

    def read(self, message: bytes | memoryview) -> InferRequest:
        """The request.

        Raises:
            Invalid: a BOOL that is neither 0 nor 1.
        """
        whole = memoryview(message)
        feeds: dict[str, Array] = {}
        for spec, start, end, shape, count in self.tensors:
            feeds[spec.name] = binary_tensors.read_tensor(
                spec, whole[start:end], shape, count=count
            )
        return InferRequest(feeds, self.id, self.outputs, binary=True)


class MessageHeads:
    """Heads by their bytes, of all models of a server."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes], KnownHead] = {}
        self._lengths: dict[int, int] = {}  # of a message, to that of its head
        self._last = b""

    def find(self, message: bytes | memoryview) -> KnownHead | None:
        """What the head of ``message`` says, if it came before with as many bytes behind it."""
        size = len(message)
        length = self._lengths.get(size)
        if length is None or not isinstance(message, bytes):
            return None
        known = self._known.get((size, message[:length]))
        if known is not None:
            for start, end, gap in known.gaps:
                if message[start:end] != gap:
                    return None
        return known

    def learn(
        self, message: bytes | memoryview, model: str, request: InferRequest, signature: Signature
    ) -> None:
        """Look at a message that was read the long way; kept is what comes twice in a row."""
        size = len(message)
        if size > _MESSAGE_BYTES or not request.binary or not isinstance(message, bytes):
            return
        places = raw_contents.places(memoryview(message))
        if places is None or len(places) != len(request.feeds) or places[0][0] > _HEAD_BYTES:
            return
        head = message[: places[0][0]]
        if head != self._last:
            self._last = head  # a head with an id of its own comes once
            return
        tensors = []
        for (name, array), (start, end) in zip(request.feeds.items(), places, strict=True):
            spec = signature.input(name)
            if spec.datatype == BYTES:
                return
            tensors.append((spec, start, end, array.shape, array.size))
        gaps = tuple((end, start, message[end:start]) for (_, end), (start, _) in pairwise(places))
        if len(self._known) >= _KEPT:
            self._known.clear()
            self._lengths.clear()
        self._lengths[size] = len(head)
        self._known[size, head] = KnownHead(
            model, request.id, request.outputs, gaps, tuple(tensors)
        )
