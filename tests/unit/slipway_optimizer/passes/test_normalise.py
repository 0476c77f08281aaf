"""Normalised models answer as before; what would change an answer is left out."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway.api.v1alpha1.optimization import QuantizationMode
from slipway_optimizer.failures import Refused
from slipway_optimizer.metrics import sqnr_db
from slipway_optimizer.passes.build_recipe import Rows, build
from slipway_optimizer.passes.normalise import (
    TARGET_OPSET,
    _require_equal,
    normalise,
    write_fused,
)
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.session import Model
from tests.support.small_models import classifier, model_of, rows, save

FEEDS = {"x": rows(16)["x"]}


def linear() -> onnx.ModelProto:
    """A layer as PyTorch writes it: Gemm with transposed weights, of an unequal shape."""
    weights = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    return model_of(
        [helper.make_node("Gemm", ["x", "weights", "bias"], ["y"], transB=1)],
        inputs={"x": (TensorProto.FLOAT, ["n", 8])},
        outputs={"y": (TensorProto.FLOAT, ["n", 5])},
        weights=weights,
        bias=np.zeros(5, np.float32),
    )


def as_old_exporters_write(model: onnx.ModelProto) -> onnx.ModelProto:
    """IR 3: every initialiser is an input too."""
    model.ir_version = 3
    model.opset_import[0].version = 9
    for tensor in model.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(info)
    return model


def normalised(model: onnx.ModelProto, folder: Path) -> tuple[Path, tuple[str, ...]]:
    source, target = save(folder / "m.onnx", model), folder / "n.onnx"
    notes = normalise(source, target, FEEDS)
    before, after = (Model(p, threads=1).run_rows(FEEDS) for p in (source, target))
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-5, atol=1e-6)
    return target, notes


def test_each_convolution_has_a_bias_of_its_own_so_that_quantisers_need_not_copy_it(
    tmp_path: Path,
) -> None:
    node, random = helper.make_node, np.random.default_rng(0)
    model = model_of(
        [
            node("Conv", ["x", "first", "bias"], ["bias0"], pads=[1, 1]),
            node("Conv", ["bias0", "second", "bias"], ["bias1"], pads=[1, 1]),
            node("Neg", ["bias1"], ["bias2"]),  # quantisers would call their copies so
            node("Conv", ["bias2", "second", "bias"], ["y"], pads=[1, 1]),
        ],
        inputs={"x": (TensorProto.FLOAT, ["n", 2, 8])},
        outputs={"y": (TensorProto.FLOAT, ["n", 3, 8])},
        first=random.normal(size=(3, 2, 3)).astype(np.float32),
        second=random.normal(size=(3, 3, 3)).astype(np.float32),
        bias=random.normal(size=3).astype(np.float32),
    )
    feeds = {"x": random.normal(size=(8, 2, 8)).astype(np.float32)}
    source, target = save(tmp_path / "m.onnx", model), tmp_path / "n.onnx"
    assert normalise(source, target, feeds) == ()
    np.savez(tmp_path / "rows.npz", allow_pickle=False, **feeds)
    quantised = tmp_path / "q.onnx"
    recipe = Recipe(name="static", quantization=QuantizationMode.STATIC)
    build(recipe, target, quantised, Rows(str(tmp_path / "rows.npz")))
    wanted, answers = (Model(p, threads=1).run_rows(feeds)["y"] for p in (source, quantised))
    assert sqnr_db(wanted, answers) > 20


def test_folding_keeps_outputs_that_declare_less_than_it_finds_out(tmp_path: Path) -> None:
    model = model_of(
        [
            helper.make_node("Shape", ["x"], ["n"], start=0, end=1),
            helper.make_node("Concat", ["n", "rest"], ["shape"], axis=0),
            helper.make_node("Reshape", ["x", "shape"], ["y"]),
        ],
        inputs={"x": (TensorProto.FLOAT, ["n", 8])},
        outputs={"y": (TensorProto.FLOAT, ["n", "Reshape_y_dim_1", "Reshape_y_dim_2"])},
        rest=np.array([2, 4]),
    )
    target, notes = normalised(model, tmp_path)
    folded = onnx.load_model(target)
    assert notes == ()
    assert [node.op_type for node in folded.graph.node] == ["Reshape"]
    assert list(folded.graph.output) == list(model.graph.output)


def test_an_old_model_is_upgraded_named_and_freed_of_inputs_that_are_weights(
    tmp_path: Path,
) -> None:
    target, notes = normalised(as_old_exporters_write(linear()), tmp_path)
    model = onnx.load(target)
    assert notes == ()
    assert [value.name for value in model.graph.input] == ["x"]
    assert {o.domain: o.version for o in model.opset_import}[""] == TARGET_OPSET
    assert all(node.name for node in model.graph.node)


@pytest.mark.parametrize("mode", [QuantizationMode.DYNAMIC, QuantizationMode.STATIC])
@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_a_layer_as_pytorch_writes_it_is_quantised(
    tmp_path: Path, mode: QuantizationMode, old: bool
) -> None:
    source, _ = normalised(as_old_exporters_write(linear()) if old else linear(), tmp_path)
    np.savez(tmp_path / "rows.npz", allow_pickle=False, **FEEDS)
    target = tmp_path / "q.onnx"
    recipe = Recipe(name="int8", quantization=mode)
    build(recipe, source, target, Rows(str(tmp_path / "rows.npz")))
    wanted, found = (Model(p, threads=1).run_rows(FEEDS)["y"] for p in (source, target))
    np.testing.assert_allclose(found, wanted, atol=0.15)
    assert not np.array_equal(found, wanted)


def test_a_stage_after_which_answers_differ_is_refused_with_the_distance(tmp_path: Path) -> None:
    reference = Model(save(tmp_path / "m.onnx", classifier()), threads=1).run_rows(FEEDS)
    other = classifier(
        helper.make_node("Mul", ["probabilities", "factor"], ["p"]), factor=np.array(1.01, "f4")
    )
    with pytest.raises(Refused, match=r"output 'p' changed \(SQNR 40 dB\)"):
        _require_equal(save(tmp_path / "other.onnx", other), reference, FEEDS)


def test_a_model_that_no_stage_leaves_alike_stays_as_it_was(tmp_path: Path) -> None:
    """All stages are tried at once; where that fails, one by one."""
    source = save(tmp_path / "m.onnx", as_old_exporters_write(linear()))
    target, other = tmp_path / "n.onnx", {"y": np.ones((16, 5), np.float32)}

    notes = normalise(source, target, FEEDS, reference=other)

    assert [note.partition(" left out: ")[0] for note in notes] == [
        "naming of nodes",
        "upgrade to opset 17",
        "constant folding",
        "scales of enlargements",
    ]
    assert target.read_bytes() == source.read_bytes()


def test_constants_are_folded(tmp_path: Path) -> None:
    model = classifier(
        helper.make_node(
            "Constant", [], ["one"], value=numpy_helper.from_array(np.array(1, np.float32))
        ),
        helper.make_node("Add", ["one", "one"], ["two"]),
        helper.make_node("Mul", ["probabilities", "two"], ["p"]),
    )
    target, _ = normalised(model, tmp_path)
    operators = {node.op_type for node in onnx.load(target).graph.node}
    assert operators == {"Gemm", "Softmax", "Mul"}


def test_nothing_to_fuse_writes_nothing(tmp_path: Path) -> None:
    source = save(tmp_path / "m.onnx", classifier())
    assert write_fused(source, tmp_path / "f.onnx", FEEDS) == ((), None)
    assert not (tmp_path / "f.onnx").exists()
