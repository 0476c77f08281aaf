"""Lookup tables (Gather) as INT8 with a scale per row. An owner file of onnx.

Each row is scaled when it is looked up, so the table stays small in memory too.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from slipway_optimizer.passes.weights import TensorError, error_of, large_weights

_FLOAT = onnx.TensorProto.FLOAT


def quantize_embeddings(model: onnx.ModelProto) -> tuple[TensorError, ...]:
    """Replace, in place, every large table that is only ever looked up by its first axis."""
    graph = model.graph
    readers: dict[str, list[onnx.NodeProto | None]] = {}
    for node in graph.node:
        nested = any(a.g.node or a.graphs for a in node.attribute)
        for name in node.input:
            readers.setdefault(name, []).append(None if nested else node)
    inside = _names_read_inside(graph)
    errors = []
    for tensor, values in list(large_weights(model)):
        found = readers.get(tensor.name, [])
        lookups = [node for node in found if node is not None and _looks_up(node, tensor.name)]
        if values.ndim != 2 or len(lookups) != len(found) or not found or tensor.name in inside:
            continue
        scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12) / np.float32(127)
        codes = np.rint(values / scale).astype(np.int8)
        for number, node in enumerate(lookups):
            _look_up_scaled(graph, node, number)
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(codes, f"{tensor.name}/int8"))
        graph.initializer.append(
            numpy_helper.from_array(scale.astype(np.float32), f"{tensor.name}/scale")
        )
        errors.append(error_of(tensor.name, values, codes * scale))
    return tuple(errors)


def _looks_up(node: onnx.NodeProto, table: str) -> bool:
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    return node.op_type == "Gather" and node.input[0] == table and axis == 0


def _look_up_scaled(graph: onnx.GraphProto, node: onnx.NodeProto, number: int) -> None:
    table, ids = node.input
    stem = f"{table}/lookup{number}"
    place = list(graph.node).index(node)
    nodes = [
        helper.make_node("Gather", [f"{table}/int8", ids], [f"{stem}/codes"], f"{stem}/codes"),
        helper.make_node("Gather", [f"{table}/scale", ids], [f"{stem}/scale"], f"{stem}/scale"),
        helper.make_node("Cast", [f"{stem}/codes"], [f"{stem}/cast"], f"{stem}/cast", to=_FLOAT),
        helper.make_node(
            "Mul", [f"{stem}/cast", f"{stem}/scale"], [node.output[0]], f"{stem}/scaled"
        ),
    ]
    del graph.node[place]
    for step, made in enumerate(nodes):
        graph.node.insert(place + step, made)


def _names_read_inside(graph: onnx.GraphProto) -> set[str]:
    """Names that bodies of If, Loop and Scan read."""
    found: set[str] = set()
    waiting = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    while waiting:
        body = waiting.pop()
        for node in body.node:
            found.update(node.input)
            waiting += [a.g for a in node.attribute if a.HasField("g")]
        found.update(value.name for value in body.output)
    return found
