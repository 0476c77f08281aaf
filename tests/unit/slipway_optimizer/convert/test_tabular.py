"""A converted estimator is held to the estimator's own answers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from slipway_optimizer.convert.order import Conversion
from slipway_optimizer.convert.tabular import compare, numeric_rows, text_rows
from slipway_optimizer.failures import Refused

ROWS = np.zeros((2, 3), np.float32)


@dataclass
class Regressor:
    answers: list[float]

    def predict(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.array(self.answers)


@dataclass
class Voter(Regressor):
    classes_: NDArray[Any] = field(default_factory=lambda: np.array([0, 1]))


@dataclass
class Classifier(Voter):
    probabilities: list[list[float]] = field(default_factory=lambda: [[0.9, 0.1], [0.2, 0.8]])

    def predict_proba(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.array(self.probabilities)


def answers(labels: list[Any], probabilities: list[list[float]]) -> dict[str, NDArray[Any]]:
    return {"label": np.array(labels), "probabilities": np.array(probabilities, np.float32)}


EQUAL = [[0.9, 0.1], [0.2, 0.8]]


def test_equal_answers_pass_with_their_figures() -> None:
    found = compare(Classifier([0, 1]), ROWS, answers([0, 1], EQUAL))
    assert (found.classes, found.output) == (None, "probabilities")
    assert found.figures["labels_differing"] == 0
    assert found.figures["max_difference"] == pytest.approx(0, abs=1e-6)


def test_class_names_are_kept_where_they_are_no_indices() -> None:
    model = Classifier(answers=["b", "c"], classes_=np.array(["b", "c"]))  # type: ignore[list-item]
    assert compare(model, ROWS, answers(["b", "c"], EQUAL)).classes == ("b", "c")


def test_another_label_in_one_row_is_refused_with_the_count() -> None:
    with pytest.raises(Refused, match="answers 1 of 2 rows with another label") as caught:
        compare(Classifier([0, 1]), ROWS, answers([0, 0], EQUAL))
    assert caught.value.reason == "ConversionDiffers"


def test_a_tie_may_fall_either_way() -> None:
    tied = [[0.5, 0.5], [0.2, 0.8]]
    found = compare(Classifier([0, 1], probabilities=tied), ROWS, answers([1, 1], tied))
    assert (found.figures["labels_differing"], found.output) == (0, "probabilities")


def test_another_probability_is_refused_with_row_and_distance() -> None:
    with pytest.raises(Refused, match=r"'probabilities' .* is off by 0\.05 in row 1, at most"):
        compare(Classifier([0, 1]), ROWS, answers([0, 1], [[0.9, 0.1], [0.25, 0.8]]))


def test_scores_that_do_not_choose_the_label_are_not_judged() -> None:
    model = Classifier([1, 1])  # as SVC's votes against its calibrated probabilities
    assert compare(model, ROWS, answers([1, 1], EQUAL)).output == "label"


def test_without_probabilities_the_label_is_judged() -> None:
    found = compare(Voter([0, 1]), ROWS, answers([0, 1], EQUAL))
    assert found == Conversion({"rows": 2, "labels_differing": 0}, output="label")


def test_numbers_are_compared_relative_to_their_size() -> None:
    large = {"variable": np.array([[1000.5], [2.0]], np.float32)}
    found = compare(Regressor([1000.0, 2.0]), ROWS, large)
    assert found.output == "variable"
    assert found.figures["max_difference"] == pytest.approx(0.0005)
    with pytest.raises(Refused, match="row 1"):
        compare(Regressor([1000.0, 2.1]), ROWS, large)


def test_numbers_that_are_none_are_no_match() -> None:
    with pytest.raises(Refused, match="off by nan"):
        compare(Regressor([1.0]), ROWS, {"variable": np.array([[np.nan]], np.float32)})


def test_generated_rows_reach_beyond_one_scale() -> None:
    rows = numeric_rows(None, 5)
    assert rows.shape == (64, 5)
    assert rows.dtype == np.float32
    assert np.abs(rows).max() > 1000
    assert np.abs(rows[::4]).max() < 10


def test_generated_texts_are_of_known_words() -> None:
    texts = text_rows(None, ["a", "b"])
    assert texts.shape == (64, 1)
    assert {word for text in texts[:, 0] for word in text.split()} == {"a", "b"}


@dataclass
class Labeller:
    answers: list[list[int]]
    probabilities: Any
    classes_: NDArray[Any] = field(default_factory=lambda: np.array([0, 1]))

    def predict(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.array(self.answers)

    def predict_proba(self, rows: NDArray[Any]) -> Any:
        return self.probabilities


SURE = [[0.9, 0.1], [0.2, 0.8]]


@pytest.mark.parametrize(
    ("probabilities", "differs"),
    [
        (np.array(SURE), True),
        (np.array([[0.9, 0.5], [0.2, 0.8]]), False),
        ([np.array(SURE), np.array([[0.8, 0.2], [0.3, 0.7]])], True),
        ([np.array(SURE), np.array([[0.5, 0.5], [0.3, 0.7]])], False),
        ([np.array(SURE), np.array([[1.0], [1.0]])], True),
    ],
    ids=["sure", "tied", "sure, by label", "tied, by label", "one class"],
)
def test_of_several_labels_a_row_only_ties_may_differ(probabilities: Any, differs: bool) -> None:
    model = Labeller([[1, 0], [0, 1]], probabilities)
    made = {"label": np.array([[1, 1], [0, 1]])}
    if differs:
        with pytest.raises(Refused, match="answers 1 of 2 rows with another label"):
            compare(model, ROWS, made)
    else:
        assert compare(model, ROWS, made) == Conversion(
            {"rows": 2, "labels_differing": 0}, output="label"
        )
