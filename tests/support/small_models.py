"""Small ONNX models and data sets, built in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FEATURES, CLASSES = 8, 3
Array = NDArray[Any]


def classifier(*nodes: onnx.NodeProto, **constants: Array) -> onnx.ModelProto:
    """``x`` float [n, 8] -> ``p`` float [n, 3], a softmax over the first three features.

    ``nodes`` come between the probabilities (``probabilities``) and ``p``; without any, they are
    the same. ``constants`` are further initialisers.
    """
    weights = np.zeros((FEATURES, CLASSES), np.float32)
    weights[:CLASSES] = np.eye(CLASSES) * 4
    last = "probabilities" if nodes else "p"
    return model_of(
        [
            helper.make_node("Gemm", ["x", "weights", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], [last], axis=-1),
            *nodes,
        ],
        inputs={"x": (TensorProto.FLOAT, ["n", FEATURES])},
        outputs={"p": (TensorProto.FLOAT, ["n", CLASSES])},
        weights=weights,
        bias=np.zeros(CLASSES, np.float32),
        **constants,
    )


def model_of(
    nodes: list[onnx.NodeProto],
    *,
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    **constants: Array,
) -> onnx.ModelProto:
    """A model of these nodes, opset 17."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(n, *t) for n, t in inputs.items()],
        [helper.make_tensor_value_info(n, *t) for n, t in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def rows(count: int, *, noise: float = 0.3, seed: int = 1) -> dict[str, Array]:
    """A data set for ``classifier``: the class is the largest of the first three features."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    x = random.normal(0, noise, (count, FEATURES)).astype(np.float32)
    x[np.arange(count), labels] += 1
    return {"x": x, "labels": labels}


def save(path: Path, model: onnx.ModelProto) -> Path:
    """Write a model."""
    path.write_bytes(model.SerializeToString())
    return path


def save_rows(path: Path, arrays: dict[str, Array]) -> Path:
    """Write a data set."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=True, **arrays)
    return path


def tower(
    random: np.random.Generator, *, width: int, layers: int, spiked: str | None
) -> onnx.ModelProto:
    """``x`` -> ``y``, both float [n, width]: MatMul nodes ``layer0``, ``layer1``, ...

    The input of the one called ``spiked`` has a huge feature, which its weights ignore: quantised
    alone, it ruins the answer.
    """
    nodes, weights, last = [], dict[str, Array](), "x"
    for layer in range(layers):
        weight = random.normal(0, width**-0.5, (width, width)).astype(np.float32)
        if f"layer{layer}" == spiked:
            nodes.append(helper.make_node("Mul", [last, "spike"], ["spiked"], name="spike"))
            last, weight[0] = "spiked", 0
        weights[f"w{layer}"] = weight
        out = "y" if layer == layers - 1 else f"h{layer}"
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [out], name=f"layer{layer}"))
        last = out
    spike = np.ones(width, np.float32)
    spike[0] = 1e5
    shape = ["n", width]
    return model_of(
        nodes,
        inputs={"x": (TensorProto.FLOAT, shape)},
        outputs={"y": (TensorProto.FLOAT, shape)},
        **weights,
        **({} if spiked is None else {"spike": spike}),
    )


def enlarging(
    resize: onnx.NodeProto, *, opset: int, size: int = 8, batch: int | str = "n", **constants: Array
) -> onnx.ModelProto:
    """``x`` float [batch, 3, size, size] -> ``y``: a convolution, ``resize`` of ``c`` to ``r``,
    and another convolution.

    It can read the batch's size from ``rows``, int64 [1].
    """
    random = np.random.default_rng(0)
    model = model_of(
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Slice", ["shape", "zero", "one", "zero"], ["rows"])
            if opset > 9
            else helper.make_node("Slice", ["shape"], ["rows"], starts=[0], ends=[1]),
            helper.make_node("Conv", ["x", "first"], ["c"], pads=[1, 1, 1, 1]),
            *(
                [helper.make_node("Concat", ["rows", "rest"], ["sizes"], axis=0)]
                if "rest" in constants
                else []
            ),
            resize,
            helper.make_node("Conv", ["r", "last"], ["y"]),
        ],
        inputs={"x": (TensorProto.FLOAT, [batch, 3, size, size])},
        outputs={"y": (TensorProto.FLOAT, [batch, 2, "height", "width"])},
        first=random.normal(size=(16, 3, 3, 3)).astype(np.float32),
        last=random.normal(size=(2, 16, 1, 1)).astype(np.float32),
        **({"zero": np.array([0]), "one": np.array([1])} if opset > 9 else {}),
        **constants,
    )
    model.opset_import[0].version = opset
    return model
