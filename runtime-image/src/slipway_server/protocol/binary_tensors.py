"""Tensors as raw bytes: the binary extension of REST, and the raw contents of gRPC. Pure.

Numbers are little-endian in row-major order; each BYTES element is a 4-byte little-endian length
and that many bytes
(https://github.com/kserve/open-inference-protocol, binary tensor data extension).
"""

import struct
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np

from slipway.errors import Invalid
from slipway_server.protocol.tensors import BYTES, Array, TensorSpec

_LENGTH: Final = struct.Struct("<I")
_SWAP: Final = sys.byteorder == "big"


def read_tensor(spec: TensorSpec, data: memoryview, shape: Sequence[int], *, count: int) -> Array:
    """An array over ``data`` (not a copy, unless its address is odd for the type).

    Args:
        spec: the input.
        data: exactly its bytes.
        shape: a checked shape.
        count: its number of elements.

    Raises:
        Invalid: another number of bytes, lengths of BYTES elements that lie, invalid UTF-8.
    """
    if spec.datatype == BYTES:
        return _read_strings(spec, data, count).reshape(shape)
    expected = count * spec.dtype.itemsize
    if len(data) != expected:
        raise Invalid(
            f"input '{spec.name}' has {len(data)} bytes, but {spec.datatype} of shape "
            f"{list(shape)} needs {expected}"
        )
    array = np.frombuffer(data, spec.dtype)
    if _SWAP:
        array = array.byteswap()
    elif not array.flags.aligned:
        array = array.copy()
    if spec.dtype.kind == "b" and array.view(np.uint8).max() > 1:
        raise Invalid(f"input '{spec.name}' (BOOL) holds a byte that is not 0 or 1")
    return array.reshape(shape)


def write_tensor(array: Array) -> bytes:
    """The bytes of an array; ``str`` elements become UTF-8."""
    if array.dtype.kind == "O":
        parts: list[bytes] = []
        for item in array.ravel():
            raw = item if isinstance(item, bytes) else str(item).encode()
            parts += (_LENGTH.pack(len(raw)), raw)
        return b"".join(parts)
    return (array.byteswap() if _SWAP else array).tobytes()


def _read_strings(spec: TensorSpec, data: memoryview, count: int) -> Array:
    if len(data) < 4 * count:  # before allocating: a huge shape needs huge data
        raise Invalid(f"input '{spec.name}' has {len(data)} bytes: too few for {count} strings")
    texts = np.empty(count, np.object_)
    offset, end = 0, len(data)
    for place in range(count):
        if end - offset < 4:
            raise Invalid(f"input '{spec.name}' ends before its string {place} of {count}")
        (length,) = _LENGTH.unpack_from(data, offset)
        offset += 4
        if length > end - offset:
            raise Invalid(f"input '{spec.name}': string {place} is longer than the data")
        try:
            texts[place] = str(data[offset : offset + length], "utf-8")
        except UnicodeDecodeError as error:
            raise Invalid(f"input '{spec.name}': string {place} is not UTF-8") from error
        offset += length
    if offset != end:
        raise Invalid(f"input '{spec.name}' has {end - offset} bytes after its {count} strings")
    return texts
