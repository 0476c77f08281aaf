"""How exporters write attention: ``softmax(scale Q K^T + mask) V``. An owner file of onnx.

Matched by what is computed: heads, scale and layout are read from six to twenty steps.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto

from slipway_optimizer.passes.dataflow import DEPTH, Dataflow
from slipway_optimizer.passes.turns import Types, dims_of, permutation_of, turn_behind

_SAME: Final = (0, 1, 2, 3)
_BY_HEAD: Final = (0, 2, 1, 3)  # [n, s, heads, size] -> [n, heads, s, size]
_BY_HEAD_TURNED: Final = (0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class Heads:
    """A tensor [n, s, heads, size] that attention reads, and what it is multiplied by."""

    name: str
    factor: float
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Attention:
    """What one attention computes.

    Attributes:
        query: [n, s, heads, size], as the others, of which the places may be as many others.
        key: see ``query``.
        value: see ``query``.
        scale: of the scores.
        mask: is added to the scores; absent: nothing is.
        zeros: whether places that see nothing, their mask being ``-inf`` all over, answer zeros.
        end: makes the result, [n, s, heads, size].
    """

    query: Heads
    key: Heads
    value: Heads
    scale: float
    mask: str | None
    zeros: bool
    end: onnx.NodeProto


def match(flow: Dataflow, types: Types, softmax: onnx.NodeProto) -> Attention | None:
    """The attention around a softmax, if it is one.

    Args:
        flow: the graph.
        types: inferred, by name; with what shapes are computed from, where that is known.
        softmax: a node of the graph.
    """
    axis = next((a.i for a in softmax.attribute if a.name == "axis"), -1)
    shares, guarded = _guarded(flow, softmax.output[0])
    mix = only_reader(flow, shares, "MatMul")
    if mix is None or axis not in (-1, 3) or mix.input[0] != shares:
        return None
    end, between = _end(flow, mix)
    if end is None or permutation_of(end) != _BY_HEAD:
        return None
    value = _heads(flow, types, mix.input[1], _BY_HEAD)
    for scores, mask in _scores(flow, softmax.input[0]):
        product, scale = _scaled(flow, scores)
        if product is None or product.op_type != "MatMul" or value is None or value.factor != 1:
            continue
        query = _heads(flow, types, product.input[0], _BY_HEAD)
        key = _heads(flow, types, product.input[1], _BY_HEAD_TURNED)
        if query is None or key is None or not query.count == key.count == value.count:
            continue
        keeps = between is None or _keeps_shape(types, mix, between, query, value)
        if query.size == key.size and keeps:
            scale *= query.factor * key.factor
            zeros = guarded and mask is not None and not _finite(flow, mask)
            return Attention(query, key, value, scale, mask, zeros, end)
    return None


def _guarded(flow: Dataflow, shares: str) -> tuple[str, bool]:
    """The shares, or what has zeros instead where they are no numbers; and which of the two."""
    readers = sorted(flow.readers.get(shares, []), key=lambda node: node.op_type)
    if [node.op_type for node in readers] != ["IsNaN", "Where"]:
        return shares, False
    test, choice = readers
    alone = only_reader(flow, test.output[0], "Where") is not None
    chooses = choice.input[0] == test.output[0] and choice.input[2] == shares
    if alone and chooses and flow.scalar(choice.input[1]) == 0:
        return choice.output[0], True
    return shares, False


def _finite(flow: Dataflow, mask: str) -> bool:
    """Whether it adds one of two finite numbers."""
    node = flow.makers.get(mask)
    if node is None or node.op_type != "Where":
        return False
    values = [flow.scalar(name) for name in node.input[1:]]
    return all(value is not None and np.isfinite(value) for value in values)


def _end(
    flow: Dataflow, mix: onnx.NodeProto
) -> tuple[onnx.NodeProto | None, onnx.NodeProto | None]:
    """The transposition of what was mixed, and the ``Reshape`` between both, if there is one.

    Such a ``Reshape`` may ask for the shape of what it reads; nothing else may.
    """
    readers = flow.readers.get(mix.output[0], [])
    steps = [node for node in readers if node.op_type != "Shape"]
    if len(steps) != 1 or steps[0].op_type != "Reshape":
        return only_reader(flow, mix.output[0], "Transpose"), None
    (between,) = steps
    asked = [node.output[0] for node in readers if node.op_type == "Shape"]
    if not all(_serves(flow, name, between) for name in asked):
        return None, None
    return only_reader(flow, between.output[0], "Transpose"), between


def _serves(flow: Dataflow, name: str, only: onnx.NodeProto, depth: int = DEPTH) -> bool:
    """Whether whatever is made of a tensor is read by one node only."""
    readers = flow.readers.get(name, [])
    return (
        depth > 0
        and bool(readers)  # else it is an answer
        and all(
            reader.output[0] == only.output[0]
            or all(_serves(flow, made, only, depth - 1) for made in reader.output)
            for reader in readers
        )
    )


def _keeps_shape(
    types: Types, mix: onnx.NodeProto, between: onnx.NodeProto, query: Heads, value: Heads
) -> bool:
    """Whether a ``Reshape`` of [n, heads, s, size] changes nothing."""
    before, after = dims_of(types, mix.output[0]), dims_of(types, between.output[0])
    places = dims_of(types, query.name)
    if not len(before) == len(after) == len(_SAME) or not after[0] or not after[2]:
        return False
    same_places = after[2] == before[2] or after[2] == places[1]  # a mask may blur which
    return after[0] == before[0] and same_places and after[3] == value.size


def _scores(flow: Dataflow, name: str) -> list[tuple[str, str | None]]:
    """What may be the scores, each with what would then be the mask."""
    node = flow.makers.get(name)
    if node is None or node.op_type != "Add":
        return [(name, None)]
    one, other = node.input
    return [(one, other), (other, one)]


def _scaled(flow: Dataflow, name: str) -> tuple[onnx.NodeProto | None, float]:
    """The node behind multiplications by constants, and their product."""
    factor, node = 1.0, flow.makers.get(name)
    for _ in range(DEPTH):
        step = None if node is None else _factor(flow, node)
        if step is None:
            break
        factor, node = factor * step[1], flow.makers.get(step[0])
    return node, factor


def _factor(flow: Dataflow, node: onnx.NodeProto) -> tuple[str, float] | None:
    """What this node multiplies by a constant, and by which."""
    if node.op_type not in ("Mul", "Div"):
        return None
    number = flow.scalar(node.input[1])
    if number is not None and (number or node.op_type == "Mul"):
        return node.input[0], 1 / number if node.op_type == "Div" else number
    number = flow.scalar(node.input[0])
    return None if number is None or node.op_type == "Div" else (node.input[1], number)


def _heads(flow: Dataflow, types: Types, name: str, wanted: tuple[int, ...]) -> Heads | None:
    """The tensor [n, s, heads, size] behind transpositions that together are the wanted one."""
    order: tuple[int, ...] = _SAME
    factor = 1.0
    for _ in range(DEPTH):
        node = flow.makers.get(name)
        if (turn := turn_behind(flow, types, name)) is not None:
            name, permutation = turn
            order = tuple(permutation[place] for place in order)
        elif node is not None and (step := _factor(flow, node)) is not None:
            name, factor = step[0], factor * step[1]
        else:
            break
    sizes = _sizes(flow, types, name)
    if order != wanted or sizes is None:
        return None
    return Heads(name, factor, *sizes)


def _sizes(flow: Dataflow, types: Types, name: str) -> tuple[int, int] | None:
    """Heads and their size, of a float tensor with 4 dimensions."""
    found = types.get(name)
    if found is None or found.elem_type != TensorProto.FLOAT or len(found.shape.dim) != len(_SAME):
        return None
    count, size = (dim.dim_value for dim in found.shape.dim[2:])
    if count > 0 and size > 0:
        return count, size
    split = flow.makers.get(name)
    if split is None or split.op_type != "Reshape":
        return None
    shape = flow.makers.get(split.input[1])  # exporters also put it together when it runs
    if shape is None or shape.op_type != "Concat" or len(shape.input) != len(_SAME):
        return None
    parts = [flow.scalar(part) for part in shape.input[2:]]
    if parts[0] is None or parts[1] is None or parts[1] < 1:
        return None
    if parts[0] == -1:  # as many as fit
        parts[0] = _width(types, split.input[0]) // parts[1]
    return (int(parts[0]), int(parts[1])) if parts[0] >= 1 else None


def _width(types: Types, name: str) -> int:
    """The last dimension of a tensor, 0 if it is not known."""
    dims = types[name].shape.dim if name in types else ()
    return int(dims[-1].dim_value) if dims else 0


def only_reader(flow: Dataflow, name: str, operator: str) -> onnx.NodeProto | None:
    """What reads a tensor, if it is one node, and such an operator."""
    readers = flow.readers.get(name, [])
    return readers[0] if len(readers) == 1 and readers[0].op_type == operator else None
