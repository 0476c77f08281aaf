"""What labels tell of outputs, beyond one number: macro scores, groups of rows, noise. Pure numpy.

Macro averages run over the classes that the labels have; a class that is never answered has
precision 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slipway.api.v1alpha1.validation import CLASSIFICATION_METRICS, GateMetric, Task
from slipway_optimizer.arrays import Array
from slipway_optimizer.metrics import Paired, classes_of

LOWER_IS_BETTER: Final = frozenset(
    {GateMetric.MEAN_ABSOLUTE_ERROR, GateMetric.ROOT_MEAN_SQUARED_ERROR}
)
_RESAMPLES: Final = 200
_SEED: Final = 20_240_601
_QUANTILE: Final = 0.95
_TOP: Final = 5
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One variant's answers to rows with labels, one label each.

    Attributes:
        labels, classes: indices into the same list of classes; targets and values for regression.
        scores: float [rows, classes] when the output has one score per class.
    """

    labels: Array
    classes: Array
    scores: Array | None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one class or slice: how many, and the share that is right, before and after."""

    name: str
    rows: int
    baseline: float
    candidate: float


def answers_of(output: Array, labels: Array, task: Task) -> Answers | None:
    """Line outputs up with labels; ``None`` when there is no single label per row."""
    if labels.ndim != 1 or len(labels) != len(output):
        return None
    if task is Task.REGRESSION:
        if output.size != len(labels):
            return None
        return Answers(labels.astype(np.float64), output.astype(np.float64).ravel(), None)
    found = classes_of(output).reshape(len(output), -1)
    if found.shape[1] != 1:
        return None
    scores = None
    if output.dtype.kind == "f" and output.ndim == 2:
        scores = output if output.shape[1] > 1 else np.hstack((1 - output, output))
        return Answers(labels.astype(np.int64), found[:, 0].astype(np.int64), scores)
    names, both = np.unique(
        np.concatenate((labels.astype(np.str_), found[:, 0].astype(np.str_))), return_inverse=True
    )
    del names
    return Answers(both[: len(labels)], both[len(labels) :], scores)


def measurable(answers: Answers, task: Task) -> tuple[GateMetric, ...]:
    """Which metrics these answers allow."""
    match task:
        case Task.NONE:
            return ()
        case Task.REGRESSION:
            return (GateMetric.ROOT_MEAN_SQUARED_ERROR, GateMetric.R2)
        case Task.CLASSIFICATION:
            if answers.scores is None:
                return (GateMetric.PRECISION, GateMetric.RECALL, GateMetric.F1)
            wide = answers.scores.shape[1] > _TOP
            return tuple(
                m
                for m in CLASSIFICATION_METRICS
                if m is not GateMetric.ACCURACY and (wide or m is not GateMetric.TOP5_ACCURACY)
            )


def value_of(metric: GateMetric, answers: Answers) -> float:
    """One figure."""
    return _FIGURES[metric](answers)


def compare(metric: GateMetric, baseline: Answers, candidate: Answers) -> Paired:
    """Difference of two variants on the same rows.

    The noise is the 95 % quantile of the absolute deviations of the difference over 200 paired
    bootstrap resamples of the rows (Efron, 1979), and at least what one row can show.
    """
    figure = _FIGURES[metric]
    delta = figure(candidate) - figure(baseline)
    rows = len(baseline.labels)
    random = np.random.default_rng(_SEED)
    spread = np.empty(_RESAMPLES)
    for number in range(_RESAMPLES):
        some = random.integers(0, rows, rows)
        spread[number] = figure(_take(candidate, some)) - figure(_take(baseline, some))
    noise = float(np.quantile(np.abs(spread - delta), _QUANTILE))
    step = 1 / rows if metric in CLASSIFICATION_METRICS else 0.0
    return Paired(delta, max(noise, step), rows)


def by_group(
    names: Array, baseline: NDArray[np.float64], candidate: NDArray[np.float64]
) -> tuple[Group, ...]:
    """Mean per-row scores of each group, the largest loss first.

    Args:
        names: one per row.
        baseline: per-row scores.
        candidate: likewise.
    """
    groups = []
    for name in np.unique(names):
        rows = names == name
        means = float(baseline[rows].mean()), float(candidate[rows].mean())
        groups.append(Group(str(name), int(rows.sum()), *means))
    return tuple(sorted(groups, key=lambda g: (g.candidate - g.baseline, g.name)))


def _take(answers: Answers, rows: Indices) -> Answers:
    scores = None if answers.scores is None else answers.scores[rows]
    return Answers(answers.labels[rows], answers.classes[rows], scores)


def _counts(answers: Answers) -> tuple[Array, Array, Array, Array]:
    """For every class that the labels have: hits, labelled, answered; and which ones they are."""
    most = int(max(answers.labels.max(), answers.classes.max(), 0)) + 1
    labelled = np.bincount(answers.labels, minlength=most)
    answered = np.bincount(answers.classes, minlength=most)
    right = answers.labels[answers.labels == answers.classes]
    hits = np.bincount(right, minlength=most)
    there = np.flatnonzero(labelled)
    return hits[there], labelled[there], answered[there], there


def _precision(answers: Answers) -> float:
    hits, _, answered, _ = _counts(answers)
    return float((hits / np.maximum(answered, 1)).mean())


def _recall(answers: Answers) -> float:
    hits, labelled, _, _ = _counts(answers)
    return float((hits / labelled).mean())


def _f1(answers: Answers) -> float:
    hits, labelled, answered, _ = _counts(answers)
    return float((2 * hits / (labelled + answered)).mean())


def _auc(answers: Answers) -> float:
    """One class against the rest, by ranks (Mann-Whitney), averaged over the labels' classes."""
    assert answers.scores is not None
    areas = []
    for wanted in np.unique(answers.labels):
        ours = answers.labels == wanted
        if ours.all() or wanted >= answers.scores.shape[1]:
            continue
        column = answers.scores[:, wanted]
        values, place, count = np.unique(column, return_inverse=True, return_counts=True)
        del values
        ranks = (np.cumsum(count) - (count - 1) / 2)[place]  # ties share their mean rank
        n, m = int(ours.sum()), int((~ours).sum())
        areas.append((ranks[ours].sum() - n * (n + 1) / 2) / (n * m))
    return float(np.mean(areas)) if areas else 0.5


def _top(answers: Answers) -> float:
    assert answers.scores is not None
    best = np.argsort(-answers.scores, axis=1, kind="stable")[:, :_TOP]
    return float((best == answers.labels[:, None]).any(axis=1).mean())


def _accuracy(answers: Answers) -> float:
    return float((answers.labels == answers.classes).mean())


def _mean_error(answers: Answers) -> float:
    return float(np.abs(answers.classes - answers.labels).mean())


def _root_error(answers: Answers) -> float:
    return float(np.sqrt(np.square(answers.classes - answers.labels).mean()))


def _r2(answers: Answers) -> float:
    total = float(np.square(answers.labels - answers.labels.mean()).sum())
    left = float(np.square(answers.classes - answers.labels).sum())
    return 1 - left / total if total > 0 else 0.0


_FIGURES: Final[dict[GateMetric, Callable[[Answers], float]]] = {
    GateMetric.ACCURACY: _accuracy,
    GateMetric.PRECISION: _precision,
    GateMetric.RECALL: _recall,
    GateMetric.F1: _f1,
    GateMetric.AUC: _auc,
    GateMetric.TOP5_ACCURACY: _top,
    GateMetric.MEAN_ABSOLUTE_ERROR: _mean_error,
    GateMetric.ROOT_MEAN_SQUARED_ERROR: _root_error,
    GateMetric.R2: _r2,
}
