"""XGBoost and LightGBM models in their own formats. Owner file of both, and of onnxmltools."""

import json
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from slipway_optimizer.arrays import Array
from slipway_optimizer.convert import sklearn_source, tabular
from slipway_optimizer.convert.kinds import Kind, Sniffed
from slipway_optimizer.convert.order import Conversion, ConvertOrder
from slipway_optimizer.convert.tabular import INPUT, LABEL_OUTPUT, SCORES_OUTPUT
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model

_OPSET: Final = 15  # the newest that onnxmltools writes
_RAW: Final = ("rank:", "binary:logitraw")  # the converter takes them for probabilities


def convert(found: Sniffed, target: Path, order: ConvertOrder) -> Conversion:
    """Write the ONNX equivalent of a booster.

    Raises:
        Refused: ``SourceCorrupt``, ``ConversionFailed``, ``ConversionDiffers``.
    """
    if found.kind in (Kind.PICKLE, Kind.JOBLIB):
        loaded = sklearn_source.unpickle(found)
        if hasattr(loaded, "n_features_in_"):  # the estimators of both libraries
            return sklearn_source.convert_estimator(loaded, target, order.dataset)
        booster: _Booster = _wrap(loaded)
    elif found.kind is Kind.LIGHTGBM:
        booster = _LightGbm(_opened(found, _open_lightgbm))
    else:
        booster = _XgBoost(_opened(found, _open_xgboost))
    rows = tabular.numeric_rows(order.dataset, booster.features)
    expected = booster.predict(rows)
    target.write_bytes(_to_onnx(booster))
    answers = Model(target, threads=1).run_rows({INPUT: rows}, batch=1)
    return _compare(expected, answers)


class _XgBoost:
    """An ``xgboost.Booster``."""

    def __init__(self, booster: Any) -> None:
        config = json.loads(booster.save_config())["learner"]
        if config["gradient_booster"]["name"] == "gblinear":
            raise Refused(
                "ConversionFailed",
                "onnxmltools cannot convert XGBoost's gblinear: train a linear model of "
                "scikit-learn, or use gbtree",
            )
        booster.feature_names = None  # the converter wants f0, f1, ...
        self._raw = config["objective"]["name"].startswith(_RAW)
        self._dart = config["gradient_booster"]["name"] == "dart"
        self.booster, self.features = booster, int(booster.num_features())

    def predict(self, rows: Array) -> Array:
        import xgboost

        predicted: Array = np.asarray(self.booster.predict(xgboost.DMatrix(rows)))
        return predicted

    def to_onnx(self, inputs: Any) -> Any:
        from onnxmltools import convert_xgboost

        booster = _as_gbtree(self.booster) if self._dart else self.booster
        if self._raw:  # the sum of the leaves is the answer, as for a plain regression
            booster.set_param({"objective": "reg:squarederror"})
        return convert_xgboost(booster, initial_types=inputs, target_opset=_OPSET)


class _LightGbm:
    """A ``lightgbm.Booster``."""

    def __init__(self, booster: Any) -> None:
        self.booster, self.features = booster, int(booster.num_feature())

    def predict(self, rows: Array) -> Array:
        predicted: Array = np.asarray(self.booster.predict(rows))
        return predicted

    def to_onnx(self, inputs: Any) -> Any:
        from onnxmltools import convert_lightgbm

        return convert_lightgbm(
            self.booster, initial_types=inputs, target_opset=_OPSET, zipmap=False
        )


_Booster = _XgBoost | _LightGbm


def _as_gbtree(booster: Any) -> Any:
    """Dart's trees, each with its weight multiplied into its leaves, which the converter knows."""
    import xgboost

    model = json.loads(booster.save_raw("json"))
    dart = model["learner"]["gradient_booster"]
    plain = dart["gbtree"]
    for tree, weight in zip(plain["model"]["trees"], dart["weight_drop"], strict=True):
        values = zip(tree["split_conditions"], tree["left_children"], strict=True)
        tree["split_conditions"] = [v * weight if left == -1 else v for v, left in values]
    model["learner"]["gradient_booster"] = plain
    return xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))


def _open_xgboost(path: Path) -> Any:
    import xgboost

    return xgboost.Booster(model_file=bytearray(path.read_bytes()))


def _open_lightgbm(path: Path) -> Any:
    import lightgbm

    return lightgbm.Booster(model_file=str(path))


def _opened(found: Sniffed, read: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(found.path)
    except Exception as error:  # both libraries raise an error type of their own
        raise Refused(
            "SourceCorrupt",
            f"the file looks like {found.kind}, but is not readable as that: save the model again "
            "with save_model",
        ) from error


def _wrap(loaded: Any) -> _Booster:
    module = type(loaded).__module__
    if module.startswith("xgboost"):
        return _XgBoost(loaded)
    if module.startswith("lightgbm"):
        return _LightGbm(loaded)
    raise Refused(
        "ConversionFailed",
        f"the pickle holds a {type(loaded).__name__}, neither an XGBoost nor a LightGBM model: set "
        "modelFormat to what wrote it",
    )


def _to_onnx(booster: _Booster) -> bytes:
    from onnxmltools.convert.common.data_types import FloatTensorType

    try:
        model = booster.to_onnx([(INPUT, FloatTensorType([None, booster.features]))])
    except Exception as error:  # converters raise anything
        words = (str(error).strip().splitlines() or [""])[0]
        raise Refused(
            "ConversionFailed",
            f"onnxmltools cannot convert this booster: {words[:200]}; train it with gbtree and a "
            "standard objective",
        ) from error
    written: bytes = model.SerializeToString()
    return written


def _compare(expected: Array, answers: dict[str, Array]) -> Conversion:
    """A booster predicts probabilities, labels or numbers, as its objective says.

    Raises:
        Refused: ``ConversionDiffers``.
    """
    scores = answers.get(SCORES_OUTPUT)
    if scores is None:
        (output,) = answers
        return Conversion(tabular.numbers(expected, answers[output], output), output=output)
    if expected.ndim == 2:
        return Conversion(tabular.numbers(expected, scores, SCORES_OUTPUT), output=SCORES_OUTPUT)
    labels = answers[LABEL_OUTPUT]
    if scores.shape[1] == 2:  # one probability a row: of the second class
        figures = tabular.numbers(expected, scores[:, 1], SCORES_OUTPUT)
        return Conversion(figures, output=SCORES_OUTPUT)
    differing = int((labels != expected.astype(np.int64)).sum())  # objective multi:softmax
    if differing:
        raise Refused(
            "ConversionDiffers",
            f"the converted model answers {differing} of {len(labels)} rows with another label "
            "than the booster: it is not served",
        )
    return Conversion({"rows": len(labels), "labels_differing": 0}, output=LABEL_OUTPUT)
