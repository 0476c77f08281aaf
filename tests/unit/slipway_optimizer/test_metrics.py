"""Arithmetic of quality."""

import math
import tracemalloc

import numpy as np
import pytest

from slipway.errors import Invalid
from slipway_optimizer.metrics import (
    absolute_errors,
    agreement,
    correctness,
    cosine,
    first_nonfinite,
    paired,
    sqnr_db,
)

SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], np.float32)


@pytest.mark.parametrize(
    ("output", "labels", "expected"),
    [
        pytest.param(SCORES, [1, 0, 0], [1, 1, 0], id="argmax"),
        pytest.param(np.array([[0.9], [0.2]], np.float32), [1, 1], [1, 0], id="one probability"),
        pytest.param(np.array([0.9, 0.2], np.float32), [1, 0], [1, 1], id="flat probability"),
        pytest.param(np.array([7, 3]), [7, 4], [1, 0], id="the class itself"),
        pytest.param(np.array(["a", "b"], object), ["a", "c"], [1, 0], id="text"),
    ],
)
def test_a_row_is_right_or_wrong(output: object, labels: object, expected: list[float]) -> None:
    assert correctness(np.asarray(output), np.asarray(labels)).tolist() == expected


def test_a_row_with_several_answers_scores_the_share_that_is_right() -> None:
    tokens = np.array([[[0, 1], [1, 0]], [[1, 0], [1, 0]]], np.float32)
    assert correctness(tokens, np.array([[1, 1], [0, 0]])).tolist() == [0.5, 1.0]


def test_labels_of_another_shape_are_refused_with_both_shapes() -> None:
    with pytest.raises(Invalid, match=r"labels have shape \[3, 2\], but .* answers with \[3\]"):
        correctness(SCORES, np.zeros((3, 2), np.int64))


def test_errors_of_regression_are_means_per_row() -> None:
    output, targets = np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([[1.0, 1.0], [0.5, 0.5]])
    assert absolute_errors(output, targets).tolist() == [1.0, 0.5]


def test_a_percent_of_noise_is_40_db() -> None:
    assert sqnr_db(np.array([1.0]), np.array([0.99])) == pytest.approx(40)


@pytest.mark.parametrize(
    ("reference", "candidate", "expected"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.0], math.inf, id="equal"),
        pytest.param([0.0, 0.0], [0.1, 0.0], -math.inf, id="noise without signal"),
        pytest.param([1, 2], [1, 3], 0.0, id="integers differ"),
        pytest.param([1.0], [1.0, 2.0], -math.inf, id="another shape"),
    ],
)
def test_closeness_at_the_edges(
    reference: list[float], candidate: list[float], expected: float
) -> None:
    assert sqnr_db(np.array(reference), np.array(candidate)) == expected


def test_agreement_counts_equal_answers() -> None:
    other = np.array([[0.1, 0.9], [0.4, 0.6], [0.3, 0.7]], np.float32)
    assert agreement(SCORES, other) == pytest.approx(2 / 3)


def test_a_constant_answer_agrees_with_nothing() -> None:
    constant = np.array([[0.0, 1.0]] * 3, np.float32)
    assert agreement(constant, constant) is None


def test_noise_of_paired_rows_is_the_loss_that_chance_may_hide() -> None:
    baseline = np.ones(400)
    baseline[0] = 0
    candidate = np.ones(400)
    candidate[1] = 0
    result = paired(baseline, candidate, row_step=1.0)
    assert result.delta == 0
    assert result.noise == pytest.approx(1.645 * math.sqrt(2 / 400) / 20)


def test_equal_rows_still_cannot_show_less_than_one_row() -> None:
    assert paired(np.ones(50), np.ones(50), row_step=1.0).noise == 1 / 50
    assert paired(np.ones(50), np.ones(50), row_step=0.0).noise == 0


def test_the_first_row_with_nan_or_infinity_is_found() -> None:
    values = np.zeros((4, 2), np.float32)
    assert first_nonfinite(values) is None
    values[2, 1] = np.inf
    values[3, 0] = np.nan
    assert first_nonfinite(values) == 2


def test_large_answers_are_compared_in_pieces_that_add_up_and_take_little_memory() -> None:
    random = np.random.default_rng(0)
    ours = random.normal(size=(24, 3, 100_000)).astype(np.float32)  # 29 MB
    theirs = ours + random.normal(scale=0.1, size=ours.shape).astype(np.float32)
    wide, error = ours.astype(np.float64), theirs.astype(np.float64) - ours
    wanted = 10 * np.log10(np.square(wide).sum() / np.square(error).sum())
    tracemalloc.start()
    assert sqnr_db(ours, theirs) == pytest.approx(wanted)
    assert cosine(ours, theirs) == pytest.approx(1 / np.sqrt(1.01), abs=1e-4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ours.nbytes * 1.5  # both in double precision are four times as much


def test_the_cosine_is_the_mean_of_rows() -> None:
    ours = np.array([[1.0, 0.0], [2.0, 2.0], [0.0, 0.0]])
    theirs = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    assert cosine(ours, theirs) == pytest.approx((np.sqrt(0.5) + 1 + 1) / 3)
    assert cosine(ours, theirs.astype(int)) == pytest.approx((np.sqrt(0.5) + 1 + 1) / 3)
    assert cosine(ours.astype(int), theirs) is None
    assert cosine(ours, theirs[:2]) is None
