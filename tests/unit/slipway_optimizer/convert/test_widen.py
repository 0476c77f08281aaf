"""FP16 models are computed in FP32, and asked and answered in FP16."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway_optimizer import graph
from slipway_optimizer.convert.onnx_source import convert
from slipway_optimizer.session import Model
from tests.support.small_models import model_of, save

HALF, FULL = TensorProto.FLOAT16, TensorProto.FLOAT
RANDOM = np.random.default_rng(5)
WEIGHTS = RANDOM.normal(size=(4, 4)).astype(np.float16)
X = RANDOM.normal(size=(6, 4)).astype(np.float16)
node = helper.make_node


def network(*nodes: onnx.NodeProto, outputs: tuple[str, ...] = ("y",), **held: Any) -> Any:
    return model_of(
        [node("MatMul", ["x", "weights"], ["product"]), *nodes],
        inputs={"x": (HALF, ["n", 4])},
        outputs={name: (HALF, ["n", 4]) for name in outputs},
        weights=WEIGHTS,
        **held,
    )


def branch(name: str, kind: str) -> onnx.GraphProto:
    value = helper.make_tensor_value_info(name, HALF, ["n", 4])
    return helper.make_graph([node(kind, ["product"], [name])], name, [], [value])


TWO = np.array(2, np.float16)
NETWORKS = {
    "weights": network(node("Relu", ["product"], ["y"])),
    "a constant": network(
        node("Constant", [], ["two"], value=numpy_helper.from_array(TWO)),
        node("Mul", ["product", "two"], ["y"]),
    ),
    "casts": network(
        node("Cast", ["product"], ["whole"], to=TensorProto.INT64),
        node("Cast", ["whole"], ["back"], to=HALF),
        node("Add", ["back", "product"], ["y"]),
    ),
    "an output that is read": network(
        node("Relu", ["product"], ["y"]), node("Neg", ["y"], ["z"]), outputs=("y", "z")
    ),
    "graphs inside a node": network(
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["above"]),
        node(
            "If",
            ["above"],
            ["y"],
            then_branch=branch("then", "Relu"),
            else_branch=branch("else", "Neg"),
        ),
        zero=np.array(0, np.float16),
    ),
    "a filled shape": network(
        node("Shape", ["product"], ["shape"]),
        node("ConstantOfShape", ["shape"], ["twos"], value=numpy_helper.from_array(TWO.reshape(1))),
        node("Mul", ["product", "twos"], ["y"]),
    ),
}


@pytest.mark.parametrize("model", list(NETWORKS.values()), ids=list(NETWORKS))
def test_it_answers_alike_in_fp16(model: onnx.ModelProto, tmp_path: Path) -> None:
    source, target = save(tmp_path / "in.onnx", model), tmp_path / "out.onnx"
    found = convert(source, target, None)
    assert found.notes == (
        f"{_half_bytes(model)} bytes of FP16 are computed as FP32: CPUs have few kernels for FP16",
    )
    assert found.figures["widened_rows"] == 12
    assert float(found.figures["widened_max_difference"]) < 0.01
    made = graph.load(target)
    assert graph.signature_of(made) == graph.signature_of(model)
    onnx.checker.check_model(made, full_check=True)
    wanted, answers = (Model(path, threads=1).run({"x": X}) for path in (source, target))
    for name, value in wanted.items():
        assert answers[name].dtype == np.float16
        np.testing.assert_allclose(answers[name], value, atol=0.01)


def _half_bytes(model: onnx.ModelProto) -> int:
    held = [t for t in model.graph.initializer if t.data_type == HALF]
    values = [a.t for n in model.graph.node for a in n.attribute if a.t.data_type == HALF]
    return sum(2 * numpy_helper.to_array(tensor).size for tensor in (*held, *values))


def test_where_answers_change_fp16_stays(tmp_path: Path) -> None:
    """Whole numbers beyond 2048 are even in FP16."""
    model = model_of(
        [
            node("Mul", ["x", "large"], ["much"]),
            node("Flatten", ["much"], ["flat"]),  # of FP16: ONNX Runtime rounds before it
            node("Cast", ["flat"], ["whole"], to=TensorProto.INT64),
            node("Mod", ["whole", "two"], ["odd"]),
            node("Cast", ["odd"], ["y"], to=FULL),
        ],
        inputs={"x": (HALF, ["n", 4])},
        outputs={"y": (FULL, ["n", 4])},
        large=np.array(3000, np.float16),
        two=np.array(2, np.int64),
    )
    source, target = save(tmp_path / "in.onnx", model), tmp_path / "out.onnx"
    (note,) = convert(source, target, None).notes
    assert note == "FP16 left: in FP32 its answers are off by 1"
    assert target.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.onnx", "out.onnx"]


def test_fp16_stays_for_processors_that_compute_it(tmp_path: Path) -> None:
    source, target = save(tmp_path / "in.onnx", NETWORKS["weights"]), tmp_path / "out.onnx"
    assert convert(source, target, None, keep_half=True).notes == ()
    assert target.read_bytes() == source.read_bytes()
