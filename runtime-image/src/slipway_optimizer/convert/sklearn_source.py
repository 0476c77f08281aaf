"""scikit-learn estimators saved by skops. Owner file of sklearn, skl2onnx and skops.

The estimator's one input is called ``X``: float32 [n, features]. What comes out is compared with
the estimator's own predictions; a difference is a failure.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from slipway.errors import Invalid
from slipway_optimizer.arrays import Array, Arrays, load_npz
from slipway_optimizer.datasets import MAX_BYTES
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model

INPUT: Final = "X"
LABEL_OUTPUT: Final = "label"
SCORES_OUTPUT: Final = "probabilities"
_OPSETS: Final = {"": 17, "ai.onnx.ml": 3}
_TOLERANCE: Final = 1e-3  # relative to max(1, |value|)
_MAX_ROWS: Final = 2_000
_GENERATED_ROWS: Final = 64
# Plain data holders that skops does not list among its own; they run nothing when loaded.
_TRUSTED: Final = frozenset(
    {
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    }
)


@dataclass(frozen=True, slots=True)
class Conversion:
    """What the conversion learnt.

    Attributes:
        classes: label of each index of the scores, where it is not 0..k-1.
        output: the output that answers as the estimator does.
        figures: of the comparison with the estimator.
    """

    classes: tuple[int | str, ...] | None
    output: str | None
    figures: dict[str, float | int | str]


def convert(source: Path, target: Path, dataset: Path | None) -> Conversion:
    """Write the ONNX equivalent of a skops file.

    Raises:
        Refused: ``SourceCorrupt``, ``SourceUntrusted``, ``ConversionFailed``,
            ``ConversionDiffers``.
    """
    estimator = _load(source)
    features = getattr(estimator, "n_features_in_", None)
    if not isinstance(features, int) or not hasattr(estimator, "predict"):
        raise Refused(
            "ConversionFailed",
            f"{type(estimator).__name__} is not a fitted estimator on numeric columns: only those "
            "are converted so far",
        )
    target.write_bytes(_to_onnx(estimator, features))
    rows = _rows(dataset, features)
    answers = Model(target, threads=1).run_rows({INPUT: rows}, batch=64)
    return _compare(estimator, rows, answers)


def _load(source: Path) -> Any:
    import skops.io as sio

    try:
        unknown = sorted(set(sio.get_untrusted_types(file=source)) - _TRUSTED)
        if not unknown:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # another sklearn version: the comparison judges
                return sio.load(source, trusted=sorted(_TRUSTED))
    except Exception as error:  # skops raises what its parsers happen to raise
        raise Refused(
            "SourceCorrupt", "the model file is not readable as skops: write it with skops.io.dump"
        ) from error
    raise Refused(
        "SourceUntrusted",
        f"the skops file holds types that may run code when loaded ({', '.join(unknown)[:200]}): "
        "use scikit-learn's own estimators, or export the model to ONNX",
    )


def _to_onnx(estimator: Any, features: int) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    try:
        model = to_onnx(
            estimator,
            initial_types=[(INPUT, FloatTensorType([None, features]))],
            options=options,
            target_opset=_OPSETS,
        )
    except Exception as error:  # converters raise anything
        words = (str(error).strip().splitlines() or [""])[0]
        raise Refused(
            "ConversionFailed",
            f"skl2onnx cannot convert {type(estimator).__name__}: {words[:200]}",
        ) from error
    written: bytes = model.SerializeToString()
    return written


def _rows(dataset: Path | None, features: int) -> Array:
    """Rows to compare on: the data set's where it has fitting ones, else generated ones."""
    if dataset is not None:
        try:
            held: Array = load_npz(dataset, limit=MAX_BYTES).get(INPUT, np.empty(0))
        except Invalid:
            held = np.empty(0)  # the data set is refused with its reason where it is loaded
        if held.ndim == 2 and held.shape[1] == features and held.dtype.kind in "fiub" and len(held):
            return held[:_MAX_ROWS].astype(np.float32)
    random = np.random.default_rng(0)
    return random.standard_normal((_GENERATED_ROWS, features)).astype(np.float32)


def _compare(estimator: Any, rows: Array, answers: Arrays) -> Conversion:
    predicted = np.asarray(estimator.predict(rows))
    if not hasattr(estimator, "classes_"):
        (output,) = answers
        return Conversion(None, output, _numbers(predicted, answers[output], output))
    labels = answers[LABEL_OUTPUT]
    differing = int((labels.astype(np.str_) != predicted.astype(np.str_)).sum())
    figures: dict[str, float | int | str] = {"rows": len(rows), "labels_differing": differing}
    if differing:
        raise Refused(
            "ConversionDiffers",
            f"the converted model answers {differing} of {len(rows)} rows with another label than "
            "the estimator: it is not served",
        )
    if not hasattr(estimator, "predict_proba"):
        return Conversion(None, LABEL_OUTPUT, figures)
    scores = answers[SCORES_OUTPUT]
    figures |= _numbers(np.asarray(estimator.predict_proba(rows)), scores, SCORES_OUTPUT)
    classes = tuple(value.item() for value in np.asarray(estimator.classes_))
    if (np.asarray(classes)[scores.argmax(axis=1)] != predicted).any():
        return Conversion(None, LABEL_OUTPUT, figures)  # SVC's votes and probabilities may differ
    usual = classes == tuple(range(len(classes)))
    return Conversion(None if usual else classes, SCORES_OUTPUT, figures)


def _numbers(expected: Array, answer: Array, name: str) -> dict[str, float | int | str]:
    expected = expected.reshape(answer.shape).astype(np.float64)
    distance = np.abs(answer - expected) / np.maximum(1.0, np.abs(expected))
    worst = float(distance.max())
    if worst > _TOLERANCE:
        row = int(distance.reshape(len(distance), -1).max(axis=1).argmax())
        raise Refused(
            "ConversionDiffers",
            f"output '{name}' of the converted model is off by {worst:.2g} in row {row}, at most "
            f"{_TOLERANCE} is accepted: it is not served",
        )
    return {"rows": len(answer), "max_difference": worst, "tolerance": _TOLERANCE}
