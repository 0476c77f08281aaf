"""Tensors and text as base64 inside JSON: ``{"b64": ...}``. Pure.

TensorFlow Serving, KServe V1 and MindSpore Serving write bytes so; the last also any tensor, as
``{"b64": ..., "type": "int16", "shape": [3, 2]}``.
"""

import base64
import math
from typing import Any, Final

import numpy as np

from slipway.errors import Invalid
from slipway_server.protocol import binary_tensors
from slipway_server.protocol.tensors import BYTES, Array, TensorSpec, quoted

KEY: Final = "b64"
_SUFFIX: Final = "_bytes"
_TYPES: Final = {  # as MindSpore Serving names them
    "bool": "BOOL", "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "float16": "FP16", "fp16": "FP16", "float32": "FP32", "fp32": "FP32",
    "float64": "FP64", "fp64": "FP64", "str": BYTES, "bytes": BYTES,
}  # fmt: skip
_MAX_RANK: Final = 32


def read(spec: TensorSpec, value: dict[str, Any]) -> Array:
    """The array that ``{"b64": ..., "type": ..., "shape": [...]}`` stands for.

    Without type and shape it is one element of text, or as many UINT8 as there are bytes.

    Raises:
        Invalid: no base64, another type than the model's, another size than the shape's.
    """
    text, kind, shape = value.get(KEY), value.get("type", "bytes"), value.get("shape")
    if not isinstance(text, str) or value.keys() - {KEY, "type", "shape"}:
        raise Invalid(f"input '{spec.name}' holds an object that is no {{\"b64\": string}}")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Invalid(f"input '{spec.name}' holds a b64 value that is not base64") from error
    datatype = _TYPES.get(kind) if isinstance(kind, str) else None
    if datatype == spec.datatype == BYTES:
        return _decoded_text(spec, data, shape)
    if datatype != spec.datatype and (kind, spec.datatype) != ("bytes", "UINT8"):
        raise Invalid(
            f"input '{spec.name}' holds a b64 value of type {quoted(kind)}, but the model takes "
            f"{spec.datatype}"
        )
    return _decoded_numbers(spec, data, shape)


def _decoded_text(spec: TensorSpec, data: bytes, shape: object) -> Array:
    array = np.empty((), np.object_)
    try:
        array[()] = data.decode()
    except UnicodeDecodeError as error:
        raise Invalid(
            f"input '{spec.name}' holds a b64 value that is not base64 of UTF-8 text"
        ) from error
    if shape not in (None, [], [1]):
        raise Invalid(f"input '{spec.name}': a b64 value of text has no shape {quoted(shape)}")
    return array


def _decoded_numbers(spec: TensorSpec, data: bytes, shape: object) -> Array:
    size = spec.dtype.itemsize
    sizes = [len(data) // size] if shape is None else shape
    if not isinstance(sizes, list) or any(type(one) is not int or one < 1 for one in sizes):
        raise Invalid(f"input '{spec.name}': a b64 value has the shape {quoted(shape)}")
    if len(sizes) > _MAX_RANK or math.prod(sizes) * size != len(data):
        raise Invalid(
            f"input '{spec.name}' holds a b64 value of {len(data)} bytes, which is no "
            f"{spec.datatype} of shape {quoted(sizes)}"
        )
    return binary_tensors.read_tensor(spec, memoryview(data), sizes, count=math.prod(sizes))


def written(spec: TensorSpec, array: Array) -> Any:
    """Text as JSON strings; as base64 where the output's name ends in ``_bytes``.

    That is how TensorFlow Serving tells one from the other.
    """
    if not spec.name.endswith(_SUFFIX):
        return array.tolist()
    encoded = np.empty(array.shape, np.object_)
    for place, text in np.ndenumerate(array):
        encoded[place] = {KEY: base64.b64encode(str(text).encode()).decode()}
    return encoded.tolist()
