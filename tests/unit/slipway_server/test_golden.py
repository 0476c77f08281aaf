import numpy as np
import pytest

from slipway.errors import Invalid
from slipway_server.golden import GOLDEN, Sample, check, difference, samples_of
from slipway_server.protocol.tensors import Array, TensorSpec

X = TensorSpec("x", "FP32", (-1, 2))
P = TensorSpec("p", "FP32", (-1, 3))
LABEL = TensorSpec("label", "INT64", (-1,))


def sample(p: list[float], label: int) -> Sample:
    outputs = {"p": np.array([p], np.float32), "label": np.array([label])}
    return Sample({"x": np.ones((1, 2), np.float32)}, outputs)


def run(p: list[float], label: int) -> list[Array]:
    return [np.array([p], np.float32), np.array([label])]


def test_samples_are_rows_of_the_arrays() -> None:
    arrays = {"input:x": np.arange(6, dtype=np.float64).reshape(3, 2), "output:p": np.eye(3)}
    samples = samples_of(arrays, [X], [P, LABEL], limit=2)
    assert [entry.feeds["x"].tolist() for entry in samples] == [[[0, 1]], [[2, 3]]]
    assert samples[0].feeds["x"].dtype == np.float32
    assert [entry.outputs["p"].tolist() for entry in samples] == [[[1, 0, 0]], [[0, 1, 0]]]


def test_samples_of_a_model_without_a_batch_dimension_are_whole_inputs() -> None:
    spec = TensorSpec("x", "FP32", (2,))
    samples = samples_of({"input:x": np.ones((3, 2))}, [spec], [], limit=8)
    assert [entry.feeds["x"].shape for entry in samples] == [(2,)] * 3


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "lack the array 'input:x'"),
        ({"input:x": np.ones((3, 2)), "output:p": np.ones((2, 3))}, "'output:p' has another"),
    ],
)
def test_samples_that_do_not_fit_are_refused(arrays: dict[str, Array], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        samples_of(arrays, [X], [P], limit=8)


def test_answers_within_the_tolerance_pass() -> None:
    check([sample([0.7, 0.2, 0.1], 0)], [P, LABEL], lambda _: run([0.706, 0.199, 0.1005], 0))


def test_a_wrong_answer_is_told_with_sample_output_and_numbers() -> None:
    samples = [sample([0.7, 0.2, 0.1], 0), sample([0.1, 0.8, 0.1], 1)]
    answers = iter([run([0.7, 0.2, 0.1], 0), run([0.1, 0.7, 0.2], 1)])
    message = "golden sample 1: output 'p' is not what was recorded: 0.2 instead of 0.1"
    with pytest.raises(Invalid, match=message):
        check(samples, [P, LABEL], lambda _: next(answers))


def test_a_wrong_label_is_told_unless_its_scores_tie() -> None:
    with pytest.raises(Invalid, match=r"output 'label' is not .*: 1 instead of 0;"):
        check([sample([0.7, 0.2, 0.1], 0)], [P, LABEL], lambda _: run([0.7, 0.2, 0.1], 1))
    check([sample([0.4, 0.4, 0.2], 0)], [P, LABEL], lambda _: run([0.399, 0.401, 0.2], 1))


def test_only_finite_values_are_compared_but_nan_is_no_finite_answer() -> None:
    nan = np.array([np.nan, 1.0])
    assert difference(np.array([5.0, 1.0]), nan, GOLDEN) == ""
    assert difference(nan, np.array([1.0, 1.0]), GOLDEN) == "nan instead of 1"
    assert difference(np.array([np.nan]), np.array([np.inf]), GOLDEN) == ""


def test_shape_and_text_are_compared_exactly() -> None:
    assert difference(np.ones((1, 2)), np.ones((1, 3)), GOLDEN) == "shape [1, 2] instead of [1, 3]"
    found, expected = np.array(["a", "b"], object), np.array(["a", "c"], object)
    assert difference(found, expected, GOLDEN) == "'b' instead of 'c'"
