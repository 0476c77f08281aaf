"""Boosters in their own files become ONNX that answers as they do."""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost

from slipway.api.v1alpha1.model import ModelFormatName
from slipway_optimizer import graph
from slipway_optimizer.convert.dispatch import convert
from slipway_optimizer.convert.order import Conversion, ConvertOrder
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model
from slipway_optimizer.tensors import DYNAMIC

RANDOM = np.random.default_rng(6)
ROWS = RANDOM.normal(size=(200, 5)).astype(np.float32)
CLASSES = (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 0.5)


def converted(path: Path, name: str) -> Conversion:
    target = path.with_suffix(".onnx")
    return convert(ConvertOrder(model_format=ModelFormatName(name), source=path, target=target))


def trained_xgboost(objective: str, **more: Any) -> Any:
    labels = CLASSES if "multi" in objective else (CLASSES > 0).astype(int)
    if objective.startswith("reg"):
        labels = ROWS[:, 0] * 3
    options = {"objective": objective, "max_depth": 3, **more}
    return xgboost.train(options, xgboost.DMatrix(ROWS, label=labels), 5)


@pytest.mark.parametrize("suffix", ["ubj", "json"])
@pytest.mark.parametrize(
    ("objective", "more", "output"),
    [
        ("binary:logistic", {}, "probabilities"),
        ("multi:softprob", {"num_class": 3}, "probabilities"),
        ("multi:softmax", {"num_class": 3}, "label"),
        ("reg:squarederror", {}, "variable"),
        ("rank:pairwise", {}, "variable"),
        ("binary:logitraw", {}, "variable"),
        ("reg:squarederror", {"booster": "dart", "rate_drop": 0.5, "seed": 3}, "variable"),
        ("binary:logitraw", {"booster": "dart", "rate_drop": 0.5, "seed": 3}, "variable"),
        ("multi:softprob", {"num_class": 3, "booster": "dart"}, "probabilities"),
    ],
)
def test_xgboost_answers_as_before(
    objective: str, more: dict[str, Any], output: str, suffix: str, tmp_path: Path
) -> None:
    booster, path = trained_xgboost(objective, **more), tmp_path / f"m.{suffix}"
    booster.save_model(path)
    assert converted(path, "xgboost").output == output
    answer = Model(tmp_path / "m.onnx", threads=1).run({"X": ROWS})[output]
    expected = booster.predict(xgboost.DMatrix(ROWS))
    if objective == "binary:logistic":
        answer = answer[:, 1]
    np.testing.assert_allclose(answer.reshape(expected.shape), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("objective", "more"),
    [("binary", {}), ("multiclass", {"num_class": 3}), ("regression", {})],
)
def test_lightgbm_answers_as_before_in_any_batch(
    objective: str, more: dict[str, Any], tmp_path: Path
) -> None:
    labels = {"binary": CLASSES > 0, "multiclass": CLASSES, "regression": ROWS.sum(axis=1)}[
        objective
    ]
    options = {"objective": objective, "verbose": -1, "num_threads": 1, **more}
    booster = lightgbm.train(options, lightgbm.Dataset(ROWS, label=labels), 5)
    booster.save_model(tmp_path / "m.txt")
    found = converted(tmp_path / "m.txt", "lightgbm")
    signature = graph.signature_of(graph.load(tmp_path / "m.onnx"))
    assert {tensor.shape[0] for tensor in signature.outputs} == {DYNAMIC}
    answer = Model(tmp_path / "m.onnx", threads=1).run({"X": ROWS})[found.output or ""]
    expected = np.asarray(booster.predict(ROWS))
    answer = answer[:, 1] if objective == "binary" else answer.reshape(expected.shape)
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_an_objective_that_converts_wrongly_is_refused_with_the_figures(tmp_path: Path) -> None:
    options = {"objective": "multiclassova", "num_class": 3, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(ROWS, label=CLASSES), 5)
    booster.save_model(tmp_path / "m.txt")
    with pytest.raises(Refused, match=r"'probabilities' .* is off by 0\.\d+ in row") as caught:
        converted(tmp_path / "m.txt", "lightgbm")
    assert caught.value.reason == "ConversionDiffers"


def test_a_linear_booster_is_refused_with_a_remedy(tmp_path: Path) -> None:
    labelled = xgboost.DMatrix(ROWS, label=ROWS[:, 0])
    xgboost.train({"booster": "gblinear"}, labelled, 2).save_model(tmp_path / "m.json")
    with pytest.raises(Refused, match="gblinear: train a linear model of scikit-learn"):
        converted(tmp_path / "m.json", "xgboost")


def test_half_a_file_is_corrupt(tmp_path: Path) -> None:
    trained_xgboost("reg:squarederror").save_model(tmp_path / "w.ubj")
    whole = (tmp_path / "w.ubj").read_bytes()
    (tmp_path / "m.ubj").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refused, match="save the model again with save_model") as caught:
        converted(tmp_path / "m.ubj", "xgboost")
    assert caught.value.reason == "SourceCorrupt"
