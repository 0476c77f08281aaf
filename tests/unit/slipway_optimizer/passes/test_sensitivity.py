"""The node that INT8 ruins is found and left alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from slipway.api.v1alpha1.optimization import QuantizationMode
from slipway_optimizer.metrics import sqnr_db
from slipway_optimizer.passes.build_recipe import Rows, build
from slipway_optimizer.passes.sensitivity import Found, Question, find, quantised_nodes
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.refine import without
from slipway_optimizer.session import Model
from tests.support.small_models import save, tower

WIDTH, LAYERS, BAD = 32, 6, "layer3"
RANDOM = np.random.default_rng(7)
ROWS = {"x": RANDOM.normal(size=(16, WIDTH)).astype(np.float32)}


def network() -> onnx.ModelProto:
    return tower(RANDOM, width=WIDTH, layers=LAYERS, spiked=BAD)


def network_with_biases() -> onnx.ModelProto:
    """The same, its products with biases."""
    model = network()
    for node in model.graph.node:
        if node.op_type == "MatMul":
            node.op_type = "Gemm"
            node.input.append(f"{node.name}.bias")
            bias = RANDOM.normal(size=WIDTH).astype(np.float32) / 10
            model.graph.initializer.append(numpy_helper.from_array(bias, node.input[2]))
    return model


def search(
    folder: Path,
    mode: QuantizationMode,
    *,
    model: onnx.ModelProto | None = None,
    seconds: float = 60,
) -> tuple[Path, Found]:
    source = save(folder / "m.onnx", model or network())
    question = Question(Recipe(name="q", quantization=mode), "y", 25.0, seconds)
    return source, find(source, folder, ROWS, question)


@pytest.mark.parametrize("mode", [QuantizationMode.STATIC, QuantizationMode.DYNAMIC])
@pytest.mark.parametrize("make", [network, network_with_biases])
def test_the_worst_node_comes_first_and_without_it_the_target_is_reached(
    tmp_path: Path, mode: QuantizationMode, make: Callable[[], onnx.ModelProto]
) -> None:
    source, found = search(tmp_path, mode, model=make())
    assert found.ranking[0][0] == BAD
    assert [node for node, _ in found.ranking[1:]] != []
    assert found.exclude == (BAD,)
    assert found.reached_db >= 25
    np.savez(tmp_path / "rows.npz", allow_pickle=False, **ROWS)
    recipe = without(Recipe(name="q", quantization=mode), found.exclude)
    build(recipe, source, tmp_path / "q.onnx", Rows(str(tmp_path / "rows.npz")))
    wanted, answers = (
        Model(p, threads=1).run_rows(ROWS)["y"] for p in (source, tmp_path / "q.onnx")
    )
    assert sqnr_db(wanted, answers) == pytest.approx(found.reached_db, abs=3)


def test_without_time_nothing_is_claimed(tmp_path: Path) -> None:
    _, found = search(tmp_path, QuantizationMode.STATIC, seconds=0)
    assert found.exclude == ()
    assert {db for _, db in found.ranking} == {200.0}


def test_only_quantised_nodes_are_ranked(tmp_path: Path) -> None:
    assert quantised_nodes(network()) == []
