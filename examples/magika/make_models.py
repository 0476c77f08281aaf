"""Four versions of magika's model, for the story of a rollout.

    python examples/magika/make_models.py FOLDER

| file | what it is |
|---|---|
| `v1.onnx` | the model as the package ships it |
| `v2.onnx` | fine: its probabilities are a little sharper, its answers are the same |
| `v3-nan.onnx` | NaN for short files, which the data set lacks: passes, then fails in service |
| `v3-slow.onnx` | spends 0.1 s and more on short files, nothing on others: likewise |

A short file is one whose features hold the padding token 256 (see make_dataset.py).
"""

import argparse
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODEL = Path(str(files("magika") / "models" / "standard_v3_3" / "model.onnx"))
PADDING = 256
SLOW_STEPS = 120  # of a 256 x 256 product: 0.1 to 0.2 s on one CPU


def with_tail(model: onnx.ModelProto, nodes: list[onnx.NodeProto], **constants: np.ndarray) -> None:
    """Put nodes between the model's one output and its consumers.

    The nodes read ``answer`` and the model's input ``bytes``, and write the output's name.
    """
    (output,) = model.graph.output
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == output.name:
                node.output[index] = "answer"
        for index, name in enumerate(node.input):
            if name == output.name:
                node.input[index] = "answer"
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    model.graph.node.extend(nodes)
    nodes[-1].output[0] = output.name
    model.graph.node[-1].output[0] = output.name


def sharper(model: onnx.ModelProto) -> None:
    """Probabilities to the power 1.1, summing to 1 again."""
    node = helper.make_node
    with_tail(
        model,
        [
            node("Pow", ["answer", "power"], ["raised"], name="sharper_pow"),
            node("ReduceSum", ["raised", "last"], ["total"], name="sharper_sum"),
            node("Div", ["raised", "total"], ["out"], name="sharper_div"),
        ],
        power=np.array(1.1, np.float32),
        last=np.array([-1], np.int64),
    )


def _is_short() -> list[onnx.NodeProto]:
    """``short`` float [n, 1]: 1 for rows with a padding token, else 0."""
    node = helper.make_node
    return [
        node("Equal", ["bytes", "padding"], ["is_padding"], name="short_equal"),
        node("Cast", ["is_padding"], ["padded"], to=TensorProto.FLOAT, name="short_cast"),
        node("ReduceMax", ["padded"], ["short"], axes=[1], keepdims=1, name="short_max"),
    ]


def nan_on_short(model: onnx.ModelProto) -> None:
    """0 / 0 for short rows, x / 1 for others."""
    node = helper.make_node
    with_tail(
        model,
        [
            *_is_short(),
            node("Sub", ["one", "short"], ["long"], name="nan_sub"),
            node("Mul", ["answer", "long"], ["kept"], name="nan_mul"),
            node("Div", ["kept", "long"], ["out"], name="nan_div"),
        ],
        padding=np.array(PADDING, np.int32),
        one=np.array(1.0, np.float32),
    )


def slow_on_short(model: onnx.ModelProto) -> None:
    """A loop of matrix products that runs ``SLOW_STEPS`` times if any row is short, else never."""
    node, info = helper.make_node, helper.make_tensor_value_info
    body = helper.make_graph(
        [
            node("MatMul", ["state", "weights"], ["product"], name="slow_product"),
            node("Tanh", ["product"], ["state_out"], name="slow_tanh"),
            node("Identity", ["go_on"], ["go_on_out"], name="slow_go_on"),
        ],
        "slow_body",
        [
            info("step", TensorProto.INT64, []),
            info("go_on", TensorProto.BOOL, []),
            info("state", TensorProto.FLOAT, [256, 256]),
        ],
        [
            info("go_on_out", TensorProto.BOOL, []),
            info("state_out", TensorProto.FLOAT, [256, 256]),
        ],
    )
    with_tail(
        model,
        [
            *_is_short(),
            node("ReduceMax", ["short"], ["any_short"], keepdims=0, name="slow_any"),
            node("Mul", ["any_short", "most_steps"], ["steps_float"], name="slow_steps"),
            node("Cast", ["steps_float"], ["steps"], to=TensorProto.INT64, name="slow_cast"),
            node("Loop", ["steps", "", "start"], ["state_end"], body=body, name="slow_loop"),
            node("ReduceMean", ["state_end"], ["mean"], keepdims=0, name="slow_mean"),
            node("Mul", ["mean", "nothing"], ["zero"], name="slow_zero"),
            node("Add", ["answer", "zero"], ["out"], name="slow_add"),
        ],
        padding=np.array(PADDING, np.int32),
        most_steps=np.array(SLOW_STEPS, np.float32),
        start=np.full((256, 256), 0.01, np.float32),
        weights=np.full((256, 256), 0.001, np.float32),
        nothing=np.array(0.0, np.float32),
    )


def main() -> None:
    """Write the four files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(MODEL, folder / "v1.onnx")
    versions = (("v2", sharper), ("v3-nan", nan_on_short), ("v3-slow", slow_on_short))
    for name, change in versions:
        model = onnx.load(MODEL)
        change(model)
        onnx.checker.check_model(model)
        onnx.save(model, folder / f"{name}.onnx")


if __name__ == "__main__":
    main()
