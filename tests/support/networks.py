"""Small networks with weights, as training meets them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from slipway_optimizer.arrays import Array, Arrays


def cnn(
    channels: tuple[int, int, int] = (32, 48, 32), *, side: int = 8, seed: int = 0
) -> ModelProto:
    """Two convolutions with a depthwise one between, pooled, then two products: 4 scores."""
    first, second, hidden = channels
    normal = np.random.default_rng(seed).standard_normal
    flat = second * (side // 4) ** 2

    def he(*shape: int) -> Array:
        return np.asarray(normal(shape) * np.sqrt(2 / np.prod(shape[1:])), np.float32)

    weights = {
        "first.w": he(first, 1, 3, 3),
        "first.b": np.zeros(first, np.float32),
        "deep.w": he(first, 1, 3, 3),
        "deep.b": np.zeros(first, np.float32),
        "second.w": he(second, first, 3, 3),
        "second.b": np.zeros(second, np.float32),
        "hidden.w": he(hidden, flat),
        "hidden.b": np.zeros(hidden, np.float32),
        "last.w": he(4, hidden),
        "last.b": np.zeros(4, np.float32),
        "rows": np.array([-1, flat], np.int64),
    }
    window: Any = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    halves: Any = {"kernel_shape": [2, 2], "strides": [2, 2]}
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "first.w", "first.b"], ["a"], "first", **window),
        node("Relu", ["a"], ["b"], "relu1"),
        node("Conv", ["b", "deep.w", "deep.b"], ["c"], "deep", group=first, **window),
        node("MaxPool", ["c"], ["d"], "pool1", **halves),
        node("Conv", ["d", "second.w", "second.b"], ["e"], "second", **window),
        node("Relu", ["e"], ["f"], "relu2"),
        node("MaxPool", ["f"], ["g"], "pool2", **halves),
        node("Reshape", ["g", "rows"], ["h"], "rows"),
        node("Gemm", ["h", "hidden.w", "hidden.b"], ["i"], "hidden", transB=1),
        node("Relu", ["i"], ["j"], "relu3"),
        node("Gemm", ["j", "last.w", "last.b"], ["scores"], "last", transB=1),
        node("Softmax", ["scores"], ["probabilities"], "softmax", axis=-1),
    ]
    return _model(nodes, weights, ["N", 1, side, side], ("probabilities", ["N", 4]))


def residual(width: int = 32, *, blocks: int = 3, seed: int = 0) -> ModelProto:
    """y = x after ``blocks`` branches x + W2 relu(W1 x), between two products."""
    normal = np.random.default_rng(seed).standard_normal
    weights = {
        "in.w": (normal((8, width)) / 3).astype(np.float32),
        "out.w": (normal((width, 4)) / 6).astype(np.float32),
    }
    node = helper.make_node
    nodes = [node("MatMul", ["x", "in.w"], ["x0"], "in")]
    for n in range(blocks):
        for part in ("up", "down"):
            weights[f"{part}{n}.w"] = (normal((width, width)) / width).astype(np.float32)
        nodes += [
            node("MatMul", [f"x{n}", f"up{n}.w"], [f"u{n}"], f"up{n}"),
            node("Relu", [f"u{n}"], [f"r{n}"], f"relu{n}"),
            node("MatMul", [f"r{n}", f"down{n}.w"], [f"d{n}"], f"down{n}"),
            node("Add", [f"x{n}", f"d{n}"], [f"x{n + 1}"], f"add{n}"),
        ]
    nodes.append(node("MatMul", [f"x{blocks}", "out.w"], ["y"], "out"))
    return _model(nodes, weights, ["N", 8], ("y", ["N", 4]), "x")


def _model(
    nodes: Sequence[NodeProto],
    weights: Arrays,
    shape: list[int | str],
    output: tuple[str, list[int | str]],
    name: str = "image",
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
