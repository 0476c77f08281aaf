"""Smaller models: channels and layers taken out, the rest untouched."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from slipway_optimizer.arrays import Array
from slipway_optimizer.session import Model
from slipway_optimizer.training import onnx_net
from slipway_optimizer.training.importance import magnitudes
from slipway_optimizer.training.net import Net
from slipway_optimizer.training.shrink import (
    flattened,
    narrow,
    removable_layers,
    shallow,
    wanted_channels,
)
from tests.support.networks import cnn, residual


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [(80, 0.5, 32), (64, 0.5, 32), (64, 0.01, 16), (16, 0.1, 16), (10, 0.5, 10), (20, 1.0, 16)],
)
def test_channels_stay_in_blocks_of_16(size: int, share: float, expected: int) -> None:
    assert wanted_channels(size, share) == expected


def answers(net: Net, model: onnx.ModelProto, rows: Array, folder: Path) -> Array:
    path = folder / "net.onnx"
    onnx.save_model(onnx_net.write(net, model), path)
    name = net.inputs[0]
    return next(iter(Model(path, threads=1).run({name: rows}).values()))


def test_channels_that_say_nothing_go_and_no_answer_changes(tmp_path: Path) -> None:
    model = cnn((32, 32, 32))
    net = flattened(onnx_net.read(model))
    silent = np.random.default_rng(1).permutation(32)[:16]
    weights = dict(net.weights)
    for name in ("first.w", "deep.w", "second.w", "hidden.w"):
        weights[name] = weights[name].copy()
        weights[name][silent] = 0
    net = net.with_weights(weights)
    cut = narrow(net, 0.5, magnitudes(net.weights))
    assert cut.words == ("first 32 to 16", "second 32 to 16", "hidden 32 to 16")
    assert cut.net.weights["second.w"].shape == (16, 16, 3, 3)
    rows = np.random.default_rng(2).random((3, 1, 8, 8), np.float32)
    expected = answers(net, model, rows, tmp_path)
    np.testing.assert_allclose(answers(cut.net, model, rows, tmp_path), expected, atol=1e-6)


def test_the_most_important_channels_stay() -> None:
    net = flattened(onnx_net.read(cnn((32, 32, 32))))
    worth = {name: np.zeros_like(value, np.float64) for name, value in net.weights.items()}
    worth["hidden.w"][::2] = 1.0
    cut = narrow(net, 0.5, worth).net
    # first and second: nothing tells them apart, so the first ones stay
    np.testing.assert_array_equal(cut.weights["second.b"], net.weights["second.b"][:16])
    kept = net.weights["hidden.w"][::2].reshape(16, 32, 4)[:, :16].reshape(16, -1)
    np.testing.assert_array_equal(cut.weights["hidden.w"], kept)


def test_a_model_without_wide_layers_stays_as_it_is() -> None:
    net = onnx_net.read(cnn((16, 16, 16)))
    assert narrow(net, 0.25, magnitudes(net.weights)).words == ()


def test_branches_are_left_out_evenly_and_with_all_that_only_they_need(tmp_path: Path) -> None:
    model = residual(blocks=3)
    net = onnx_net.read(model)
    assert removable_layers(net) == (("x1", "x0"), ("x2", "x1"), ("x3", "x2"))
    cut = shallow(net, 0.67)
    assert cut.words == ("1 of 3 layers left out",)
    assert "up1.w" not in cut.net.weights
    assert {"up0.w", "up2.w"} <= set(cut.net.weights)
    weights = net.weights
    rows = np.random.default_rng(2).random((2, 8), np.float32)
    x = rows @ weights["in.w"]
    for n in (0, 2):
        x = x + np.maximum(x @ weights[f"up{n}.w"], 0) @ weights[f"down{n}.w"]
    got = answers(cut.net, model, rows, tmp_path)
    np.testing.assert_allclose(got, x @ weights["out.w"], atol=1e-5)


def test_two_neighbours_can_go() -> None:
    cut = shallow(onnx_net.read(residual(blocks=4)), 0.5).net
    assert [op.name for op in cut.ops if op.kind == "Add"] == ["add0", "add3"]
    assert cut.readers("x1")[0].name == "up3"


def test_layers_of_equal_shape_can_go_where_there_is_no_branch() -> None:
    net = onnx_net.read(residual(blocks=1))
    plain = Net(net.ops[:4], net.weights, net.inputs, ("d0",), net.shapes)
    assert removable_layers(plain) == (("u0", "x0"),)
