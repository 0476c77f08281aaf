"""Data sets: what is wrong is said with array, row and column."""
# ruff: noqa: E501 - a row of a table is one line

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway.api.v1alpha1.validation import Task
from slipway.artifacts.manifest import Tensor
from slipway.errors import Invalid
from slipway_optimizer.arrays import Arrays, load_npz, save_npz
from slipway_optimizer.datasets import (
    MAX_CALIBRATION_ROWS,
    Dataset,
    Expectations,
    check,
    index_labels,
    load,
    split,
)
from slipway_optimizer.failures import Refused
from slipway_optimizer.tensors import Signature

OUTPUT = Tensor(name="p", datatype="FP32", shape=(-1, 3))
SIGNATURE = Signature(
    inputs=(
        Tensor(name="x", datatype="FP32", shape=(-1, 4)),
        Tensor(name="ids", datatype="INT32", shape=(-1, -1)),
    ),
    outputs=(OUTPUT,),
)


def arrays(**changes: Any) -> Arrays:
    whole: Arrays = {
        "x": np.zeros((5, 4), np.float32),
        "ids": np.zeros((5, 7), np.int32),
        "labels": np.array([0, 1, 2, 0, 1]),
    }
    whole |= {name: value for name, value in changes.items() if value is not None}
    return {name: whole[name] for name in whole if changes.get(name, 0) is not None}


def expectations(
    task: Task = Task.CLASSIFICATION,
    *,
    output: Tensor = OUTPUT,
    classes: tuple[int | str, ...] | None = None,
) -> Expectations:
    return Expectations(task=task, labels="labels", output=output, classes=classes)


def with_value(array: np.ndarray[Any, Any], place: tuple[int, ...], value: object) -> Any:
    array = array.copy()
    array[place] = value
    return array


def test_rows_come_with_the_inputs_own_dtypes() -> None:
    wide = arrays(x=np.ones((5, 4)), ids=np.ones((5, 7), np.int64))
    dataset = check(wide, SIGNATURE, expectations())
    assert {name: array.dtype.name for name, array in dataset.inputs.items()} == {
        "x": "float32",
        "ids": "int32",
    }
    assert dataset.rows == 5


ZEROS = np.zeros((5, 4), np.float32)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"x": None}, "no array 'x' for the model's input; it has ids, labels", id="missing"),
        pytest.param({"x": np.zeros((5, 3), np.float32)}, r"array 'x' has shape \[5, 3\]: dimension 1 must be 4", id="columns"),
        pytest.param({"x": np.zeros((5, 4, 1), np.float32)}, r"shape \[5, 4, 1\], but the input has 2 dimensions: expected \[-1, 4\]", id="rank"),
        pytest.param({"x": np.zeros((0, 4), np.float32)}, "array 'x' has no rows", id="empty"),
        pytest.param({"ids": np.zeros((5, 0), np.int32)}, r"array 'ids' has shape \[5, 0\]: requests with an empty dimension are not served", id="an empty dimension"),
        pytest.param({"x": np.float32(1)}, "array 'x' has no rows", id="a single number"),
        pytest.param({"x": with_value(ZEROS, (3, 2), np.nan)}, "array 'x' row 3, column 2: the value is NaN or infinite", id="NaN"),
        pytest.param({"x": with_value(ZEROS, (1, 0), np.inf)}, "array 'x' row 1, column 0", id="infinity"),
        pytest.param({"x": np.full((5, 4), 1e300)}, "array 'x' row 0, column 0: the value does not fit float32", id="too large"),
        pytest.param({"x": np.full((5, 4), "a")}, "array 'x' is <U1, but the input is FP32", id="text"),
        pytest.param({"ids": np.zeros((5, 7), np.float32)}, "array 'ids' is float32, but the input is INT32: convert it to int32", id="fractions"),
        pytest.param({"ids": with_value(np.zeros((5, 7), np.int64), (4, 6), 2**40)}, "array 'ids' row 4, column 6: the value does not fit int32", id="overflow"),
        pytest.param({"labels": None}, "no array 'labels' with labels; it has ids, x: set validation.labels", id="no labels"),
        pytest.param({"labels": np.array([0, 1, 3, 0, 0])}, "array 'labels' row 2: label 3 is outside 0..2, the classes of output 'p'", id="label too large"),
        pytest.param({"labels": np.array([0, 1, 0, 0, -1])}, "array 'labels' row 4: label -1 is outside 0..2", id="negative label"),
        pytest.param({"labels": np.array([0, 1, 0.5, 0, 0])}, "array 'labels' row 2: 0.5 is no class index", id="half a class"),
        pytest.param({"labels": np.array([0, np.nan, 0, 0, 0])}, "array 'labels' row 1: the value is NaN", id="NaN label"),
        pytest.param({"labels": np.array(["a"] * 5)}, "array 'labels' is <U1: expected class indices", id="text labels"),
        pytest.param({"labels": np.array([0, 1, 2])}, r"arrays differ in rows \(x 5, ids 5, labels 3\)", id="rows differ"),
        pytest.param({"expected:p": np.zeros((4, 3))}, "expected:p 4", id="expected rows differ"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        check(arrays(**changed), SIGNATURE, expectations())


def test_labels_are_class_names_where_the_model_has_some() -> None:
    named = arrays(labels=np.array(["b", "a", "c", "a", "a"]))
    classes = ("a", "b", "c")
    dataset = check(named, SIGNATURE, expectations(classes=classes))
    labels = index_labels(dataset, classes).labels
    assert labels is not None
    assert labels.tolist() == [1, 0, 2, 0, 0]
    with pytest.raises(Invalid, match="row 0: the model knows no class 'b', but a, c"):
        check(named, SIGNATURE, expectations(classes=("a", "c")))


def test_an_output_that_is_the_class_itself_takes_any_integer() -> None:
    output = Tensor(name="label", datatype="INT64", shape=(-1,))
    dataset = check(arrays(labels=np.full(5, 70)), SIGNATURE, expectations(output=output))
    assert dataset.labels is not None


def test_without_a_task_labels_are_not_asked_for() -> None:
    assert check(arrays(labels=None), SIGNATURE, expectations(Task.NONE)).labels is None


def test_regression_takes_numbers() -> None:
    dataset = check(arrays(labels=np.arange(5) / 2), SIGNATURE, expectations(Task.REGRESSION))
    assert dataset.labels is not None
    assert dataset.labels.dtype == np.float64


def test_rows_that_calibrate_never_judge_and_all_are_used() -> None:
    calibrating, judging = split(500, 0.2, "sha256:a")
    assert len(calibrating) == 100
    assert sorted([*calibrating.tolist(), *judging.tolist()]) == list(range(500))


def test_the_split_depends_on_the_bytes_alone() -> None:
    assert split(50, 0.2, "sha256:a")[0].tolist() == split(50, 0.2, "sha256:a")[0].tolist()
    assert split(50, 0.2, "sha256:a")[0].tolist() != split(50, 0.2, "sha256:b")[0].tolist()


@pytest.mark.parametrize(
    ("rows", "fraction", "expected"),
    [(2, 0.01, 1), (2, 0.99, 1), (100_000, 0.2, MAX_CALIBRATION_ROWS)],
)
def test_both_parts_have_a_row_and_calibration_is_capped(
    rows: int, fraction: float, expected: int
) -> None:
    calibrating, judging = split(rows, fraction, "d")
    assert (len(calibrating), len(judging)) == (expected, rows - expected)


def test_one_row_is_too_few() -> None:
    with pytest.raises(Refused, match="1 row is too few"):
        split(1, 0.2, "d")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"data set: the file is not an .npz archive") as caught:
        load(path, SIGNATURE, expectations())
    assert caught.value.reason == "DatasetInvalid"


def test_pickled_objects_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(Invalid, match="array 'x' is not readable or holds objects"):
        load_npz(path, limit=1 << 20)


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.zeros(1 << 20))
    with pytest.raises(Invalid, match="unpacks to 8388736 bytes, more than 1048576"):
        load_npz(path, limit=1 << 20)


def test_equal_arrays_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_npz(tmp_path / name, arrays())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = load_npz(tmp_path / "a", limit=1 << 20)
    assert {n: a.tolist() for n, a in loaded.items()} == {
        n: a.tolist() for n, a in arrays().items()
    }


def test_rows_are_taken_from_every_array() -> None:
    dataset = check(arrays(**{"expected:p": np.zeros((5, 3))}), SIGNATURE, expectations())
    some: Dataset = dataset.take(np.array([4, 0]))
    assert (some.rows, len(some.expected["p"])) == (2, 2)
    assert some.labels is not None
    assert some.labels.tolist() == [1, 0]
