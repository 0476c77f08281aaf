"""What outputs are worth, against labels and against each other. Pure numpy."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slipway.errors import Invalid
from slipway_optimizer.arrays import Array

_Z95: Final = 1.645  # one-sided: only a loss is feared
_PIECE: Final = 1 << 20  # numbers that are compared at a time
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Paired:
    """Difference of two variants on the same rows.

    Attributes:
        delta: mean of (candidate - baseline) per row.
        noise: the loss that chance alone may hide, at 95 %; never less than one row can show.
        rows: how many.
    """

    delta: float
    noise: float
    rows: int


def paired(baseline: Scores, candidate: Scores, *, row_step: float) -> Paired:
    """Compare per-row scores of the same rows.

    Args:
        baseline: one score per row.
        candidate: likewise.
        row_step: the least by which one row's score can change; 0 for continuous scores.

    The noise is 1.645 s / sqrt(n) with s the standard deviation of the per-row differences, as in
    McNemar's test for accuracy. Worked example: of 400 rows one is newly right and one newly wrong
    -> delta 0, noise 1.645 * sqrt(2 / 400) / 20 = 0.0058.
    """
    difference = candidate - baseline
    rows = len(difference)
    noise = _Z95 * float(difference.std()) / math.sqrt(rows)
    return Paired(float(difference.mean()), max(noise, row_step / rows), rows)


def correctness(output: Array, labels: Array) -> Scores:
    """1.0 where a row is right, else 0.0.

    A floating-point output answers with its argmax over the last dimension, or, with one value per
    row, with *value > 0.5*; an integer or text output is the class itself. With several labels in a
    row, the row's score is the share that is right.

    Raises:
        Invalid: labels and answers differ in shape.
    """
    answers = classes_of(output)
    if answers.shape != labels.shape:
        answers = answers.reshape(labels.shape) if answers.size == labels.size else answers
    if answers.shape != labels.shape:
        raise Invalid(
            f"labels have shape {list(labels.shape)}, but the output answers with "
            f"{list(answers.shape)}: one label per answer is needed"
        )
    if answers.dtype.kind in "OU":
        right = answers.astype(np.str_) == labels.astype(np.str_)
    else:
        right = answers == labels
    scores: Scores = right.reshape(len(right), -1).mean(axis=1, dtype=np.float64)
    return scores


def absolute_errors(output: Array, targets: Array) -> Scores:
    """Mean absolute error of each row.

    Raises:
        Invalid: targets and output differ in size.
    """
    if output.size != targets.size:
        raise Invalid(
            f"labels have shape {list(targets.shape)}, but the output has {list(output.shape)}"
        )
    distance = np.abs(output.astype(np.float64).reshape(targets.shape) - targets)
    scores: Scores = distance.reshape(len(distance), -1).mean(axis=1)
    return scores


def classes_of(output: Array) -> Array:
    """The class that each row (or position) answers with."""
    if output.dtype.kind != "f":
        return output
    if output.ndim > 1 and output.shape[-1] > 1:
        best: Array = output.argmax(axis=-1)
        return best
    flat = output.reshape(output.shape[:-1]) if output.ndim > 1 else output
    above: Array = (flat > 0.5).astype(np.int64)
    return above


def sqnr_db(reference: Array, candidate: Array) -> float:
    """Signal to noise in dB: 10 log10(sum r^2 / sum (r - c)^2); infinite when equal.

    Worked example: 1.0 answered as 0.99 -> 40 dB. Outputs that are not floating-point are compared
    as equal (infinite) or not (0 dB).
    """
    if reference.shape != candidate.shape:
        return -math.inf
    if reference.dtype.kind != "f":
        return math.inf if np.array_equal(reference, candidate) else 0.0
    noise = signal = 0.0
    for ours, theirs in _pieces(reference.reshape(-1), candidate.reshape(-1)):
        noise += float(np.square(ours - theirs).sum())
        signal += float(np.square(ours).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def cosine(reference: Array, candidate: Array) -> float | None:
    """The mean cosine of rows with their counterparts; ``None`` unless both are floats.

    Worked example: (1, 0) against (1, 1) -> 0.7071. A row of zeros counts as 1 when both are zero.
    """
    if reference.shape != candidate.shape or reference.dtype.kind != "f" or not len(reference):
        return None
    rows, total = len(reference), 0.0
    for ours, theirs in _pieces(reference.reshape(rows, -1), candidate.reshape(rows, -1)):
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        equal = (ours == theirs).all(axis=1)
        products = (ours * theirs).sum(axis=1) / np.where(lengths, lengths, 1.0)
        total += float(np.where(equal, 1.0, products).sum())
    return total / rows


def _pieces(reference: Array, candidate: Array) -> Iterator[tuple[Array, Array]]:
    """Some rows of both at a time, in double precision: all of them would take twice their size."""
    each = max(1, reference[:1].size)
    step = max(1, _PIECE // each)
    for start in range(0, len(reference), step):
        piece = slice(start, start + step)
        yield reference[piece].astype(np.float64), candidate[piece].astype(np.float64)


def agreement(reference: Array, candidate: Array) -> float | None:
    """Share of rows with the same answer; ``None`` when the reference has one answer only.

    A reference that answers every row alike would agree with a constant.
    """
    ours, theirs = classes_of(reference), classes_of(candidate)
    if ours.shape != theirs.shape or len(np.unique(ours)) < 2:
        return None
    return float((ours == theirs).mean())


def first_nonfinite(output: Array) -> int | None:
    """Row of the first NaN or infinity."""
    if output.dtype.kind != "f":
        return None
    bad = ~np.isfinite(output.reshape(len(output), -1)).all(axis=1)
    return int(bad.argmax()) if bad.any() else None


def close(reference: Array, candidate: Array, *, rtol: float, atol: float) -> bool:
    """Equal within tolerance; integers and text exactly."""
    if reference.shape != candidate.shape:
        return False
    if reference.dtype.kind != "f":
        return bool(np.array_equal(reference, candidate))
    return bool(np.allclose(candidate, reference, rtol=rtol, atol=atol))
