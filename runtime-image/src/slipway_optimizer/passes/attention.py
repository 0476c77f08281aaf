"""Attention as ONNX Runtime's one operator, and without its mask where that hides nothing.

``softmax(scale Q K^T + mask) V``, which exporters write as six to ten steps, becomes one
``MultiHeadAttention``. Its fast kernel works tile by tile in the cache, and only without a mask;
so where there is one, an ``If`` asks on every run whether it adds anything but zeros. Rows that
fill their length, as single rows mostly do, take the fast way (docs/decisions/0028).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from slipway_optimizer.passes.attention_forms import Attention, Heads, match, only_reader
from slipway_optimizer.passes.dataflow import Dataflow
from slipway_optimizer.passes.turns import Types
from slipway_optimizer.passes.unused import sort_nodes

_RUNTIME: Final = "com.microsoft"


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
        attention
        for node in model.graph.node
        if node.op_type == "Softmax" and (attention := match(flow, types, node)) is not None
    ]
    writer = _Writer(model.graph, flow, types)
    for attention in found:
        writer.write(attention)
    if found:
        sort_nodes(model.graph)
    if found and not any(opset.domain == _RUNTIME for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_RUNTIME, 1))
    return len(found)


class _Writer:
    """Puts the new operators into the graph, each right before what reads it."""

    def __init__(self, graph: onnx.GraphProto, flow: Dataflow, types: Types) -> None:
        self._graph, self._flow, self._types = graph, flow, types
        self._shared: dict[str, tuple[str, str]] = {}  # mask -> whether it hides nothing, in full

    def write(self, found: Attention) -> None:
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
            masked = [_attention(found, [*parts, "", "", full], f"{stem}/masked")]
            if found.zeros:
                masked += self._zeros(found, full, masked[0].output[0])
            bodies = [
                _body("plain", [_attention(found, parts, f"{stem}/plain")]),
                _body("masked", masked),
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

    def _result(self, found: Attention) -> tuple[str, bool]:
        """The tensor to make, and whether it is that in which heads are joined."""
        result = found.end.output[0]
        join = only_reader(self._flow, result, "Reshape")
        shape = None if join is None else self._flow.constant(join.input[1])
        width = found.value.count * found.value.size
        if join is None or shape is None or shape.tolist() not in ([0, 0, -1], [0, 0, width]):
            return result, False
        return join.output[0], True

    def _flat(self, part: Heads, stem: str, new: list[onnx.NodeProto]) -> str:
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

    def _zeros(self, found: Attention, full: str, masked: str) -> list[onnx.NodeProto]:
        """Steps behind which places that see nothing answer zeros; such shares are no numbers."""
        split = self._held(f"{masked}/by head", [0, 0, found.value.count, found.value.size])
        join = self._held(f"{masked}/joined", [0, 0, found.value.count * found.value.size])
        last = self._held(f"{masked}/last", [-1])
        for name, value in (("all", -np.inf), ("none", 0)):
            tensor = numpy_helper.from_array(np.array(value, np.float32), f"{masked}/{name}")
            self._graph.initializer.append(tensor)
        words = ("split", "seen", "ones", "count", "nothing", "turned", "asked")
        heads, seen, ones, count, nothing, turned, asked = (f"{masked}/{word}" for word in words)
        chosen, result, node = f"{masked}/chosen", f"{masked}/zeros", helper.make_node
        return [
            node("Reshape", [masked, split], [heads], heads),
            node("Greater", [full, f"{masked}/all"], [seen], seen),
            node("Cast", [seen], [ones], ones, to=TensorProto.FLOAT),
            node("ReduceSum", [ones, last], [count], count, keepdims=0),
            node("Equal", [count, f"{masked}/none"], [nothing], nothing),
            node("Transpose", [nothing], [turned], turned, perm=[0, 2, 1]),
            node("Unsqueeze", [turned, last], [asked], asked),
            node("Where", [asked, f"{masked}/none", heads], [chosen], chosen),
            node("Reshape", [chosen, join], [result], result),
        ]

    def _held(self, name: str, values: list[int]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.array(values), name))
        return name


def _attention(found: Attention, inputs: Sequence[str], output: str) -> onnx.NodeProto:
    return helper.make_node(
        "MultiHeadAttention", inputs, [output], output, domain=_RUNTIME,
        num_heads=found.query.count, scale=found.scale,
    )  # fmt: skip


def _body(name: str, nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
    """A branch, which reads what lies outside and answers what its last node makes."""
    (output,) = nodes[-1].output
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, None, None])
    return helper.make_graph(nodes, name, [], [made])
