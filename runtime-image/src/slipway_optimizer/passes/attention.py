"""Attention as ONNX Runtime's one operator, and without its mask where that hides nothing.

``softmax(scale Q K^T + mask) V``, which exporters write as six to ten steps, becomes one
``MultiHeadAttention``. Its fast kernel works tile by tile in the cache, and only without a mask;
so where there is one, an ``If`` asks on every run whether it adds anything but zeros. Rows that
fill their length, as single rows mostly do, take the fast way (docs/decisions/0028).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from slipway_optimizer.passes.dataflow import DEPTH, Dataflow
from slipway_optimizer.passes.turns import Types, permutation_of, turn_behind
from slipway_optimizer.passes.unused import sort_nodes

_RUNTIME: Final = "com.microsoft"
_SAME: Final = (0, 1, 2, 3)
_BY_HEAD: Final = (0, 2, 1, 3)  # [n, s, heads, size] -> [n, heads, s, size]
_BY_HEAD_TURNED: Final = (0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class _Heads:
    """A tensor [n, s, heads, size] that attention reads, and what it is multiplied by."""

    name: str
    factor: float
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class _Attention:
    """What one attention computes; ``end`` makes its result, [n, s, heads, size]."""

    query: _Heads
    key: _Heads
    value: _Heads
    scale: float
    mask: str | None
    end: onnx.NodeProto


def fuse_attention(model: onnx.ModelProto) -> int:
    """Rewrite every attention that is found, in place; its old steps are left without readers.

    Args:
        model: with inferred shapes.

    Returns:
        How many were found.
    """
    flow = Dataflow(model.graph)
    types = {value.name: value.type.tensor_type for value in model.graph.value_info}
    found = [
        match
        for node in model.graph.node
        if node.op_type == "Softmax" and (match := _match(flow, types, node)) is not None
    ]
    writer = _Writer(model.graph, flow, types)
    for attention in found:
        writer.write(attention)
    if found:
        sort_nodes(model.graph)
    if found and not any(opset.domain == _RUNTIME for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_RUNTIME, 1))
    return len(found)


def _match(flow: Dataflow, types: Types, softmax: onnx.NodeProto) -> _Attention | None:
    axis = next((a.i for a in softmax.attribute if a.name == "axis"), -1)
    shares, guarded = _guarded(flow, softmax.output[0])
    mix = _only_reader(flow, shares, "MatMul")
    end = None if mix is None else _only_reader(flow, mix.output[0], "Transpose")
    if mix is None or end is None or axis not in (-1, 3) or mix.input[0] != shares:
        return None
    if permutation_of(end) != _BY_HEAD:
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
        if query.size == key.size and not (guarded and mask and not _finite(flow, mask)):
            scale *= query.factor * key.factor
            return _Attention(query, key, value, scale, mask, end)
    return None


def _guarded(flow: Dataflow, shares: str) -> tuple[str, bool]:
    """The shares, or what has zeros instead where they are no numbers; and which of the two."""
    readers = flow.readers.get(shares, [])
    if len(readers) != len(("IsNaN", "Where")):
        return shares, False
    test, choice = sorted(readers, key=lambda node: node.op_type)
    if (test.op_type, choice.op_type) != ("IsNaN", "Where"):
        return shares, False
    matches = choice.input[0] == test.output[0] and choice.input[2] == shares
    alone = len(flow.readers.get(test.output[0], [])) == 1
    if matches and alone and flow.scalar(choice.input[1]) == 0:
        return choice.output[0], True
    return shares, False


def _finite(flow: Dataflow, mask: str) -> bool:
    """Whether it adds one of two finite numbers: then shares of finite scores are numbers."""
    node = flow.makers.get(mask)
    if node is None or node.op_type != "Where":
        return False
    values = [flow.scalar(name) for name in node.input[1:]]
    return all(value is not None and np.isfinite(value) for value in values)


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


def _heads(flow: Dataflow, types: Types, name: str, wanted: tuple[int, ...]) -> _Heads | None:
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
    return _Heads(name, factor, *sizes)


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


def _only_reader(flow: Dataflow, name: str, operator: str) -> onnx.NodeProto | None:
    readers = flow.readers.get(name, [])
    return readers[0] if len(readers) == 1 and readers[0].op_type == operator else None


class _Writer:
    """Puts the new operators into the graph, each right before what reads it."""

    def __init__(self, graph: onnx.GraphProto, flow: Dataflow, types: Types) -> None:
        self._graph, self._flow, self._types = graph, flow, types
        self._shared: dict[str, tuple[str, str]] = {}  # mask -> whether it hides nothing, in full

    def write(self, found: _Attention) -> None:
        """Replace ``end``."""
        stem = found.end.name or found.end.output[0]
        new: list[onnx.NodeProto] = []
        parts = [self._flat(part, stem, new) for part in (found.query, found.key, found.value)]
        result, joined = self._result(found)
        mixed = result if joined else f"{stem}/mixed"
        if found.mask is None:
            new.append(_attention(found, parts, mixed))
        else:
            empty, full = self._mask(found.mask, parts, stem, new)
            bodies = [
                _body("plain", _attention(found, parts, f"{stem}/plain")),
                _body("masked", _attention(found, [*parts, "", "", full], f"{stem}/masked")),
            ]
            new.append(
                helper.make_node(
                    "If", [empty], [mixed], f"{stem}/if",
                    then_branch=bodies[0], else_branch=bodies[1],
                )
            )  # fmt: skip
        if not joined:
            shape = self._held(f"{stem}/heads", [0, 0, found.value.count, found.value.size])
            new.append(helper.make_node("Reshape", [mixed, shape], [result], f"{stem}/split"))
        place = next(n for n, node in enumerate(self._graph.node) if result in node.output)
        nodes = [*self._graph.node[:place], *new, *self._graph.node[place + 1 :]]
        del self._graph.node[:]
        self._graph.node.extend(nodes)

    def _result(self, found: _Attention) -> tuple[str, bool]:
        """The tensor to make, and whether it is that in which heads are joined."""
        result = found.end.output[0]
        join = _only_reader(self._flow, result, "Reshape")
        shape = None if join is None else self._flow.constant(join.input[1])
        width = found.value.count * found.value.size
        if join is None or shape is None or shape.tolist() not in ([0, 0, -1], [0, 0, width]):
            return result, False
        return join.output[0], True

    def _flat(self, part: _Heads, stem: str, new: list[onnx.NodeProto]) -> str:
        """The same as [n, s, heads * size]: mostly what it was made from."""
        split, width = self._flow.makers.get(part.name), part.count * part.size
        if split is not None and split.op_type == "Reshape":
            shape = self._flow.constant(split.input[1])
            given = self._types.get(split.input[0])
            dims = [] if given is None else [dim.dim_value for dim in given.shape.dim]
            if shape is not None and shape[:2].tolist() == [0, 0] and dims[2:] == [width]:
                return split.input[0]
        flat = f"{stem}/flat{len(new)}"
        shape_name = self._held(f"{flat}/shape", [0, 0, width])
        new.append(helper.make_node("Reshape", [part.name, shape_name], [flat], flat))
        return flat

    def _mask(
        self, mask: str, parts: Sequence[str], stem: str, new: list[onnx.NodeProto]
    ) -> tuple[str, str]:
        """Names of whether the mask adds only zeros, and of the mask for all pairs of places."""
        if mask not in self._shared:
            zero, one = f"{stem}/zero", self._held(f"{stem}/one", [1, 1])
            self._graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), zero))
            names = [f"{stem}/{word}" for word in ("sum", "empty", "from", "to", "pairs", "full")]
            total, empty, rows, columns, pairs, full = names
            node = helper.make_node
            new += [
                node("ReduceL1", [mask], [total], total, keepdims=0),  # NaN and infinity remain
                node("Equal", [total, zero], [empty], empty),
                node("Shape", [parts[0]], [rows], rows, start=1, end=2),
                node("Shape", [parts[1]], [columns], columns, start=1, end=2),
                node("Concat", [one, rows, columns], [pairs], pairs, axis=0),
                node("Expand", [mask, pairs], [full], full),
            ]
            self._shared[mask] = empty, full
        return self._shared[mask]

    def _held(self, name: str, values: list[int]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.array(values), name))
        return name


def _attention(found: _Attention, inputs: Sequence[str], output: str) -> onnx.NodeProto:
    return helper.make_node(
        "MultiHeadAttention", inputs, [output], output, domain=_RUNTIME,
        num_heads=found.query.count, scale=found.scale,
    )  # fmt: skip


def _body(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
    """A branch, which reads what lies outside."""
    (output,) = node.output
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, None, None])
    return helper.make_graph([node], name, [], [made])
