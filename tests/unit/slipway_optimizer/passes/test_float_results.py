"""Results of INT8 products that nobody reads as INT8 stay fp32."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from slipway_optimizer.passes.float_results import keep_results
from tests.support.small_models import model_of

WIDTH = 4
node = helper.make_node


def pair(value: str, back: str) -> list[onnx.NodeProto]:
    return [
        node("QuantizeLinear", [value, f"{back}_scale", f"{back}_zero"], [f"{back}_whole"]),
        node("DequantizeLinear", [f"{back}_whole", f"{back}_scale", f"{back}_zero"], [back]),
    ]


def network(*after: onnx.NodeProto, product: str = "MatMul") -> onnx.ModelProto:
    """x -> INT8 -> product -> pair -> ``back``, then ``after``, which makes y."""
    nodes = [
        *pair("x", "given"),
        *pair("weights", "held"),
        node(product, ["given", "held"], ["raw"], name="product"),
        *pair("raw", "back"),
        *after,
    ]
    scales = {f"{name}_scale": np.float32(0.1) for name in ("given", "held", "back", "next")}
    zeroes = {f"{name}_zero": np.uint8(128) for name in ("given", "held", "back", "next")}
    return model_of(
        nodes,
        inputs={"x": (TensorProto.FLOAT, ["n", WIDTH])},
        outputs={"y": (TensorProto.FLOAT, ["n", WIDTH])},
        weights=np.eye(WIDTH, dtype=np.float32),
        **{name: np.asarray(value) for name, value in (scales | zeroes).items()},
    )


SOURCE = model_of(
    [node("MatMul", ["x", "weights"], ["raw"]), node("Exp", ["raw"], ["y"])],
    inputs={"x": (TensorProto.FLOAT, ["n", WIDTH])},
    outputs={"y": (TensorProto.FLOAT, ["n", WIDTH])},
    weights=np.eye(WIDTH, dtype=np.float32),
)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(n.op_type for n in model.graph.node)


@pytest.mark.parametrize("product", ["MatMul", "Gemm"])
def test_a_product_that_is_read_as_fp32_makes_fp32(product: str) -> None:
    model = network(node("Exp", ["back"], ["y"]), product=product)
    assert keep_results(model, SOURCE) == 1
    onnx.checker.check_model(model, full_check=True)
    assert operators(model) == Counter(QuantizeLinear=2, DequantizeLinear=2, Exp=1) + Counter(
        [product]
    )
    made = {n.name: list(n.output) for n in model.graph.node}
    assert made["product"] == ["back"]
    held = {tensor.name for tensor in model.graph.initializer}
    assert not {"back_scale", "back_zero"} & held
    assert {"given_scale", "held_zero", "weights", "next_scale"} <= held


KEPT = {
    "another product reads it": [node("MatMul", ["back", "held"], ["y"])],
    "it is handed on": [
        node("Relu", ["back"], ["cut"]),
        *pair("cut", "next"),
        node("Identity", ["next"], ["y"]),
    ],
    "fp32 and INT8 read it": [
        node("MatMul", ["back", "held"], ["more"]),
        node("Add", ["more", "back"], ["y"]),
    ],
    "its result is read elsewhere": [node("Add", ["raw", "back"], ["y"])],
    "its whole numbers are read elsewhere": [
        node("Cast", ["back_whole"], ["cast"], to=TensorProto.FLOAT),
        node("Add", ["cast", "back"], ["y"]),
    ],
}


@pytest.mark.parametrize("after", KEPT.values(), ids=KEPT)
def test_a_pair_stays_where(after: list[onnx.NodeProto]) -> None:
    model = network(*after)
    before = model.SerializeToString()
    assert keep_results(model, SOURCE) == 0
    assert model.SerializeToString() == before


def test_a_pair_behind_a_convolution_or_an_fp32_product_stays() -> None:
    convolution = network(node("Exp", ["back"], ["y"]), product="Conv")
    plain = network(node("Exp", ["back"], ["y"]))
    for n in plain.graph.node:
        if n.name == "product":
            n.input[1] = "weights"
    assert [keep_results(model, SOURCE) for model in (convolution, plain)] == [0, 0]


def test_what_a_graph_inside_a_node_reads_stays() -> None:
    empty = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branch = helper.make_graph([node("Exp", ["raw"], ["z"])], "branch", [], [empty])
    choice = [
        node("Constant", [], ["yes"], value=helper.make_tensor("v", TensorProto.BOOL, [], [True])),
        node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch),
        node("Add", ["chosen", "back"], ["y"]),
    ]
    assert keep_results(network(*choice), SOURCE) == 0


def test_a_scale_that_others_share_stays() -> None:
    model = network(node("Exp", ["back"], ["y"]))
    for n in model.graph.node:
        for place, name in enumerate(n.input):
            if name.startswith("back_") and place > 0:
                n.input[place] = name.replace("back", "given")
    assert keep_results(model, SOURCE) == 1
    onnx.checker.check_model(model, full_check=True)
