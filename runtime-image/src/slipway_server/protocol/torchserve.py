"""The inference API of TorchServe and of MXNet's Model Server. Pure.

There a model's handler decides what a body means: here it is JSON, a form with a part for each
input, or the bytes of the only input. The documentation that this follows:
https://pytorch.org/serve/inference_api.html and
https://github.com/awslabs/multi-model-server/blob/master/docs/inference_api.md
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from slipway.errors import Invalid
from slipway_server.protocol import base64_tensors, binary_tensors, json_tensors, rows
from slipway_server.protocol.form import parts_of
from slipway_server.protocol.json_tensors import JsonReader, Node
from slipway_server.protocol.tensors import (
    BYTES,
    Array,
    InferRequest,
    Signature,
    TensorSpec,
    add_feed,
    listed,
    quoted,
)

_ANY_NAME: Final = ("data", "body")  # what the examples call the only input
_ENVELOPE: Final = "instances"
_BARE: Final = (b"", b"application/x-www-form-urlencoded")  # what curl -T and curl -d send


class PredictionRequest(InferRequest):
    """A decoded request; ``enveloped`` ones are answered as ``{"predictions": ...}``."""

    __slots__ = ("enveloped",)

    def __init__(self, feeds: dict[str, Array], *, enveloped: bool = False) -> None:
        super().__init__(feeds)
        self.enveloped = enveloped


class TorchServe:
    """Decodes requests and encodes answers of one model."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._reader = JsonReader()
        inputs = signature.inputs
        self._only = inputs[0] if len(inputs) == 1 else None

    def decode(self, body: bytes, content_type: bytes) -> PredictionRequest:
        """Read the body of a prediction.

        Raises:
            Invalid: whatever is wrong with it.
        """
        kind, _, parameters = content_type.partition(b";")
        kind = kind.strip().lower()
        if kind == b"multipart/form-data":
            feeds = self._form(body, parameters)
        elif self._is_json(kind, body):
            return self._reader.read(body, self._json, None)
        elif self._only is not None:
            feeds = {self._only.name: from_bytes(self._only, body)}
        else:
            raise Invalid(
                f"the model has the inputs {listed(self._signature.inputs)}: send JSON or a form "
                "with a part for each"
            )
        rows.check(self._signature, feeds)
        return PredictionRequest(feeds)

    def encode(self, request: PredictionRequest, arrays: Sequence[Array]) -> bytes:
        """Write the output, or an object of several.

        Raises:
            Invalid: rows were asked of an output that has none.
        """
        specs = self._signature.outputs
        if not request.enveloped:
            return json_tensors.dump(rows.columns_of(specs, arrays))
        rows.check_rows(specs, arrays, next(iter(request.feeds.values())).shape[0])
        one = len(specs) == 1
        values = rows.columns_of(specs, arrays) if one else rows.rows_of(specs, arrays)
        return json_tensors.dump({"predictions": values})

    def _is_json(self, kind: bytes, body: bytes) -> bool:
        if kind == b"application/json":
            return True
        text = self._only is not None and self._only.datatype == BYTES
        return kind in _BARE and not text and body.lstrip()[:1] in (b"[", b"{")

    def _json(self, root: Node, _: None) -> PredictionRequest:
        signature, enveloped = self._signature, False
        if json_tensors.is_object(root):
            keys = json_tensors.keys_of(root, "the request")
            enveloped = keys == [_ENVELOPE]
            if enveloped:
                feeds = rows.by_row(signature, root[_ENVELOPE])
            elif self._only is not None and len(keys) == 1 and keys[0] in _ANY_NAME:
                feeds = {self._only.name: json_tensors.read_nested(self._only, root[keys[0]])}
            elif base64_tensors.KEY in keys:
                raise Invalid("the request needs a key for each input")
            else:
                feeds = rows.by_column(signature, root)
        else:
            feeds = rows.by_column(signature, root)
        rows.check(signature, feeds)
        return PredictionRequest(feeds, enveloped=enveloped)

    def _form(self, body: bytes, parameters: bytes) -> dict[str, Array]:
        inputs = self._signature.inputs
        parts = parts_of(body, parameters, limit=len(inputs))
        in_order = [name for name, _ in parts] == [_ANY_NAME[0]] * len(inputs)
        feeds: dict[str, Array] = {}
        for place, (name, data) in enumerate(parts):
            if in_order or (self._only is not None and name in _ANY_NAME):
                spec = inputs[place]
            else:
                spec = self._signature.input(name)
            add_feed(feeds, spec.name, from_bytes(spec, data))
        return feeds


def from_bytes(spec: TensorSpec, data: bytes) -> Array:
    """A tensor from its bytes alone: text, or little-endian numbers in row-major order.

    One dynamic dimension is as large as the bytes say, where there are more the first is 1.

    Raises:
        Invalid: no shape of the model has so many bytes.
    """
    shape = list(spec.shape)
    if spec.datatype == BYTES:
        return _one_text(spec, data)
    unknown = [place for place, size in enumerate(shape) if size == -1]
    if len(unknown) > 1 and unknown[0] == 0:
        shape[0] = 1
        unknown = unknown[1:]
    if len(unknown) > 1:
        raise Invalid(
            f"input '{spec.name}' has several dynamic dimensions {list(spec.shape)}, which bytes "
            "alone do not tell: send JSON"
        )
    known = math.prod(size for size in shape if size != -1) * spec.dtype.itemsize
    for place in unknown:
        shape[place] = len(data) // known
    if math.prod(shape) * spec.dtype.itemsize != len(data) or not data:
        raise Invalid(
            f"input '{spec.name}' has {len(data)} bytes, which is no {spec.datatype} of shape "
            f"{quoted(list(spec.shape))}"
        )
    return binary_tensors.read_tensor(spec, memoryview(data), shape, count=math.prod(shape))


def _one_text(spec: TensorSpec, data: bytes) -> Array:
    if any(size not in (-1, 1) for size in spec.shape):
        raise Invalid(f"input '{spec.name}' takes {list(spec.shape)} strings: send JSON")
    array = np.empty((1,) * len(spec.shape), np.object_)
    try:
        array[...] = data.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"input '{spec.name}' is not UTF-8 text") from error
    return array
