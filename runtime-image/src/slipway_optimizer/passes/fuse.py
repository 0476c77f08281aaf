"""Rewrites that ONNX Runtime does not do itself, and that exporters often leave to be done.

* ``gelu``: the tanh form of GELU, nine element-wise passes over memory, becomes ``FastGelu``.
* ``lookup``: a one-hot matrix product, as JAX exports embeddings, becomes a ``Gather``.
* ``residual``: the sum before a layer normalisation is written as ``Sum``: ONNX Runtime then does
  not fuse both into SkipLayerNormalization, which is slower than the two (a fifth of the time of
  MiniLM in INT8).
* ``attention``: scores, mask, softmax and mix become ``MultiHeadAttention``.

All are matched by what is computed, not by how an exporter happened to write it, and all answer
as before for every input. The caller still compares.
"""

from typing import Final

import numpy as np
import onnx
from numpy.polynomial import polynomial
from onnx import TensorProto, helper, numpy_helper

from slipway_optimizer.arrays import Array
from slipway_optimizer.passes.attention import fuse_attention
from slipway_optimizer.passes.dataflow import DEPTH, Dataflow, Polynomial, coefficients
from slipway_optimizer.passes.unused import drop_unused

_GELU_INNER: Final = (0.0, 0.7978845608, 0.0, 0.0356774081)  # sqrt(2/pi) (x + 0.044715 x^3)
_HALF_X: Final = (0.0, 0.5)
_CLOSE: Final = 1e-4


def fuse(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, int]]:
    """A rewritten copy, and how often each rewrite was applied."""
    # Quantisers ask for types that cannot be inferred any more behind FastGelu.
    copy = onnx.shape_inference.infer_shapes(model, data_prop=True)
    found = {"gelu": _fuse_gelus(copy), "lookup": _fuse_lookups(copy)}
    found["residual"] = _keep_residuals(copy)
    found["attention"] = fuse_attention(copy)
    if any(found.values()):
        drop_unused(copy.graph)
        if found["gelu"] and not any(o.domain == "com.microsoft" for o in copy.opset_import):
            copy.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return copy, found


def _equal(one: Polynomial, other: Polynomial) -> bool:
    size = max(len(one), len(other))
    padded = [np.pad(np.array(p), (0, size - len(p))) for p in (one, other)]
    return bool(np.allclose(padded[0], padded[1], rtol=_CLOSE, atol=_CLOSE / 10))


def _keep_residuals(model: onnx.ModelProto) -> int:
    graph = Dataflow(model.graph)
    count = 0
    for node in model.graph.node:
        if node.op_type != "Add" or any(name in graph.held for name in node.input):
            continue
        readers = {reader.op_type for reader in graph.readers.get(node.output[0], ())}
        # Older exporters write the normalisation out; it begins with a mean and a difference.
        if "LayerNormalization" in readers or readers == {"ReduceMean", "Sub"}:
            node.op_type = "Sum"
            count += 1
    return count


def _fuse_gelus(model: onnx.ModelProto) -> int:
    count = 0
    for tanh in [node for node in model.graph.node if node.op_type == "Tanh"]:
        graph = Dataflow(model.graph)
        variable = _gelu_variable(graph, tanh)
        end = None if variable is None else _gelu_end(graph, tanh.output[0], variable)
        if variable is None or end is None:
            continue
        fused = helper.make_node(
            "FastGelu",
            [variable],
            [end.output[0]],
            name=f"{tanh.name}_gelu",
            domain="com.microsoft",
        )
        _replace(model.graph, end, [fused])
        count += 1
    return count


def _gelu_variable(graph: Dataflow, tanh: onnx.NodeProto) -> str | None:
    for name in graph.ancestors(tanh.input[0]):
        inner = graph.polynomial(tanh.input[0], name)
        if inner is not None and _equal(inner, _GELU_INNER):
            return name
    return None


def _gelu_end(graph: Dataflow, start: str, variable: str) -> onnx.NodeProto | None:
    """The node after which ``a + b tanh`` has become ``x/2 + x/2 tanh``."""
    name = start
    plain: Polynomial = (0.0,)
    times: Polynomial = (1.0,)
    for _ in range(DEPTH):
        readers = graph.readers.get(name, [])
        if len(readers) != 1 or readers[0].op_type not in ("Add", "Mul"):
            return None
        node = readers[0]
        other = node.input[1] if node.input[0] == name else node.input[0]
        factor = graph.polynomial(other, variable)
        if factor is None:
            return None
        if node.op_type == "Add":
            plain = coefficients(polynomial.polyadd(plain, factor))
        else:
            plain = coefficients(polynomial.polymul(plain, factor))
            times = coefficients(polynomial.polymul(times, factor))
        name = node.output[0]
        if _equal(plain, _HALF_X) and _equal(times, _HALF_X):
            return node
    return None


def _fuse_lookups(model: onnx.ModelProto) -> int:
    count = 0
    for product in [node for node in model.graph.node if node.op_type == "MatMul"]:
        graph = Dataflow(model.graph)
        match = _one_hot(graph, product)
        if match is None:
            continue
        ids, weights = match
        model.graph.initializer.extend(_lookup_constants(product.name, weights))
        _replace(model.graph, product, _lookup_nodes(product, ids))
        count += 1
    return count


def _one_hot(graph: Dataflow, product: onnx.NodeProto) -> tuple[str, Array] | None:
    """Ids, one in the last dimension, and weights [n, m] of ``(ids == [0..n-1]) @ weights``."""
    weights, cast = graph.constant(product.input[1]), graph.makers.get(product.input[0])
    if weights is None or weights.ndim != 2 or cast is None or cast.op_type != "Cast":
        return None
    equal = graph.makers.get(cast.input[0])
    if equal is None or equal.op_type != "Equal":
        return None
    for ids, other in (tuple(equal.input), tuple(equal.input)[::-1]):
        numbers = graph.constant(other)
        if numbers is None or numbers.dtype.kind not in "iu":
            continue
        counts_up = np.array_equal(numbers.ravel(), np.arange(len(weights)))
        if counts_up and numbers.shape[-1] == len(weights) and _one_in_last(graph, ids, numbers):
            return ids, weights
    return None


def _one_in_last(graph: Dataflow, name: str, numbers: Array) -> bool:
    """Whether the last dimension holds one value, perhaps in copies."""
    node = graph.makers.get(name)
    if node is None:
        return False
    if node.op_type == "Expand":  # copies of a value are that value
        return _one_in_last(graph, node.input[0], numbers)
    shape = graph.constant(node.input[1]) if len(node.input) > 1 else None
    if shape is None or shape.size == 0:
        return False
    if node.op_type == "Reshape":
        return int(shape.ravel()[-1]) == 1
    return node.op_type == "Unsqueeze" and shape.tolist() in ([-1], [numbers.ndim - 1])


def _lookup_constants(name: str, weights: Array) -> list[onnx.TensorProto]:
    """Weights with a last row of zeros: what an id outside 0..n-1 is worth in a one-hot product."""
    zeros = np.zeros((1, weights.shape[1]), weights.dtype)
    return [
        numpy_helper.from_array(np.concatenate([weights, zeros]), f"{name}_table"),
        numpy_helper.from_array(np.array(len(weights), np.int64), f"{name}_rows"),
        numpy_helper.from_array(np.array(0, np.int64), f"{name}_zero"),
    ]


def _lookup_nodes(product: onnx.NodeProto, ids: str) -> list[onnx.NodeProto]:
    name, node = product.name, helper.make_node
    return [
        node("Gather", [ids, f"{name}_zero"], [f"{name}_one"], name=f"{name}_first", axis=-1),
        node("Cast", [f"{name}_one"], [f"{name}_ids"], name=f"{name}_cast", to=TensorProto.INT64),
        node("Less", [f"{name}_ids", f"{name}_zero"], [f"{name}_below"], name=f"{name}_less"),
        node(
            "Where",
            [f"{name}_below", f"{name}_rows", f"{name}_ids"],
            [f"{name}_known"],
            name=f"{name}_where",
        ),
        node("Min", [f"{name}_known", f"{name}_rows"], [f"{name}_row"], name=f"{name}_min"),
        node(
            "Gather", [f"{name}_table", f"{name}_row"], [product.output[0]], name=f"{name}_gather"
        ),
    ]


def _replace(graph: onnx.GraphProto, old: onnx.NodeProto, new: list[onnx.NodeProto]) -> None:
    """Put nodes in the place of one, so that the order of nodes stays topological."""
    nodes = list(graph.node)
    place = next(index for index, node in enumerate(nodes) if node is old or node == old)
    nodes[place : place + 1] = new
    del graph.node[:]
    graph.node.extend(nodes)
