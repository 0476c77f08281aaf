"""Open Inference Protocol v2 over REST: JSON, and its binary tensor extension. Pure.

The protocol: https://github.com/kserve/open-inference-protocol (specification/protocol).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from slipway.errors import Invalid
from slipway_server.protocol import binary_tensors, json_tensors
from slipway_server.protocol.frames import BinaryHeads, JsonFrames
from slipway_server.protocol.json_tensors import JsonReader, Keys, Node
from slipway_server.protocol.tensors import (
    Array,
    InferRequest,
    OutputChoice,
    Signature,
    TensorSpec,
    add_feed,
    quoted,
)

# KServe's client also sends the names of its path; the path decides.
_REQUEST: Final = Keys(
    "the request",
    allowed=("id", "parameters", "inputs", "outputs", "model_name", "model_version"),
    needed=("inputs",),
)
_INPUT: Final = Keys(
    "an input",
    allowed=("name", "shape", "datatype", "data", "parameters"),
    needed=("name", "shape", "datatype"),
)
_OUTPUT: Final = Keys("a requested output", allowed=("name", "parameters"), needed=("name",))
_NO_TAIL: Final = memoryview(b"")
_UNSUPPORTED: Final = (
    ("shared_memory_region", "shared memory"),
    ("classification", "the classification extension"),
    ("sequence_id", "the sequence extension"),
)


# A body: bytes to send one after the other, and the length of the JSON before binary tensors;
# ``None`` when it is JSON alone.
Answer = tuple[tuple[bytes, ...], int | None]


class V2Rest:
    """Decodes requests and encodes answers of one model."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._reader = JsonReader()
        self._frames = JsonFrames(signature, self._reader)
        self._binary = BinaryHeads(signature)
        dump, identity = json_tensors.dump, signature.identity
        self._head = b'{"model_name":%b,"model_version":%b' % (
            dump(identity.name),
            dump(identity.version),
        )
        self._heads = tuple(
            b'{"name":%b,"datatype":%b,"shape":' % (dump(spec.name), dump(spec.datatype))
            for spec in signature.outputs
        )
        places = range(len(signature.outputs))
        self._all = {
            binary: tuple(OutputChoice(place, binary) for place in places)
            for binary in (False, True)
        }

    def decode(self, body: bytes | memoryview, json_length: int | None) -> InferRequest:
        """Read a request.

        Args:
            body: the whole body.
            json_length: value of ``Inference-Header-Content-Length``, if it was sent.

        Raises:
            Invalid: whatever is wrong with it.
        """
        if json_length is None:
            text = bytes(body)
            request = self._frames.read(text)
            if request is None:
                request = self._reader.read(text, self._request, _NO_TAIL)
                self._frames.learn(text, request)
            return request
        if not 0 < json_length <= len(body):
            raise Invalid(
                f"Inference-Header-Content-Length is {json_length}, but the body has {len(body)} "
                "bytes"
            )
        request = self._binary.read(body, json_length)
        if request is None:
            whole = memoryview(body)
            request = self._reader.read(whole[:json_length], self._request, whole[json_length:])
            self._binary.learn(body, json_length, request)
        return request

    def encode(self, request: InferRequest, arrays: Sequence[Array]) -> Answer:
        """Write an answer with the outputs that ``request`` wants.

        Args:
            request: what was asked.
            arrays: all outputs of the model, in its order, C-contiguous.
        """
        head, choices = self._head, request.outputs
        if request.id:
            head = b'%b,"id":%b' % (head, json_tensors.dump(request.id))
        if choices is None:
            choices = self._all[request.binary]
        tensors, raw = [], []
        for choice in choices:
            array = arrays[choice.place]
            shape = _shape_text(array.shape)
            if choice.binary:
                data = binary_tensors.write_tensor(array)
                raw.append(data)
                tail = b'"parameters":{"binary_data_size":%d}}' % len(data)
            else:
                spec = self._signature.outputs[choice.place]
                tail = b'"data":%b}' % json_tensors.dump(json_tensors.jsonable(spec, array))
            tensors.append(b"%b[%b],%b" % (self._heads[choice.place], shape, tail))
        text = b'%b,"outputs":[%b]}' % (head, b",".join(tensors))
        return ((text, *raw), len(text)) if raw else ((text,), None)

    def _request(self, root: Node, tail: memoryview) -> InferRequest:
        keys = _REQUEST.of(root)
        feeds: dict[str, Array] = {}
        offset = 0
        for node in json_tensors.items_of(root["inputs"], "inputs"):
            offset = self._input(node, tail, offset, feeds=feeds)
        if offset != len(tail):
            raise Invalid(f"the body has {len(tail) - offset} bytes more than its tensors")
        self._signature.check_complete(feeds)
        request = InferRequest(feeds)
        if len(keys) > 1:
            self._options(root, keys, request)
        return request

    def _input(self, node: Node, tail: memoryview, offset: int, *, feeds: dict[str, Array]) -> int:
        """Add one input to ``feeds``; returns where the next one's raw bytes start."""
        keys = _INPUT.of(node)
        spec = self._signature.input(node["name"])
        spec.check_datatype(node["datatype"])
        shape = json_tensors.plain(node["shape"])
        if not isinstance(shape, list):
            raise Invalid(f"input '{spec.name}': shape must be a JSON array, not {quoted(shape)}")
        count = spec.check_shape(shape)
        size = _binary_size(spec, node["parameters"]) if "parameters" in keys else None
        if size is None:
            if "data" not in keys:
                raise Invalid(f"input '{spec.name}' has neither data nor binary_data_size")
            array = json_tensors.read_tensor(spec, node["data"], shape, count=count)
        elif "data" in keys:
            raise Invalid(f"input '{spec.name}' has both data and binary_data_size")
        elif size > len(tail) - offset:
            raise Invalid(
                f"input '{spec.name}' announces {size} binary bytes, but {len(tail) - offset} are "
                "left in the body"
            )
        else:
            raw = tail[offset : offset + size]
            array = binary_tensors.read_tensor(spec, raw, shape, count=count)
            offset += size
        add_feed(feeds, spec.name, array)
        return offset

    def _options(self, root: Node, keys: tuple[str, ...], request: InferRequest) -> None:
        if "id" in keys:
            ident = root["id"]
            if not isinstance(ident, str):
                raise Invalid("id must be a string")
            request.id = ident
        if "parameters" in keys:
            request.binary = _flag(_parameters(root["parameters"]), "binary_data_output") or False
        if "outputs" in keys:
            nodes = json_tensors.items_of(root["outputs"], "outputs")
            choices = tuple([self._choice(node, default=request.binary) for node in nodes])
            if len({choice.place for choice in choices}) != len(choices):
                raise Invalid("an output is requested twice")
            request.outputs = choices or None

    def _choice(self, node: Node, *, default: bool) -> OutputChoice:
        keys = _OUTPUT.of(node)
        place = self._signature.output_place(node["name"])
        binary = _flag(_parameters(node["parameters"]), "binary_data") if len(keys) > 1 else None
        return OutputChoice(place, default if binary is None else binary)


@lru_cache(maxsize=256)
def _shape_text(shape: tuple[int, ...]) -> bytes:
    return b",".join([b"%d" % size for size in shape])


def _parameters(node: Node) -> dict[str, object]:
    json_tensors.keys_of(node, "parameters")
    values: dict[str, object] = json_tensors.plain(node)
    for key, what in _UNSUPPORTED:
        if values.get(key):
            raise Invalid(f"parameter '{key}' is refused: this server has no {what}")
    return values


def _flag(parameters: dict[str, object], key: str) -> bool | None:
    value = parameters.get(key)
    if value is not None and not isinstance(value, bool):
        raise Invalid(f"parameter '{key}' is {quoted(value)}: use true or false")
    return value


def _binary_size(spec: TensorSpec, node: Node) -> int | None:
    size = _parameters(node).get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise Invalid(f"input '{spec.name}': binary_data_size is {quoted(size)}")
    return size
