"""What a static build makes of a network with convolutions and pools."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from slipway.api.v1alpha1.optimization import QuantizationMode
from slipway_optimizer.metrics import sqnr_db
from slipway_optimizer.passes.build_recipe import Rows, build
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.session import Model
from tests.support.small_models import model_of, save

RANDOM = np.random.default_rng(3)
ROWS = {"x": RANDOM.uniform(size=(16, 2, 8, 8)).astype(np.float32)}
CARRIED = ("Flatten", "MaxPool", "Relu")


def network() -> onnx.ModelProto:
    """Two convolutions with a pool and a product behind them."""
    node = helper.make_node
    return model_of(
        [
            node("Conv", ["x", "first"], ["a"], "first", pads=[1, 1, 1, 1]),
            node("Relu", ["a"], ["b"], "cut"),
            node("MaxPool", ["b"], ["c"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", ["c", "second"], ["d"], "second", pads=[1, 1, 1, 1]),
            node("Flatten", ["d"], ["e"], "flat"),
            node("Gemm", ["e", "last", "bias"], ["y"], "product"),
        ],
        inputs={"x": (TensorProto.FLOAT, ["n", 2, 8, 8])},
        outputs={"y": (TensorProto.FLOAT, ["n", 5])},
        first=RANDOM.normal(size=(4, 2, 3, 3)).astype(np.float32),
        second=RANDOM.normal(size=(4, 4, 3, 3)).astype(np.float32),
        last=RANDOM.normal(size=(64, 5)).astype(np.float32),
        bias=RANDOM.normal(size=5).astype(np.float32),
    )


NETWORK = network()


def built(
    folder: Path, recipe: Recipe, network: onnx.ModelProto = NETWORK
) -> tuple[onnx.ModelProto, float]:
    """The variant, and its SQNR."""
    source, target = save(folder / "m.onnx", network), folder / "q.onnx"
    np.savez(folder / "rows.npz", allow_pickle=False, **ROWS)
    build(recipe, source, target, Rows(str(folder / "rows.npz")))
    wanted, answers = (Model(p, threads=1).run_rows(ROWS)["y"] for p in (source, target))
    return onnx.load_model(target), sqnr_db(wanted, answers)


def neighbours(model: onnx.ModelProto, name: str) -> tuple[str, set[str]]:
    """The operators before and behind a node."""
    nodes = {n.name: n for n in model.graph.node}
    makers = {output: n.op_type for n in model.graph.node for output in n.output}
    found = nodes[name]
    after = {n.op_type for n in model.graph.node if found.output[0] in n.input}
    return makers[found.input[0]], after


@pytest.mark.parametrize("mode", [QuantizationMode.STATIC, QuantizationMode.HYBRID])
def test_int8_passes_through_what_is_carried(tmp_path: Path, mode: QuantizationMode) -> None:
    model, distance = built(tmp_path, Recipe(name="q", quantization=mode, carried=CARRIED))
    assert neighbours(model, "pool") == ("DequantizeLinear", {"QuantizeLinear"})
    assert "Relu" not in {n.op_type for n in model.graph.node}  # the range cuts what it would
    assert distance > 25


def test_without_it_a_pool_is_computed_in_fp32(tmp_path: Path) -> None:
    model, _ = built(tmp_path, Recipe(name="q", quantization=QuantizationMode.STATIC))
    assert neighbours(model, "pool")[0] == "Relu"


def test_the_last_product_answers_in_fp32(tmp_path: Path) -> None:
    recipe = Recipe(name="q", quantization=QuantizationMode.STATIC, carried=CARRIED)
    model, _ = built(tmp_path, recipe)
    assert {n.op_type for n in model.graph.node if "y" in n.output} == {"Gemm"}


@pytest.mark.parametrize("cutting", ["Relu", "Clip"])
@pytest.mark.parametrize("behind", [None, "Exp"])
def test_what_cuts_a_products_result_is_not_lost(
    tmp_path: Path, cutting: str, behind: str | None
) -> None:
    limits = ["zero", "six"] if cutting == "Clip" else []
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], "flat"),
        helper.make_node("MatMul", ["flat", "weights"], ["raw"], "product"),
        helper.make_node(cutting, ["raw", *limits], ["cut" if behind else "y"], "cut"),
    ]
    if behind:
        nodes.append(helper.make_node(behind, ["cut"], ["y"], "behind"))
    network = model_of(
        nodes,
        inputs={"x": (TensorProto.FLOAT, ["n", 2, 8, 8])},
        outputs={"y": (TensorProto.FLOAT, ["n", 32])},
        weights=RANDOM.normal(size=(128, 32)).astype(np.float32) / 8,
        **({"zero": np.array(0, np.float32), "six": np.array(6, np.float32)} if limits else {}),
    )
    recipe = Recipe(name="q", quantization=QuantizationMode.STATIC, carried=("Clip", *CARRIED))
    _, distance = built(tmp_path, recipe, network)
    assert distance > 25
