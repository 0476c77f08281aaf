"""Enlargements stay what they were, and become what ONNX Runtime keeps in its blocked layout."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from slipway_optimizer.passes.normalise import TARGET_OPSET, normalise
from slipway_optimizer.session import Model
from tests.support.small_models import Array, enlarging, save

PICTURES = {"x": np.random.default_rng(3).normal(size=(3, 3, 8, 8)).astype(np.float32)}


def normalised(model: onnx.ModelProto, folder: Path) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Of a model that answers as before."""
    source, target = save(folder / "m.onnx", model), folder / "n.onnx"
    notes = normalise(source, target, PICTURES)
    before, after = (Model(path, threads=1).run_rows(PICTURES)["y"] for path in (source, target))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    return onnx.load(target), notes


def resize_of(model: onnx.ModelProto) -> tuple[dict[str, str], list[float] | None]:
    """Its words, and its scales if they are constant."""
    (node,) = (node for node in model.graph.node if node.op_type == "Resize")
    words = {held.name: held.s.decode() for held in node.attribute if held.s}
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    if len(node.input) != 3 or node.input[2] not in held:
        return words, None
    return words, numpy_helper.to_array(held[node.input[2]]).tolist()


def to_sizes(mode: str = "linear") -> onnx.NodeProto:
    return helper.make_node("Resize", ["c", "", "", "sizes"], ["r"], mode=mode)


def rest(*sizes: int) -> Array:
    """All sizes but the batch's."""
    return np.array(sizes, np.int64)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("opset", "operator"), [(9, "Upsample"), (10, "Resize")])
@pytest.mark.parametrize("factor", [2.0, 3.0, 1.5])
def test_an_enlargement_of_an_old_opset_keeps_its_coordinates(
    opset: int, operator: str, mode: str, factor: float, tmp_path: Path
) -> None:
    node = helper.make_node(operator, ["c", "factors"], ["r"], mode=mode)
    factors = np.array([1, 1, factor, factor], np.float32)

    model, notes = normalised(enlarging(node, opset=opset, factors=factors), tmp_path)

    assert notes == ()
    assert {held.domain: held.version for held in model.opset_import}[""] == TARGET_OPSET
    words, scales = resize_of(model)
    assert (words["coordinate_transformation_mode"], words["nearest_mode"], scales) == (
        "asymmetric",
        "floor",
        [1, 1, factor, factor],
    )


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_sizes_that_name_an_open_batch_become_scales(mode: str, tmp_path: Path) -> None:
    model, notes = normalised(enlarging(to_sizes(mode), opset=17, rest=rest(16, 16, 32)), tmp_path)

    assert notes == ()
    assert resize_of(model) == ({"mode": mode}, [1, 1, 2, 4])
    assert [node.op_type for node in model.graph.node] == ["Conv", "Resize", "Conv"]


@pytest.mark.parametrize(
    "sizes", [(16, 20, 16), (16, 4, 4)], ids=["no whole factor", "smaller than before"]
)
def test_other_sizes_stay_sizes(sizes: tuple[int, int, int], tmp_path: Path) -> None:
    model, notes = normalised(enlarging(to_sizes(), opset=17, rest=rest(*sizes)), tmp_path)

    assert notes == ()
    assert resize_of(model) == ({"mode": "linear"}, None)
