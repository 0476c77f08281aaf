"""Weights that are stored in fewer bits answer like their decoded selves, at fp32's speed."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from slipway.api.v1alpha1.optimization import Pruning
from slipway_optimizer.passes.prune import prune, thresholds
from slipway_optimizer.passes.weights import error_of, store_in_bits, store_sparse
from slipway_optimizer.session import Model, profile
from tests.support.small_models import model_of, save

RANDOM = np.random.default_rng(5)
WEIGHTS: dict[str, NDArray[Any]] = {
    "kernel": RANDOM.normal(0, 0.1, (24, 3, 5, 5)).astype(np.float32),
    "matrix": RANDOM.normal(0, 0.1, (24, 700)).astype(np.float32),
    "turned": RANDOM.normal(0, 0.1, (330, 700)).astype(np.float32),
}
ROWS = {"x": RANDOM.normal(size=(6, 3, 9, 9)).astype(np.float32)}


def network() -> onnx.ModelProto:
    node = helper.make_node
    return model_of(
        [
            node("Conv", ["x", "kernel"], ["c"], name="conv"),
            node("GlobalAveragePool", ["c"], ["g"]),
            node("Flatten", ["g"], ["f"]),
            node("MatMul", ["f", "matrix"], ["m"], name="matmul"),
            node("Gemm", ["m", "turned"], ["y"], name="gemm", transB=1),
        ],
        inputs={"x": (TensorProto.FLOAT, ["n", 3, 9, 9])},
        outputs={"y": (TensorProto.FLOAT, ["n", 330])},
        **WEIGHTS,
    )


def answers(model: onnx.ModelProto, folder: Path) -> NDArray[Any]:
    onnx.checker.check_model(model)
    return Model(save(folder / "m.onnx", model), threads=1).run_rows(ROWS)["y"]


@pytest.mark.parametrize(
    ("bits", "share", "decibels"),
    [(16, 0.51, 60), (8, 0.32, 35), (4, 0.24, 10), (2, 0.18, 3), (1, 0.15, 1)],
)
def test_fewer_bits_are_smaller_and_cost_what_is_said(
    tmp_path: Path, bits: int, share: float, decibels: float
) -> None:
    plain, model = network(), network()
    errors = store_in_bits(model, bits)
    assert [(e.name, e.shape) for e in errors] == [(n, w.shape) for n, w in WEIGHTS.items()]
    assert min(e.sqnr_db for e in errors) > decibels
    assert model.ByteSize() < share * plain.ByteSize()
    wanted, found = answers(plain, tmp_path), answers(model, tmp_path)
    assert 10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()) > decibels - 1


def test_what_runs_is_what_ran_before(tmp_path: Path) -> None:
    """All unpacking is folded at load: no operator of it is left to run."""
    model = network()
    store_in_bits(model, 4)
    spent = profile(save(tmp_path / "m.onnx", model), [ROWS], tmp_path)
    assert set(spent.time) <= {"Conv", "GlobalAveragePool", "Flatten", "MatMul", "Gemm"}


def test_pruned_weights_are_stored_as_a_mask_and_answer_exactly(tmp_path: Path) -> None:
    pruned = network()
    errors = prune(pruned, Pruning.model_validate({"method": "Percentile", "value": "80"}))
    assert np.mean([e.zeros for e in errors]) == pytest.approx(0.8, abs=0.02)
    stored = onnx.ModelProto()
    stored.CopyFrom(pruned)
    assert len(store_sparse(stored)) == 3
    assert stored.ByteSize() < 0.45 * pruned.ByteSize()
    np.testing.assert_array_equal(answers(stored, tmp_path), answers(pruned, tmp_path))


def test_dense_weights_are_not_masked() -> None:
    model = network()
    assert store_sparse(model) == ()
    assert [t.name for t in model.graph.initializer] == list(WEIGHTS)


@pytest.mark.parametrize(
    ("pruning", "expected"),
    [
        ({"method": "Threshold", "value": "0.5"}, [0.5, 0.5]),
        ({"method": "Percentile", "value": "50", "scope": "PerLayer"}, [0.5, 5.0]),
        ({"method": "Percentile", "value": "50"}, [0.9, 0.95]),  # the first layer's cap binds
    ],
)
def test_the_threshold_is_global_or_per_layer_and_capped(
    pruning: dict[str, str], expected: list[float]
) -> None:
    small, large = (np.linspace(0, top, 11, dtype=np.float32) for top in (1, 10))
    found = thresholds([small, large], Pruning.model_validate(pruning))
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_weight_that_is_an_output_is_left_alone() -> None:
    model = network()
    model.graph.output.append(helper.make_tensor_value_info("matrix", TensorProto.FLOAT, [24, 700]))
    assert [e.name for e in store_in_bits(model, 8)] == ["kernel", "turned"]
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    np.testing.assert_array_equal(held["matrix"], WEIGHTS["matrix"])


def test_a_large_weights_distribution_is_drawn_from_a_part_of_it() -> None:
    values = np.linspace(-2, 1, 9 << 20, dtype=np.float32)
    error = error_of("table", values, np.abs(values))
    assert (error.limit, sum(error.before), sum(error.after)) == (2.0, 9 << 19, 9 << 19)
    assert (error.before[0] > 0, error.before[-1], error.after[0]) == (True, 0, 0)
