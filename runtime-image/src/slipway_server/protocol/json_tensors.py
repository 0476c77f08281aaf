"""Tensors written as JSON arrays. Pure; the one importer of simdjson and orjson here.

simdjson fills typed buffers without a Python object per element; orjson prints arrays as they are.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import numpy as np
import orjson
import simdjson

from slipway.errors import Invalid
from slipway_server.protocol import base64_tensors, bfloat16
from slipway_server.protocol.tensors import (
    BF16,
    BYTES,
    MAX_ELEMENTS,
    Array,
    TensorSpec,
    all_finite,
    quoted,
)

Node = Any  # simdjson.Object, simdjson.Array or a Python scalar
_T = TypeVar("_T")
_A = TypeVar("_A")
_KEPT_PARSER_BYTES: Final = 1 << 20  # a parser keeps a buffer as large as its largest document
_MAX_RANK: Final = 32
_KEPT_KEYS: Final = 64
_SAFE_SQUARES: Final = {2: 65504.0**2, 4: 1e76}  # by item size: sums that prove every value fits
_BUFFERS: Final = {
    "f": ("d", np.dtype("f8")),
    "i": ("i", np.dtype("i8")),
    "u": ("u", np.dtype("u8")),
}


class JsonReader:
    """Parses documents one after the other, with a kept parser for the small ones."""

    def __init__(self) -> None:
        self._parser = simdjson.Parser()

    def read(self, text: bytes | memoryview, use: Callable[[Node, _A], _T], argument: _A) -> _T:
        """Parse ``text`` and give its root to ``use``, which must keep no node of it.

        Args:
            text: a document.
            use: takes the root and ``argument``.
            argument: whatever ``use`` needs beside the root.

        Raises:
            Invalid: not JSON, or what ``use`` raises.
        """
        parser = self._parser if len(text) <= _KEPT_PARSER_BYTES else simdjson.Parser()
        try:
            root = parser.parse(text)
        except (ValueError, RuntimeError):
            root = self._parse_anew(text)
        try:
            return use(root, argument)
        except BaseException:
            self._parser = simdjson.Parser()  # a traceback keeps nodes of the old one alive
            raise

    def _parse_anew(self, text: bytes | memoryview) -> Node:
        """What a kept parser says of broken text depends on the text before."""
        self._parser = simdjson.Parser()
        try:
            return self._parser.parse(text)
        except (ValueError, RuntimeError) as error:
            raise Invalid(f"the body is not valid JSON: {_reason(error)}") from error


def is_object(node: Node) -> bool:
    """Whether it is a JSON object."""
    return isinstance(node, simdjson.Object)


def is_array(node: Node) -> bool:
    """Whether it is a JSON array."""
    return isinstance(node, simdjson.Array)


class Keys:
    """The keys that an object may have and must have.

    Clients send few different sets of keys, so each is checked once.
    """

    def __init__(self, what: str, *, allowed: Sequence[str], needed: Sequence[str] = ()) -> None:
        """Describe a kind of object, called ``what`` in errors."""
        self._what = what
        self._allowed = frozenset(allowed)
        self._needed = tuple(needed)
        self._seen: set[tuple[str, ...]] = set()

    def of(self, node: Node) -> tuple[str, ...]:
        """The keys of an object, each once.

        Raises:
            Invalid: not an object, an unknown key, a key twice, a needed key missing.
        """
        if not isinstance(node, simdjson.Object):
            raise Invalid(f"{self._what} must be a JSON object, not {_kind(node)}")
        keys = tuple(node.keys())
        if keys not in self._seen:
            self._check(keys)
            if len(self._seen) < _KEPT_KEYS:
                self._seen.add(keys)
        return keys

    def _check(self, keys: tuple[str, ...]) -> None:
        for key in self._needed:
            if key not in keys:
                raise Invalid(f"{self._what} lacks the key '{key}'")
        for key in keys:
            if key not in self._allowed:
                raise Invalid(f"{self._what} has the unknown key {quoted(key)}")
        if len(set(keys)) != len(keys):
            raise Invalid(f"{self._what} has a key twice")


def keys_of(node: Node, what: str) -> list[str]:
    """The keys of an object with keys of any name, each once.

    Raises:
        Invalid: not an object, or a key is there twice.
    """
    if not isinstance(node, simdjson.Object):
        raise Invalid(f"{what} must be a JSON object, not {_kind(node)}")
    keys: list[str] = list(node.keys())
    if len(set(keys)) != len(keys):
        raise Invalid(f"{what} has a key twice")
    return keys


def items_of(node: Node, what: str) -> Iterator[Node]:
    """The elements of an array.

    Raises:
        Invalid: not an array.
    """
    if not isinstance(node, simdjson.Array):
        raise Invalid(f"{what} must be a JSON array, not {_kind(node)}")
    elements: Iterator[Node] = iter(node)
    return elements


def plain(node: Node) -> Any:
    """Python objects of a small node."""
    if isinstance(node, simdjson.Object):
        return node.as_dict()
    return node.as_list() if isinstance(node, simdjson.Array) else node


def read_tensor(spec: TensorSpec, node: Node, shape: Sequence[int], *, count: int) -> Array:
    """An array of ``spec.datatype`` and ``shape`` from flat or nested JSON.

    Args:
        spec: the input.
        node: the ``data``.
        shape: a checked shape.
        count: its number of elements.

    Raises:
        Invalid: another number of elements, a ragged nesting, a value of the wrong type or range.
    """
    if not isinstance(node, simdjson.Array):
        raise Invalid(f"input '{spec.name}': data must be a JSON array, not {_kind(node)}")
    flat = _flat(spec, node)
    if flat.size != count:
        raise Invalid(
            f"input '{spec.name}' has {flat.size} values, but shape {list(shape)} needs {count}"
        )
    if isinstance(node[0], simdjson.Array):
        _check_nesting(spec, node, shape)
    return flat.reshape(shape)


def read_nested(spec: TensorSpec, node: Node) -> Array:
    """An array of ``spec.datatype`` whose shape is that of the nested JSON itself.

    Raises:
        Invalid: ragged, empty, or a value of the wrong type or range.
    """
    if isinstance(node, simdjson.Object):
        return base64_tensors.read(spec, plain(node))
    if not isinstance(node, simdjson.Array):
        return _scalar(spec, node)
    shape = _nested_shape(spec, node)
    if spec.datatype != BYTES or len(shape) > 1:
        _check_nesting(spec, node, shape)
    flat = _flat(spec, node)
    if flat.size != math.prod(shape):  # a list beside a number, behind the first of its level
        raise Invalid(f"input '{spec.name}': the lists of data differ in length or depth")
    return flat.reshape(shape)


def dump(value: object) -> bytes:
    """JSON of plain Python values and of numeric, C-contiguous arrays.

    Raises:
        Invalid: text that is not valid UTF-8.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise Invalid(
            f"the answer has no JSON form ({error}): ask for binary_data instead"
        ) from error


def jsonable(spec: TensorSpec, array: Array) -> object:
    """What ``dump`` prints for an array of ``spec``, flattened in row-major order."""
    if array.dtype.kind == "O":
        return array.ravel().tolist()
    return spec.numbers(array).ravel()  # a view, or a contiguous copy


def nested(spec: TensorSpec, array: Array) -> Any:
    """What ``dump`` prints for an array of ``spec``, nested as its shape is.

    Text may be base64: see ``base64_tensors.written``.
    """
    if array.dtype.kind == "O":
        return base64_tensors.written(spec, array)
    if not array.ndim:
        return spec.numbers(array).tolist()
    return np.ascontiguousarray(spec.numbers(array))


def _flat(spec: TensorSpec, node: Node) -> Array:
    kind = "f" if spec.datatype == BF16 else spec.dtype.kind
    if spec.datatype == "UINT64" or kind == "f":
        letter, wide = _BUFFERS[kind]
    elif kind in "iu":
        letter, wide = _BUFFERS["i"]
    else:
        return _flat_objects(spec, node)
    try:
        values = np.frombuffer(node.as_buffer(of_type=letter), wide)
    except (TypeError, ValueError) as error:
        wanted = "a number" if kind == "f" else "an integer in range"
        raise Invalid(
            f"input '{spec.name}' ({spec.datatype}) holds a value that is not {wanted}"
        ) from error
    return values if values.dtype == spec.dtype else _narrowed(spec, values, kind)


def _narrowed(spec: TensorSpec, values: Array, kind: str) -> Array:
    """``values`` in the model's type; a value beyond its range is an error, not infinity."""
    if spec.datatype == BF16:
        bits = bfloat16.narrow(values)
        if bfloat16.all_finite(bits):
            return bits
    elif kind == "f":
        if np.vdot(values, values) <= _SAFE_SQUARES[spec.dtype.itemsize]:
            return values.astype(spec.dtype)
        with np.errstate(over="ignore"):
            narrow = values.astype(spec.dtype)
        if all_finite(narrow):
            return narrow
    elif values.size:
        info = np.iinfo(spec.dtype)
        if values.min() >= info.min and values.max() <= info.max:
            return values.astype(spec.dtype)
    else:
        return values.astype(spec.dtype)
    raise Invalid(f"input '{spec.name}' holds a value that {spec.datatype} cannot hold")


def _flat_objects(spec: TensorSpec, node: Node) -> Array:
    values: list[Any] = []
    _flatten(node.as_list(), values, 0)
    if spec.datatype == BYTES:
        values = [_text(spec, value) for value in values]
    elif not all(isinstance(value, bool) for value in values):
        raise Invalid(f"input '{spec.name}' (BOOL) holds a value that is not true or false")
    array = np.empty(len(values), spec.dtype)
    array[:] = values
    return array


def _flatten(values: list[Any], into: list[Any], depth: int) -> None:
    if depth > _MAX_RANK:
        raise Invalid(f"data is nested deeper than {_MAX_RANK} levels")
    for value in values:
        if isinstance(value, list):
            _flatten(value, into, depth + 1)
        else:
            into.append(value)


def _text(spec: TensorSpec, value: object) -> str:
    if isinstance(value, dict):
        return str(base64_tensors.read(spec, value)[()])
    if isinstance(value, str):
        return value
    raise Invalid(f"input '{spec.name}' (BYTES) holds {quoted(value)}, which is not a string")


def _scalar(spec: TensorSpec, node: Node) -> Array:
    import json

    value = plain(node)
    try:
        wrapped = simdjson.Parser().parse(json.dumps([value]).encode())
    except ValueError as error:
        raise Invalid(f"input '{spec.name}' holds {quoted(value)}") from error
    return _flat(spec, wrapped).reshape(())


def _nested_shape(spec: TensorSpec, node: Node) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(node, simdjson.Array):
        shape.append(len(node))
        if not shape[-1] or len(shape) > _MAX_RANK:
            raise Invalid(f"input '{spec.name}' is empty or nested too deep")
        node = node[0]
    count = 1
    for size in shape:
        count *= size
    if count > MAX_ELEMENTS:
        raise Invalid(f"input '{spec.name}' has more than {MAX_ELEMENTS} values")
    return tuple(shape)


def _check_nesting(spec: TensorSpec, node: Node, shape: Sequence[int]) -> None:
    """Every list on every level must be as long as ``shape`` says, down to the numbers."""
    level: list[Node] = [node]
    for depth, size in enumerate(shape):
        last = depth == len(shape) - 1
        below: list[Node] = []
        for element in level:
            if not isinstance(element, simdjson.Array) or len(element) != size:
                raise Invalid(
                    f"input '{spec.name}': the nesting of data does not match shape {list(shape)}"
                )
            if not last:
                below.extend(element)
            elif isinstance(element[0], simdjson.Array):
                raise Invalid(
                    f"input '{spec.name}': data is nested deeper than shape {list(shape)}"
                )
        level = below


def _kind(node: Node) -> str:
    if isinstance(node, simdjson.Object):
        return "an object"
    return "an array" if isinstance(node, simdjson.Array) else quoted(node)


def _reason(error: Exception) -> str:
    """Simdjson's text without its code word: ``TAPE_ERROR: The JSON ...``."""
    text = str(error).partition(": ")[2] or str(error)
    return text.partition(".  ")[0].partition(", etc.")[0].strip()[:160]
