"""The JSON around numbers: clients repeat it, so it is read once and known by its bytes then.

Half of what a small request costs is walking its JSON. Nothing is guessed here: what is recognised
is equal, byte by byte, to what was read and checked before. Pure.
"""

from dataclasses import dataclass
from typing import Final

from slipway.errors import Invalid
from slipway_server.protocol import binary_tensors, json_tensors
from slipway_server.protocol.json_tensors import JsonReader, Node
from slipway_server.protocol.tensors import (
    BYTES,
    Array,
    InferRequest,
    OutputChoice,
    Signature,
    TensorSpec,
)

_KEPT: Final = 64  # frames of one model: shapes, mostly
_FRAMED_BYTES: Final = 1 << 16  # of a body; of larger ones the frame is not what costs
_HEAD_BYTES: Final = 1 << 12  # of a frame, or of the JSON before raw bytes: bounds what is kept


@dataclass(frozen=True, slots=True)
class _Asked:
    """All of a request but its tensors."""

    id: str
    outputs: tuple[OutputChoice, ...] | None
    binary: bool

    def of(self, feeds: dict[str, Array]) -> InferRequest:
        return InferRequest(feeds, self.id, self.outputs, binary=self.binary)


def _asked(request: InferRequest) -> _Asked:
    return _Asked(request.id, request.outputs, request.binary)


@dataclass(frozen=True, slots=True)
class _Frame:
    """A JSON request without the array of its only input."""

    after: bytes
    spec: TensorSpec
    shape: tuple[int, ...]
    count: int
    asked: _Asked


class JsonFrames:
    """Requests in JSON with one input: ``before``, an array, ``after``.

    A pair is kept when it came twice in a row and ``before + null + after`` is a document whose
    data is that ``null``. Then the array stood where a value stands, and whatever array stands
    there makes a document of the same meaning: JSON has no context.
    """

    def __init__(self, signature: Signature, reader: JsonReader) -> None:
        self._reader = reader
        self._frames: dict[bytes, _Frame] = {}
        self._spec = signature.inputs[0] if len(signature.inputs) == 1 else None
        self._last = (b"", b"")

    def read(self, body: bytes) -> InferRequest | None:
        """The request, or ``None`` when its frame is not known or anything is wrong with it."""
        if len(body) > _FRAMED_BYTES:
            return None
        before = body[: body.find(b"[", body.find(b'"data"'))]
        frame = self._frames.get(before)
        if frame is None or not body.endswith(frame.after):
            return None
        try:
            return self._reader.read(body[len(before) : -len(frame.after)], _framed, frame)
        except Invalid:
            return None

    def learn(self, body: bytes, request: InferRequest) -> None:
        """Look at a request that was read the long way."""
        spec = self._spec
        if spec is None or len(body) > _FRAMED_BYTES:
            return
        start = body.find(b"[", body.find(b'"data"'))
        end = _end(body, start)
        pair = (body[:start], body[end:])
        if len(pair[0]) + len(pair[1]) > _HEAD_BYTES:
            return
        if pair != self._last:
            self._last = pair  # a frame with an id of its own comes once
            return
        before, after = pair
        try:
            whole = self._reader.read(body[start:end], _is_array, None)
            fits = self._reader.read(b"%bnull%b" % pair, _lacks_data, None)
        except Invalid:
            return
        if whole and fits:
            if len(self._frames) >= _KEPT:
                self._frames.clear()
            array = request.feeds[spec.name]
            frame = _Frame(after, spec, array.shape, array.size, _asked(request))
            self._frames[before] = frame


@dataclass(frozen=True, slots=True)
class _Plan:
    """What lies where behind a head. ``tensors``: input, shape, elements, first and last byte."""

    size: int
    tensors: tuple[tuple[TensorSpec, tuple[int, ...], int, int, int], ...]
    asked: _Asked


class BinaryHeads:
    """Requests whose tensors are all raw bytes behind a JSON head."""

    def __init__(self, signature: Signature) -> None:
        self._specs = {spec.name: spec for spec in signature.inputs}
        self._plans: dict[bytes, _Plan] = {}
        self._texts = any(spec.datatype == BYTES for spec in signature.inputs)

    def read(self, body: bytes | memoryview, json_length: int) -> InferRequest | None:
        """The request, or ``None`` when its head is not known.

        Raises:
            Invalid: a BOOL that is neither 0 nor 1.
        """
        plan = self._plans.get(bytes(body[:json_length])) if json_length <= _HEAD_BYTES else None
        if plan is None or plan.size != len(body):
            return None
        whole = memoryview(body)
        feeds = {}
        for spec, shape, count, start, end in plan.tensors:
            data = whole[start:end]
            feeds[spec.name] = binary_tensors.read_tensor(spec, data, shape, count=count)
        return plan.asked.of(feeds)

    def learn(self, body: bytes | memoryview, json_length: int, request: InferRequest) -> None:
        """Look at a request that was read the long way."""
        if json_length > _HEAD_BYTES or self._texts:
            return
        tensors, end = [], json_length
        for name, array in request.feeds.items():  # in the order of the head
            start, end = end, end + array.nbytes
            tensors.append((self._specs[name], array.shape, array.size, start, end))
        if end != len(body):
            return  # some of them are in the JSON
        if len(self._plans) >= _KEPT:
            self._plans.clear()
        self._plans[bytes(body[:json_length])] = _Plan(end, tuple(tensors), _asked(request))


def _end(body: bytes, start: int) -> int:
    """Where the array that starts there ends, if it is compact; else somewhere."""
    rank = 1
    while body[start + rank : start + rank + 1] == b"[":
        rank += 1
    return body.find(b"]" * rank, start) + rank


def _framed(node: Node, frame: _Frame) -> InferRequest:
    array = json_tensors.read_tensor(frame.spec, node, frame.shape, count=frame.count)
    return frame.asked.of({frame.spec.name: array})


def _is_array(node: Node, _: None) -> bool:
    return json_tensors.is_array(node)


def _lacks_data(root: Node, _: None) -> bool:
    return root["inputs"][0]["data"] is None
