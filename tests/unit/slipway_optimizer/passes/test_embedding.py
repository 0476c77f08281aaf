"""Lookup tables as INT8."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from slipway_optimizer.passes.embedding import quantize_embeddings
from slipway_optimizer.session import Model
from tests.support.small_models import model_of, save

TABLE = np.random.default_rng(2).normal(size=(100, 16)).astype(np.float32)
IDS = {"ids": np.array([[0, 99, 7], [3, 3, 50]], np.int64)}


def lookup(*more: onnx.NodeProto, axis: int = 0) -> onnx.ModelProto:
    shape = ["n", 3, 16] if axis == 0 else ["a", "b", "c"]
    return model_of(
        [helper.make_node("Gather", ["table", "ids"], ["y"], "look", axis=axis), *more],
        inputs={"ids": (TensorProto.INT64, ["n", 3])},
        outputs={"y": (TensorProto.FLOAT, shape)},
        table=TABLE,
    )


def test_rows_come_back_within_half_a_step_of_their_scale(tmp_path: Path) -> None:
    model = lookup()
    (error,) = quantize_embeddings(model)
    assert (error.name, error.shape) == ("table", (100, 16))
    assert error.sqnr_db > 35
    onnx.checker.check_model(model)
    found = Model(save(tmp_path / "m.onnx", model), threads=1).run(IDS)["y"]
    step = np.abs(TABLE).max(axis=1, keepdims=True) / 127
    assert (np.abs(found - TABLE[IDS["ids"]]) <= 0.51 * step[IDS["ids"]]).all()
    assert model.ByteSize() < 0.4 * lookup().ByteSize()


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lookup(axis=1), id="another axis"),
        pytest.param(
            lookup(helper.make_node("Transpose", ["table"], ["t"], "other")), id="another reader"
        ),
    ],
)
def test_a_table_that_is_not_only_looked_up_stays(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    assert quantize_embeddings(model) == ()
    assert model.SerializeToString() == before
