"""Scores against scikit-learn's, and differences against what is known."""

import numpy as np
import pytest
from sklearn import metrics as reference

from slipway.api.v1alpha1.validation import GateMetric, Task
from slipway_optimizer.scores import (
    Answers,
    Group,
    answers_of,
    by_group,
    compare,
    measurable,
    value_of,
)

RANDOM = np.random.default_rng(11)
ROWS, CLASSES = 300, 7


def classified(
    noise: float = 1.0,
) -> tuple[Answers, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    labels = RANDOM.integers(0, CLASSES, ROWS)
    scores = RANDOM.normal(0, noise, (ROWS, CLASSES))
    scores[np.arange(ROWS), labels] += 1
    scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    found = answers_of(scores, labels, Task.CLASSIFICATION)
    assert found is not None
    return found, scores


def test_macro_scores_are_scikit_learns() -> None:
    answers, scores = classified()
    labels, classes = answers.labels, answers.classes
    average = {"average": "macro", "zero_division": 0}
    assert {m: value_of(m, answers) for m in measurable(answers, Task.CLASSIFICATION)} == {
        GateMetric.PRECISION: pytest.approx(reference.precision_score(labels, classes, **average)),
        GateMetric.RECALL: pytest.approx(reference.recall_score(labels, classes, **average)),
        GateMetric.F1: pytest.approx(reference.f1_score(labels, classes, **average)),
        GateMetric.AUC: pytest.approx(reference.roc_auc_score(labels, scores, multi_class="ovr")),
        GateMetric.TOP5_ACCURACY: pytest.approx(
            reference.top_k_accuracy_score(labels, scores, k=5)
        ),
    }


def test_regression_scores_are_scikit_learns() -> None:
    targets = RANDOM.normal(size=ROWS)
    output = (targets + RANDOM.normal(0, 0.3, ROWS)).reshape(-1, 1)
    answers = answers_of(output, targets, Task.REGRESSION)
    assert answers is not None
    assert value_of(GateMetric.R2, answers) == pytest.approx(reference.r2_score(targets, output))
    assert value_of(GateMetric.ROOT_MEAN_SQUARED_ERROR, answers) == pytest.approx(
        reference.root_mean_squared_error(targets, output)
    )


def test_one_score_a_row_is_the_second_class() -> None:
    labels = np.array([0, 1, 1, 0])
    answers = answers_of(np.array([[0.1], [0.9], [0.4], [0.2]]), labels, Task.CLASSIFICATION)
    assert answers is not None
    assert answers.classes.tolist() == [0, 1, 0, 0]
    assert value_of(GateMetric.AUC, answers) == 1.0


def test_classes_by_name_have_no_ranks() -> None:
    answers = answers_of(np.array(["a", "b", "b"]), np.array(["a", "b", "c"]), Task.CLASSIFICATION)
    assert answers is not None
    assert GateMetric.AUC not in measurable(answers, Task.CLASSIFICATION)
    assert value_of(GateMetric.RECALL, answers) == pytest.approx(2 / 3)


def test_several_labels_a_row_have_no_single_answer() -> None:
    assert answers_of(np.zeros((4, 3, 2)), np.zeros((4, 3), int), Task.CLASSIFICATION) is None


def test_the_difference_of_equal_answers_is_nothing_but_one_row_can_show() -> None:
    answers, _ = classified()
    found = compare(GateMetric.F1, answers, answers)
    assert (found.delta, found.noise, found.rows) == (0, 1 / ROWS, ROWS)


def test_a_real_loss_is_larger_than_its_noise_and_always_the_same() -> None:
    good, _ = classified(noise=0.3)
    classes = good.classes.copy()
    classes[::4] = (classes[::4] + 1) % CLASSES
    bad = Answers(good.labels, classes, good.scores)
    found = compare(GateMetric.F1, good, bad)
    assert found.delta == pytest.approx(-0.25, abs=0.05)
    assert 0 < found.noise < 0.1
    assert compare(GateMetric.F1, good, bad) == found


def test_groups_come_with_the_largest_loss_first() -> None:
    names = np.array(["de", "fr", "de", "fr"])
    before, after = np.array([1.0, 1, 1, 0]), np.array([1.0, 0, 1, 0])
    assert by_group(names, before, after) == (Group("fr", 2, 0.5, 0.0), Group("de", 2, 1.0, 1.0))
