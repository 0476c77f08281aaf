"""Models of the comparison, made from a seed: the same on every machine."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Feeds = dict[str, npt.NDArray[Any]]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
NAMES: Final = ("tiny", "small", "medium", "image")
_WORDS: Final = 30_522
_TOKENS: Final = 32


def feeds(model: str, rows: int = 1) -> Feeds:
    """An input of a model."""
    random = np.random.default_rng(1)
    shapes = {"tiny": (32,), "small": (3, 32, 32), "image": (3, 224, 224)}
    if model in shapes:
        return {"x": random.random((rows, *shapes[model]), np.float32)}
    ids = random.integers(0, 30_000, (rows, _TOKENS))
    return {"input_ids": ids, "attention_mask": np.ones((rows, _TOKENS), np.int64)}


def write(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Write models that are not there yet.

    Args:
        folder: for ``{name}.onnx``.
        names: ``tiny`` (MLP, 26 us), ``small`` (CNN, 1.2 ms), ``medium`` (the shape of MiniLM-L6),
            ``image`` (600 kB of input) or ``big`` (the shape of BERT base, 436 MB).
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name in names:
        paths[name] = folder / f"{name}.onnx"
        if not paths[name].exists():
            part = paths[name].with_suffix(".part")
            part.write_bytes(_MAKERS[name]().SerializeToString())
            part.rename(paths[name])
    return paths


class _Graph:
    """Collects nodes and weights."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(self, name: str, *shape: int, scale: float) -> str:
        values = (self._random.standard_normal(shape) * scale).astype(np.float32)
        return self.constant(name, values)

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def linear(self, source: str, name: str, rows: int, columns: int) -> str:
        weight = self.weight(f"{name}.w", rows, columns, scale=0.02)
        bias = self.weight(f"{name}.b", columns, scale=0.01)
        return self.node("Add", [self.node("MatMul", [source, weight], f"{name}.m"), bias], name)

    def norm(self, source: str, name: str, width: int) -> str:
        scale = self.constant(f"{name}.g", np.ones(width, np.float32))
        bias = self.constant(f"{name}.b", np.zeros(width, np.float32))
        return self.node("LayerNormalization", [source, scale, bias], name, axis=-1)

    def model(
        self, inputs: list[onnx.ValueInfoProto], output: onnx.ValueInfoProto
    ) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "bench", inputs, [output], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return model


def _info(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def _tiny() -> onnx.ModelProto:
    graph, current = _Graph(), "x"
    for place, (rows, columns) in enumerate(((32, 256), (256, 256), (256, 8))):
        weight = graph.weight(f"w{place}", rows, columns, scale=(2 / rows) ** 0.5)
        bias = graph.weight(f"b{place}", columns, scale=0.1)
        current = graph.node("Gemm", [current, weight, bias], f"g{place}")
        if place < 2:
            current = graph.node("Relu", [current], f"r{place}")
    graph.node("Softmax", [current], "y", axis=1)
    return graph.model([_info("x", FLOAT, "N", 32)], _info("y", FLOAT, "N", 8))


def _convolutions(size: int, layers: tuple[tuple[int, int, int], ...]) -> onnx.ModelProto:
    """Layers are (channels, kernel, stride)."""
    graph, current, depth = _Graph(), "x", 3
    for place, (channels, kernel, stride) in enumerate(layers):
        scale = (2 / (depth * kernel * kernel)) ** 0.5
        weight = graph.weight(f"w{place}", channels, depth, kernel, kernel, scale=scale)
        bias = graph.weight(f"b{place}", channels, scale=0.01)
        current = graph.node(
            "Conv", [current, weight, bias], f"c{place}", kernel_shape=[kernel] * 2,
            pads=[kernel // 2] * 4, strides=[stride] * 2,
        )  # fmt: skip
        current, depth = graph.node("Relu", [current], f"r{place}"), channels
    flat = graph.node("Flatten", [graph.node("GlobalAveragePool", [current], "pool")], "flat")
    weight, bias = graph.weight("w", depth, 10, scale=0.1), graph.weight("b", 10, scale=0.01)
    graph.node("Gemm", [flat, weight, bias], "y")
    return graph.model([_info("x", FLOAT, "N", 3, size, size)], _info("y", FLOAT, "N", 10))


def _small() -> onnx.ModelProto:
    layers = ((32, 3, 1), (32, 3, 1), (64, 3, 2), (64, 3, 1), (64, 3, 1), (128, 3, 2), (128, 3, 1))
    return _convolutions(32, layers)


def _image() -> onnx.ModelProto:
    return _convolutions(224, ((16, 7, 4), (32, 3, 2), (64, 3, 2), (64, 3, 2)))


def _encoder(layers: int, width: int, heads: int) -> onnx.ModelProto:
    """A transformer encoder with GELU, averaged over the tokens."""
    graph = _Graph()
    graph.constant("one", np.array(1, np.float32))
    graph.constant("half", np.array(0.5, np.float32))
    graph.constant("root2", np.array(2**0.5, np.float32))
    graph.constant("far", np.array(-1e4, np.float32))
    graph.constant("axes", np.array([1, 2], np.int64))
    graph.constant("split", np.array([0, 0, heads, width // heads], np.int64))
    graph.constant("join", np.array([0, 0, width], np.int64))
    graph.constant("scale", np.array((width / heads) ** -0.5, np.float32))
    table = graph.weight("words", _WORDS, width, scale=0.02)
    current = graph.norm(graph.node("Gather", [table, "input_ids"], "embedded"), "first", width)
    seen = graph.node("Cast", ["attention_mask"], "seen", to=FLOAT)
    hidden = graph.node("Mul", [graph.node("Sub", ["one", seen], "unseen"), "far"], "hidden")
    mask = graph.node("Unsqueeze", [hidden, "axes"], "mask")
    for layer in range(layers):
        current = _layer(graph, current, mask, f"l{layer}", width)
    graph.node("ReduceMean", [current], "y", axes=[1], keepdims=0)
    inputs = [_info(name, INT64, "N", "S") for name in ("input_ids", "attention_mask")]
    return graph.model(inputs, _info("y", FLOAT, "N", width))


def _layer(graph: _Graph, source: str, mask: str, name: str, width: int) -> str:
    parts = {}
    for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        flat = graph.linear(source, f"{name}.{part}", width, width)
        split = graph.node("Reshape", [flat, "split"], f"{name}.{part}s")
        parts[part] = graph.node("Transpose", [split], f"{name}.{part}t", perm=order)
    score = graph.node("MatMul", [parts["q"], parts["k"]], f"{name}.qk")
    score = graph.node("Add", [graph.node("Mul", [score, "scale"], f"{name}.s"), mask], f"{name}.m")
    weight = graph.node("Softmax", [score], f"{name}.p", axis=-1)
    context = graph.node("MatMul", [weight, parts["v"]], f"{name}.c")
    context = graph.node("Transpose", [context], f"{name}.ct", perm=[0, 2, 1, 3])
    context = graph.node("Reshape", [context, "join"], f"{name}.cj")
    context = graph.linear(context, f"{name}.o", width, width)
    middle = graph.norm(graph.node("Add", [source, context], f"{name}.a"), f"{name}.n1", width)
    inner = graph.linear(middle, f"{name}.f", width, 4 * width)
    curve = graph.node("Erf", [graph.node("Div", [inner, "root2"], f"{name}.e1")], f"{name}.e2")
    gate = graph.node("Mul", [inner, graph.node("Add", [curve, "one"], f"{name}.e3")], f"{name}.e4")
    gelu = graph.node("Mul", [gate, "half"], f"{name}.e5")
    outer = graph.linear(gelu, f"{name}.g", 4 * width, width)
    return graph.norm(graph.node("Add", [middle, outer], f"{name}.z"), f"{name}.n2", width)


_MAKERS: Final[dict[str, Callable[[], onnx.ModelProto]]] = {
    "tiny": _tiny,
    "small": _small,
    "image": _image,
    "medium": lambda: _encoder(6, 384, 12),
    "big": lambda: _encoder(12, 768, 12),
}
