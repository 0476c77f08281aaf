"""Requests that name inputs row by row or column by column, as JSON. Pure.

TensorFlow Serving, KServe V1, TorchServe and MindSpore Serving share these forms.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from slipway.errors import Invalid
from slipway_server.protocol import base64_tensors, json_tensors
from slipway_server.protocol.json_tensors import Node
from slipway_server.protocol.tensors import BYTES, Array, Signature, TensorSpec, quoted

Feeds = dict[str, Array]


def by_column(signature: Signature, node: Node) -> Feeds:
    """``{name: tensor}``, or the tensor alone of a model with one input.

    Raises:
        Invalid: whatever is wrong with it.
    """
    inputs = signature.inputs
    if len(inputs) == 1 and not _is_named(node):
        return {inputs[0].name: json_tensors.read_nested(inputs[0], node)}
    return {
        name: json_tensors.read_nested(signature.input(name), node[name])
        for name in json_tensors.keys_of(node, "inputs")
    }


def by_row(signature: Signature, node: Node) -> Feeds:
    """``[{name: value}, ...]``, or ``[value, ...]`` of a model with one input.

    Raises:
        Invalid: whatever is wrong with it.
    """
    inputs = signature.inputs
    rows = list(json_tensors.items_of(node, "instances"))
    if not rows:
        raise Invalid("instances is empty: send at least one row")
    if len(inputs) == 1 and not _is_named(rows[0]):
        only = inputs[0]
        if only.datatype == BYTES or not json_tensors.is_object(rows[0]):
            return {only.name: json_tensors.read_nested(only, node)}
        values = [json_tensors.read_nested(only, row) for row in rows]
        return {only.name: stacked(only.name, values)}
    return by_named_row(signature, rows)


def by_named_row(signature: Signature, rows: Sequence[Node]) -> Feeds:
    """``[{name: value}, ...]``.

    Raises:
        Invalid: whatever is wrong with it.
    """
    columns: dict[str, list[Array]] = {spec.name: [] for spec in signature.inputs}
    for row in rows:
        keys = json_tensors.keys_of(row, "a row of instances")
        if set(keys) != set(columns):
            raise Invalid(
                f"a row of instances has the keys {quoted(keys)}, but the model takes "
                f"{quoted(list(columns))}"
            )
        for name in keys:
            columns[name].append(json_tensors.read_nested(signature.input(name), row[name]))
    return {name: stacked(name, values) for name, values in columns.items()}


def stacked(name: str, values: Sequence[Array]) -> Array:
    """One array of rows of the same shape.

    Raises:
        Invalid: they differ.
    """
    if any(value.shape != values[0].shape for value in values):
        raise Invalid(f"the rows of instances differ in the shape of '{name}'")
    return np.stack(values)


def check(signature: Signature, feeds: Feeds) -> None:
    """Compare shapes and completeness with the model.

    Raises:
        Invalid: they differ.
    """
    for name, array in feeds.items():
        signature.input(name).check_shape(array.shape)
    signature.check_complete(feeds)


def check_rows(specs: Sequence[TensorSpec], arrays: Sequence[Array], rows: int) -> None:
    """Check that every output has a value for each row.

    Raises:
        Invalid: naming the output that has not.
    """
    for spec, array in zip(specs, arrays, strict=True):
        if array.ndim == 0 or array.shape[0] != rows:
            raise Invalid(
                f"output '{spec.name}' of shape {list(array.shape)} has no value for each of the "
                f"{rows} instances: send inputs instead of instances"
            )


def columns_of(specs: Sequence[TensorSpec], arrays: Sequence[Array]) -> Any:
    """What ``json_tensors.dump`` prints: the output alone, or ``{name: output}`` of several."""
    pairs = zip(specs, arrays, strict=True)
    values = {spec.name: json_tensors.nested(spec, array) for spec, array in pairs}
    return values if len(values) != 1 else next(iter(values.values()))


def rows_of(specs: Sequence[TensorSpec], arrays: Sequence[Array]) -> list[dict[str, Any]]:
    """``{name: value}`` for each row."""
    names = [spec.name for spec in specs]
    values = [json_tensors.nested(spec, array) for spec, array in zip(specs, arrays, strict=True)]
    return [
        {name: _element(value) for name, value in zip(names, row, strict=True)}
        for row in zip(*values, strict=True)
    ]


def _element(value: Any) -> Any:
    """A row of an array: orjson prints arrays and numpy's scalars, but no FP16 and no longlong.

    ONNX Runtime's INT64 and UINT64 are longlong, which numpy's own are not on Linux.
    """
    return value.item() if isinstance(value, np.float16 | np.integer) else value


def _is_named(node: Node) -> bool:
    return json_tensors.is_object(node) and base64_tensors.KEY not in node
