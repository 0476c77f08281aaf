"""Rows of tables and texts, and how a converted estimator is held to its own answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from slipway.errors import Invalid
from slipway_optimizer.arrays import Array, Arrays, load_npz
from slipway_optimizer.convert.order import Conversion
from slipway_optimizer.datasets import MAX_BYTES
from slipway_optimizer.failures import Refused

INPUT: Final = "X"
LABEL_OUTPUT: Final = "label"
SCORES_OUTPUT: Final = "probabilities"
TOLERANCE: Final = 1e-3  # relative to max(1, |value|)
_MAX_ROWS: Final = 2_000
_GENERATED_ROWS: Final = 64
# What decides the labels of mixtures, of outlier detectors and of clusters, in the order to ask.
_DECIDES: Final = ("predict_proba", "decision_function", "transform")
_SCALES: Final = (1.0, 10.0, 100.0, 1000.0)  # trees split where the training data was


class Estimator(Protocol):
    """What scikit-learn calls one. Classifiers also have ``classes_``."""

    def predict(self, rows: Any) -> Any:
        """Labels or numbers, one a row."""


def numeric_rows(dataset: Path | None, features: int) -> Array:
    """Rows to compare on: the data set's where it has fitting ones, else generated ones.

    Returns:
        float32 [n, features].
    """
    held = _held(dataset)
    if held.ndim == 2 and held.shape[1] == features and held.dtype.kind in "fiub" and len(held):
        return held[:_MAX_ROWS].astype(np.float32)
    random = np.random.default_rng(0)
    rows = random.standard_normal((_GENERATED_ROWS, features))
    rows *= np.resize(_SCALES, _GENERATED_ROWS)[:, None]
    return rows.astype(np.float32)


def text_rows(dataset: Path | None, words: Sequence[str]) -> Array:
    """Texts to compare on: the data set's, else sentences of known words.

    Returns:
        str [n, 1].
    """
    held = _held(dataset)
    if held.dtype.kind == "U" and len(held) and held.size == len(held):
        return held[:_MAX_ROWS].reshape(-1, 1)
    random = np.random.default_rng(0)
    known = np.array(sorted(map(str, words)) or ["word"])
    texts = [" ".join(random.choice(known, 1 + n % 8)) for n in range(_GENERATED_ROWS)]
    return np.array(texts).reshape(-1, 1)


def _held(dataset: Path | None) -> Array:
    if dataset is not None:
        try:
            return load_npz(dataset, limit=MAX_BYTES).get(INPUT, np.empty(0))
        except Invalid:
            pass  # the data set is refused with its reason where it is loaded
    return np.empty(0)


def compare(estimator: Estimator, rows: Any, answers: Arrays) -> Conversion:
    """Hold the converted model's answers to the estimator's own.

    Args:
        estimator: fitted; a classifier if it has ``classes_``.
        rows: as the estimator takes them.
        answers: of the converted model to the same rows.

    Raises:
        Refused: ``ConversionDiffers``, with the figures.
    """
    predicted = np.asarray(estimator.predict(rows))
    classes_ = getattr(estimator, "classes_", None)
    if classes_ is None and len(answers) > 1:
        return _compare_decided(estimator, rows, predicted, answers)
    if classes_ is None:
        (output,) = answers
        return Conversion(numbers(predicted, answers[output], output), output=output)
    labels = answers[LABEL_OUTPUT]
    if predicted.ndim > 1:
        return _compare_many(estimator, rows, predicted, labels)
    predict_proba = getattr(estimator, "predict_proba", None)
    expected = None if predict_proba is None else np.asarray(predict_proba(rows))
    differs = labels.astype(np.str_) != predicted.astype(np.str_)
    if expected is not None:
        differs &= ~_tied(expected, np.asarray(classes_), labels, predicted)
    differing = int(differs.sum())
    figures: dict[str, float | int | str] = {"rows": len(labels), "labels_differing": differing}
    if differing:
        raise _differs(differing, len(labels))
    if expected is None:
        return Conversion(figures, output=LABEL_OUTPUT)
    scores = answers[SCORES_OUTPUT]
    figures |= numbers(expected, scores, SCORES_OUTPUT)
    classes = tuple(value.item() for value in np.asarray(classes_))
    chosen = np.asarray(classes)[scores.argmax(axis=1)]
    if ((chosen != predicted) & ~_tied(expected, np.asarray(classes_), chosen, predicted)).any():
        return Conversion(figures, output=LABEL_OUTPUT)  # SVC's votes and probabilities may differ
    usual = classes == tuple(range(len(classes)))
    return Conversion(figures, None if usual else classes, SCORES_OUTPUT)


def _compare_decided(
    estimator: Estimator, rows: Any, predicted: Array, answers: Arrays
) -> Conversion:
    """The same for clusters and outliers: a label a row, and the numbers that decided it.

    Raises:
        Refused: ``ConversionDiffers``, with the figures; ``ConversionFailed`` when nothing of the
            estimator says what the numbers should be.
    """
    label = answers[LABEL_OUTPUT]
    figures: dict[str, float | int | str] = {"rows": len(label)}
    undecided = np.zeros(len(label), np.bool_)
    for name in (name for name in answers if name != LABEL_OUTPUT):
        method = next((m for m in _DECIDES if hasattr(estimator, m)), None)
        if method is None:
            raise Refused(
                "ConversionFailed",
                f"output '{name}' of the converted model has no counterpart in "
                f"{type(estimator).__name__} to compare it with: export it to ONNX yourself",
            )
        expected = np.asarray(getattr(estimator, method)(rows)).reshape(len(label), -1)
        figures |= numbers(expected, answers[name], name)
        undecided |= _near(expected)
    differing = int(((label != predicted) & ~undecided).sum())
    if differing:
        raise _differs(differing, len(label))
    return Conversion({**figures, "labels_differing": 0}, output=LABEL_OUTPUT)


def _near(decided: Array) -> Array:
    """Rows whose label the smallest change turns: one number at 0, or two that lead alike."""
    if decided.shape[1] == 1:
        at_zero: Array = np.abs(decided[:, 0]) <= TOLERANCE
        return at_zero
    ordered = np.sort(decided, axis=1)
    ends = np.minimum(ordered[:, 1] - ordered[:, 0], ordered[:, -1] - ordered[:, -2])
    close: Array = ends <= TOLERANCE
    return close


def _compare_many(estimator: Estimator, rows: Any, predicted: Array, labels: Array) -> Conversion:
    """The same for several labels a row: the labels are what is judged.

    Raises:
        Refused: ``ConversionDiffers``, with the count.
    """
    wrong = labels.astype(np.str_) != predicted.astype(np.str_)
    predict_proba = getattr(estimator, "predict_proba", None)
    if predict_proba is not None:
        wrong &= ~_undecided(predict_proba(rows))
    differing = int(wrong.any(axis=1).sum())
    if differing:
        raise _differs(differing, len(labels))
    return Conversion({"rows": len(labels), "labels_differing": 0}, output=LABEL_OUTPUT)


def _undecided(probabilities: Any) -> Array:
    """Where the estimator finds two answers equally probable.

    Args:
        probabilities: [rows, labels] of each label, or for each label an array [rows, classes].
    """
    if isinstance(probabilities, list):
        best = [np.sort(each, axis=1)[:, -2:] for each in probabilities]
        close = [(two[:, -1] - two[:, 0] <= TOLERANCE) & (two.shape[1] > 1) for two in best]
        undecided: Array = np.stack(close, axis=1)
        return undecided
    near: Array = np.abs(np.asarray(probabilities) - 0.5) <= TOLERANCE
    return near


def _differs(differing: int, rows: int) -> Refused:
    return Refused(
        "ConversionDiffers",
        f"the converted model answers {differing} of {rows} rows with another label than the "
        "estimator, so it is not served: choose another estimator, or export it to ONNX yourself",
    )


def _tied(expected: Array, classes: Array, one: Array, other: Array) -> Array:
    """Rows in which the estimator itself finds both labels equally probable."""
    place = {str(name): number for number, name in enumerate(classes)}
    each = np.arange(len(expected))

    def of(labels: Array) -> Array:
        probability: Array = expected[each, [place.get(str(label), 0) for label in labels]]
        return probability

    tied: Array = np.abs(of(one) - of(other)) <= TOLERANCE
    return tied


def numbers(expected: Array, answer: Array, name: str) -> dict[str, float | int | str]:
    """Figures of the comparison of one output.

    Raises:
        Refused: ``ConversionDiffers``, beyond ``TOLERANCE``.
    """
    expected = expected.reshape(answer.shape).astype(np.float64)
    distance = np.abs(answer - expected) / np.maximum(1.0, np.abs(expected))
    worst = float(distance.max())
    if not worst <= TOLERANCE:
        row = int(distance.reshape(len(distance), -1).max(axis=1).argmax())
        raise Refused(
            "ConversionDiffers",
            f"output '{name}' of the converted model is off by {worst:.2g} in row {row}, at most "
            f"{TOLERANCE} is accepted, so it is not served: train with a standard objective, or "
            "export it to ONNX yourself",
        )
    return {"rows": len(answer), "max_difference": worst, "tolerance": TOLERANCE}
