"""A model of more than 2 GiB through all steps: what comes out, and what that took.

    python -m benchmarks.optimizer --large

The model is made with random weights: a lookup table, and residual blocks of two products each. It
lies in a folder with its weights beside the graph, as exporters write such models; everything is
removed afterwards. Needs some 15 GB of disk and 12 GB of memory.
"""

import sys
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from benchmarks.optimizer_peers.spent import run
from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest
from slipway.artifacts.table import candidate_cells, format_table

WIDTH, INNER, WORDS, BLOCKS, LENGTH = 2048, 8192, 120_000, 12, 16
ROWS: Final = 24
DATA: Final = "model.onnx.data"


def measure(folder: Path) -> tuple[str, float, float]:
    """Make it, optimise it, print; (name, value, at most) of the memory in MB."""
    source = folder / "large"
    source.mkdir()
    size = make(source)
    random = np.random.default_rng(1)
    np.savez(folder / "large.npz", ids=random.integers(0, WORDS, (ROWS, LENGTH)))
    output = folder / "large-output"
    spent = run(
        [
            sys.executable, "-m", "slipway_optimizer", "optimize", "--threads", "2",
            "--model", str(source), "--format", "onnx", "--dataset", str(folder / "large.npz"),
            "--task", "None", "--gate", "cosine:min=0.9", "--budget-seconds", "3000",
            "--output", str(output),
        ]
    )  # fmt: skip
    if spent.code != 0:
        sys.exit(f"optimize ended with code {spent.code}")
    manifest = ArtifactManifest.model_validate_json((output / layout.MANIFEST).read_bytes())
    rows = candidate_cells(manifest.validation.candidates, picked=manifest.variant)
    print(f"{size / 1e9:.2f} GB with random weights, {spent.seconds:.0f} s")
    print(format_table(rows))
    allowed = 4 * size + 500e6
    return "peak memory of any of its processes, MB", spent.peak_bytes / 1e6, allowed / 1e6


def make(folder: Path) -> int:
    """Write ``model.onnx`` and its data, tensor by tensor; how many bytes."""
    random = np.random.default_rng(0)
    shapes = {"table": (WORDS, WIDTH), "last": (WIDTH, 10)}
    for block in range(BLOCKS):
        shapes |= {f"up{block}": (WIDTH, INNER), f"down{block}": (INNER, WIDTH)}
    held = []
    with (folder / DATA).open("wb") as file:
        for name, shape in shapes.items():
            values = random.standard_normal(shape, np.float32) / np.float32(shape[0] ** 0.5)
            if name == "table":
                values *= np.float32(shape[0] ** 0.5)
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            tensor.raw_data = b""  # onnx asks for it before it names a file
            external_data_helper.set_external_data(
                tensor, location=DATA, offset=file.tell(), length=values.nbytes
            )
            file.write(values.tobytes())
            held.append(tensor)
    model = _graph(held)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return sum(path.stat().st_size for path in folder.iterdir())


def _graph(held: list[onnx.TensorProto]) -> onnx.ModelProto:
    node = helper.make_node
    nodes, last = [node("Gather", ["table", "ids"], ["x"], "lookup")], "x"
    for block in range(BLOCKS):
        name = f"block{block}"
        nodes += [
            node("LayerNormalization", [last, "ones"], [f"{name}.n"], f"{name}.norm", axis=-1),
            node("MatMul", [f"{name}.n", f"up{block}"], [f"{name}.u"], f"{name}.up"),
            node("Relu", [f"{name}.u"], [f"{name}.r"], f"{name}.relu"),
            node("MatMul", [f"{name}.r", f"down{block}"], [f"{name}.d"], f"{name}.down"),
            node("Add", [last, f"{name}.d"], [name], f"{name}.add"),
        ]
        last = name
    nodes += [
        node("ReduceMean", [last], ["mean"], "mean", axes=[1], keepdims=0),
        node("MatMul", ["mean", "last"], ["scores"], "scores"),
    ]
    ones = numpy_helper.from_array(np.ones(WIDTH, np.float32), "ones")
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", LENGTH])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
        [*held, ones],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
