"""Rows that are asked side by side are answered like rows one by one."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model, answered
from tests.support.small_models import classifier, model_of, rows, save


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_rows_side_by_side_are_answered_in_their_order(tmp_path: Path, threads: int) -> None:
    path, feeds = save(tmp_path / "m.onnx", classifier()), {"x": rows(33)["x"]}

    _, answers = answered(path, feeds, threads=threads)

    expected = Model(path, threads=1).run_rows(feeds)
    assert answers.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(answers[name], value)


def test_an_output_without_a_row_for_each_row_is_refused_also_side_by_side(tmp_path: Path) -> None:
    model = model_of(
        [helper.make_node("ReduceMax", ["x"], ["y"], keepdims=0)],
        inputs={"x": (TensorProto.FLOAT, ["n", 8])},
        outputs={"y": (TensorProto.FLOAT, [])},
    )
    path = save(tmp_path / "m.onnx", model)
    with pytest.raises(Refused, match="output 'y' has shape"):
        answered(path, {"x": rows(9)["x"]}, threads=2)
