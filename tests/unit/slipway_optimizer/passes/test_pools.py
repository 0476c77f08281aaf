"""Pools before Relu and Clip, where a convolution stays in fp32."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway.api.v1alpha1.optimization import QuantizationMode
from slipway_optimizer.arrays import Arrays
from slipway_optimizer.metrics import sqnr_db
from slipway_optimizer.passes.build_recipe import Rows, build
from slipway_optimizer.passes.pools import pool_first
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.session import Model
from tests.support.small_models import model_of, save

RANDOM = np.random.default_rng(3)
ROWS = {"x": RANDOM.normal(size=(8, 1, 12, 12)).astype(np.float32)}
node = helper.make_node


def network(
    cutting: str = "Relu", *extra: onnx.NodeProto, outputs: tuple[str, ...] = ("y",), **pool: Any
) -> onnx.ModelProto:
    """Two convolutions with something that cuts off and a pool between them."""
    limits = ["low", "high"] if cutting == "Clip" else []
    return model_of(
        [
            node("Conv", ["x", "first.w"], ["a"], "first"),
            node(cutting, ["a", *limits], ["b"], "cutting"),
            node("MaxPool", ["b"], ["c"], "pool", kernel_shape=[2, 2], strides=[2, 2], **pool),
            node("Conv", ["c", "second.w"], ["y"], "second"),
            *extra,
        ],
        inputs={"x": (TensorProto.FLOAT, ["n", 1, 12, 12])},
        outputs={name: (TensorProto.FLOAT, ["n", None, None, None]) for name in outputs},
        **{
            "first.w": RANDOM.normal(size=(8, 1, 3, 3)).astype(np.float32),
            "second.w": RANDOM.normal(size=(16, 8, 3, 3)).astype(np.float32),
            **(
                {"low": np.array(-0.5, np.float32), "high": np.array(2, np.float32)}
                if limits
                else {}
            ),
        },
    )


def built(
    folder: Path,
    model: onnx.ModelProto,
    exclude: tuple[str, ...],
    carried: tuple[str, ...] = ("Clip", "MaxPool", "Relu"),
) -> Path:
    np.savez(folder / "rows.npz", allow_pickle=False, **ROWS)
    recipe = Recipe(
        name="q",
        quantization=QuantizationMode.STATIC,
        carried=carried,
        exclude=exclude,
    )
    source, target = save(folder / "m.onnx", model), folder / "q.onnx"
    build(recipe, source, target, Rows(str(folder / "rows.npz")))
    return target


def between_convolutions(path: Path) -> list[str]:
    kinds = [n.op_type for n in onnx.load(path).graph.node]
    return [kind for kind in kinds if kind in ("Clip", "Conv", "MaxPool", "Relu")]


@pytest.mark.parametrize("padding", [[0, 0, 0, 0], [1, 1, 1, 1]])
@pytest.mark.parametrize("cutting", ["Relu", "Clip"])
def test_behind_a_convolution_in_fp32_the_pool_comes_first(
    tmp_path: Path, cutting: str, padding: list[int]
) -> None:
    model = network(cutting, pads=padding)
    target = built(tmp_path, model, ("first",))
    assert between_convolutions(target) == ["Conv", "MaxPool", cutting, "Conv"]
    onnx.checker.check_model(str(target), full_check=True)
    wanted, found = (Model(p, threads=1).run_rows(ROWS)["y"] for p in (tmp_path / "m.onnx", target))
    assert sqnr_db(wanted, found) > 30


def with_int8_behind_the_pool(model: onnx.ModelProto) -> onnx.ModelProto:
    """As a quantiser writes it."""
    second = model.graph.node[3]
    second.input[0] = "d"
    for place, kind in enumerate(["QuantizeLinear", "DequantizeLinear"]):
        given, result = ("c", "q") if place == 0 else ("q", "d")
        model.graph.node.insert(3 + place, node(kind, [given, "scale", "zero"], [result]))
    held: Arrays = {"scale": np.array(0.05, np.float32), "zero": np.array(0, np.uint8)}
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in held.items())
    return model


def test_the_same_is_computed(tmp_path: Path) -> None:
    model = with_int8_behind_the_pool(network())
    before = Model(save(tmp_path / "before.onnx", model), threads=1).run_rows(ROWS)["y"]
    assert pool_first(model) == 1
    after = Model(save(tmp_path / "after.onnx", model), threads=1).run_rows(ROWS)["y"]
    np.testing.assert_array_equal(after, before)


def test_a_pool_that_is_read_as_fp32_too_stays() -> None:
    read = network("Relu", node("Exp", ["c"], ["z"]), outputs=("y", "z"))
    assert pool_first(with_int8_behind_the_pool(read)) == 0
    assert pool_first(network()) == 0


KEPT = {
    "in INT8 all the way": (network(), ()),
    "what is cut off is read": (
        network("Relu", node("Exp", ["b"], ["z"]), outputs=("y", "z")),
        ("first",),
    ),
    "what is cut off is answered": (network(outputs=("y", "b")), ("first",)),
    "what is not cut off is read": (
        network("Relu", node("Exp", ["a"], ["z"]), outputs=("y", "z")),
        ("first",),
    ),
    "something that does not cut off": (network("Exp"), ("first",)),
}


def test_behind_a_convolution_in_int8_the_pool_stays(tmp_path: Path) -> None:
    """There ONNX Runtime makes one operator of Conv and Relu."""
    target = built(tmp_path, network(), (), carried=())
    assert between_convolutions(target) == ["Conv", "Relu", "MaxPool", "Conv"]


@pytest.mark.parametrize(("model", "exclude"), list(KEPT.values()), ids=list(KEPT))
def test_the_pool_stays_where(
    tmp_path: Path, model: onnx.ModelProto, exclude: tuple[str, ...]
) -> None:
    kinds = between_convolutions(built(tmp_path, model, exclude))
    assert kinds.index("MaxPool") == kinds.index("Conv", 1) - 1
