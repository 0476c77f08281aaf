"""Stages answer as the whole."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from slipway_optimizer.arrays import Arrays
from slipway_optimizer.failures import Refused
from slipway_optimizer.passes.split import split
from slipway_optimizer.session import Model
from tests.support.small_models import classifier, model_of, rows, save

RANDOM = np.random.default_rng(1)


def tower(layers: int) -> onnx.ModelProto:
    """Layers with a residual around each, so that one or two tensors are alive at a time."""
    nodes, weights, last = [], dict[str, NDArray[Any]](), "x"
    for n in range(layers):
        weights[f"w{n}"] = RANDOM.normal(0, 0.2, (16, 16)).astype(np.float32)
        nodes.append(helper.make_node("MatMul", [last, f"w{n}"], [f"m{n}"], name=f"m{n}"))
        nodes.append(helper.make_node("Relu", [f"m{n}"], [f"r{n}"], name=f"r{n}"))
        out = "y" if n == layers - 1 else f"a{n}"
        nodes.append(helper.make_node("Add", [f"r{n}", last], [out], name=f"s{n}"))
        last = out
    shape = ["n", 16]
    return model_of(
        nodes,
        inputs={"x": (TensorProto.FLOAT, shape)},
        outputs={"y": (TensorProto.FLOAT, shape)},
        **weights,
    )


@pytest.mark.parametrize("count", [2, 3])
def test_the_chain_answers_as_the_whole_and_weights_are_where_they_are_read(
    tmp_path: Path, count: int
) -> None:
    source = save(tmp_path / "m.onnx", tower(6))
    feed: Arrays = {"x": RANDOM.normal(size=(5, 16)).astype(np.float32)}
    stages = split(source, tmp_path, feed, count)
    assert [s.path.name for s in stages] == [f"stage-{n + 1}.onnx" for n in range(count)]
    assert sum(s.share for s in stages) == pytest.approx(1)
    assert max(s.share for s in stages) < 0.85
    passed = feed
    for stage in stages:
        onnx.checker.check_model(onnx.load(stage.path), full_check=True)
        assert set(stage.inputs) == set(passed)
        passed = Model(stage.path, threads=1).run(passed)
        assert set(stage.outputs) == set(passed)
    wanted = Model(source, threads=1).run(feed)
    np.testing.assert_array_equal(passed["y"], wanted["y"])
    held = [t.name for s in stages for t in onnx.load(s.path).graph.initializer]
    assert sorted(held) == [f"w{n}" for n in range(6)]
    assert not list(tmp_path.glob("profile*"))


def test_too_many_stages_are_refused_with_what_there_is(tmp_path: Path) -> None:
    source = save(tmp_path / "m.onnx", classifier())
    with pytest.raises(Refused, match="the model has 1 places at which at most two tensors cross"):
        split(source, tmp_path, {"x": rows(2)["x"]}, 4)
