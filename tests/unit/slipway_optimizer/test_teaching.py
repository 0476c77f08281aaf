"""Rows of a data set that only teach."""

from pathlib import Path

import numpy as np
import pytest

from slipway.api.v1alpha1.validation import Task
from slipway.artifacts.manifest import Tensor
from slipway_optimizer.arrays import Array, save_npz
from slipway_optimizer.datasets import Expectations, Teaching, load_teaching, split
from slipway_optimizer.failures import Refused
from slipway_optimizer.tensors import Signature

SCORES = Tensor(name="scores", datatype="FP32", shape=(-1, 3))
SIGNATURE = Signature((Tensor(name="x", datatype="FP32", shape=(-1, 2)),), (SCORES,))
WANTED = Expectations(task=Task.CLASSIFICATION, labels="labels", output=SCORES)
ROWS = np.ones((4, 2), np.float32)
LABELS = np.array([0, 1, 2, 0])


def teaching(folder: Path, **arrays: Array) -> Teaching:
    path = folder / "rows.npz"
    named = {name.replace("__", ":"): value for name, value in arrays.items()}
    save_npz(path, {"x": ROWS[:2], "labels": LABELS[:2]} | named)
    return load_teaching(path, SIGNATURE, WANTED)


def test_rows_teach_with_labels_or_without(tmp_path: Path) -> None:
    found = teaching(tmp_path, train__x=ROWS, train__labels=LABELS, unlabelled__x=ROWS[:3])
    assert found.labelled is not None
    assert found.unlabelled is not None
    assert found.labelled.labels is not None
    assert (found.labelled.rows, found.labelled.labels.tolist()) == (4, [0, 1, 2, 0])
    assert (found.unlabelled.rows, found.unlabelled.labels) == (3, None)


def test_a_data_set_need_not_have_any(tmp_path: Path) -> None:
    found = teaching(tmp_path)
    assert (found.labelled, found.unlabelled) == (None, None)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"train__x": ROWS}, r"begin with 'train:': there is no array 'labels'"),
        ({"train__labels": LABELS}, r"begin with 'train:': there is no array 'x'"),
        ({"unlabelled__x": ROWS[:, :1]}, r"begin with 'unlabelled:': array 'x' has shape \[4, 1\]"),
        (
            {"train__x": ROWS, "train__labels": LABELS + 1},
            r"begin with 'train:': array 'labels' row 2: label 3 is outside 0\.\.2",
        ),
    ],
    ids=["no labels", "no input", "wrong shape", "unknown class"],
)
def test_broken_rows_are_refused_with_their_prefix(
    tmp_path: Path, arrays: dict[str, Array], words: str
) -> None:
    with pytest.raises(Refused, match=words) as caught:
        teaching(tmp_path, **arrays)
    assert caught.value.reason == "DatasetInvalid"


def test_without_rows_of_their_own_candidates_get_all_that_do_not_judge() -> None:
    assert [len(part) for part in split(10_000, 0.2, "digest")] == [256, 9744]
    assert [len(part) for part in split(10_000, 0.2, "digest", most=10_000)] == [2000, 8000]
