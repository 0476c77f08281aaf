"""The node that INT8 ruins is found and left alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway.api.v1alpha1.optimization import QuantizationMode
from slipway_optimizer.metrics import sqnr_db
from slipway_optimizer.passes.build_recipe import Rows, build
from slipway_optimizer.passes.sensitivity import (
    Found,
    Question,
    by_worth,
    cheapest,
    find,
    quantised_nodes,
)
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.refine import without
from slipway_optimizer.session import Model
from tests.support.small_models import model_of, save, tower

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


@pytest.mark.parametrize("mode", [QuantizationMode.STATIC, QuantizationMode.DYNAMIC])
def test_what_is_in_fp32_already_is_not_asked_about(tmp_path: Path, mode: QuantizationMode) -> None:
    source = save(tmp_path / "m.onnx", tower(RANDOM, width=WIDTH, layers=LAYERS, spiked=BAD))
    recipe = Recipe(name="q", quantization=mode, exclude=(BAD,))
    found = find(source, tmp_path, ROWS, Question(recipe, "y", 25.0, 60))
    assert BAD not in dict(found.ranking)
    assert len(found.ranking) == LAYERS - 1
    assert found.ranking[0][1] > 25
    assert found.reached_db > 25


def test_nodes_are_tried_by_their_noise_for_the_time_that_they_take() -> None:
    ranking = (("dear", 20.0), ("cheap", 23.0), ("quiet", 60.0))  # 3 dB are half of the noise
    seconds = {"dear": 8e-3, "cheap": 1e-3, "quiet": 1e-3}
    assert by_worth(ranking, seconds) == ("cheap", "dear", "quiet")
    assert by_worth(ranking, {}) == ("dear", "cheap", "quiet")


def test_of_the_ways_to_reach_the_target_the_fastest_is_taken() -> None:
    seconds = {"dear": 8e-3, "cheap": 1e-3}
    tries = [(("dear",), 31.0), (("cheap", "small"), 30.6), ((), -99.0)]
    assert cheapest(tries, seconds) == (("cheap", "small"), 30.6)
    assert cheapest([((), -99.0)], seconds) == ((), -99.0)


def test_what_is_said_to_be_reached_is_what_a_build_reaches(tmp_path: Path) -> None:
    """Behind the node that is left alone nothing is rounded, neither here nor there."""
    node = helper.make_node
    layers = [n for at in "abcd" for n in (
        node("Gemm", [f"{at}.x", f"{at}.w", f"{at}.b"], [f"{at}.y"], at),
        node("Tanh", [f"{at}.y"], [f"{chr(ord(at) + 1)}.x"], f"{at}.tanh"),
    )]  # fmt: skip
    weights = {f"{at}.w": RANDOM.normal(size=(WIDTH, WIDTH)) / 4 for at in "abcd"}
    biases = {f"{at}.b": RANDOM.normal(size=WIDTH) for at in "abcd"}
    model = model_of(
        layers,
        inputs={"a.x": (TensorProto.FLOAT, ["n", WIDTH])},
        outputs={"e.x": (TensorProto.FLOAT, ["n", WIDTH])},
        **{name: value.astype(np.float32) for name, value in (weights | biases).items()},
    )
    source, rows = save(tmp_path / "m.onnx", model), {"a.x": ROWS["x"]}
    recipe = Recipe(name="q", quantization=QuantizationMode.STATIC)
    worst = find(source, tmp_path, rows, Question(recipe, "e.x", 99.0, 60)).ranking[0][0]
    wanted = Model(source, threads=1).run_rows(rows)["e.x"]
    np.savez(tmp_path / "rows.npz", allow_pickle=False, **rows)
    build(without(recipe, (worst,)), source, tmp_path / "q.onnx", Rows(str(tmp_path / "rows.npz")))
    built = sqnr_db(wanted, Model(tmp_path / "q.onnx", threads=1).run_rows(rows)["e.x"])
    found = find(source, tmp_path, rows, Question(recipe, "e.x", built - 0.01, 60))
    assert found.exclude == (worst,)
    assert found.reached_db == pytest.approx(built, abs=0.01)


def test_without_time_nothing_is_claimed(tmp_path: Path) -> None:
    _, found = search(tmp_path, QuantizationMode.STATIC, seconds=0)
    assert found.exclude == ()
    assert {db for _, db in found.ranking} == {200.0}


def test_only_quantised_nodes_are_ranked(tmp_path: Path) -> None:
    assert quantised_nodes(network()) == []
