"""Which channels can go, and with what."""

from dataclasses import replace

import numpy as np
import pytest

from slipway_optimizer.arrays import Arrays
from slipway_optimizer.training import onnx_net
from slipway_optimizer.training.net import Net, Op
from slipway_optimizer.training.width import Group, Place, groups
from tests.support.networks import cnn, residual


def test_a_convolution_goes_with_its_bias_its_depthwise_follower_and_its_reader() -> None:
    found, kept = groups(onnx_net.read(cnn((32, 48, 16))))
    assert found == (
        Group(
            "first",
            32,
            (Place("first.w", 0), Place("first.b", 0), Place("deep.w", 0), Place("deep.b", 0)),
            (Place("second.w", 1),),
        ),
        Group(
            "second", 48, (Place("second.w", 0), Place("second.b", 0)), (Place("hidden.w", 1, 4),)
        ),
        Group("hidden", 16, (Place("hidden.w", 0), Place("hidden.b", 0)), (Place("last.w", 1),)),
    )
    assert kept == ("last: Softmax 'softmax' reads them",)


def test_a_residual_connection_ties_all_that_it_adds() -> None:
    found, kept = groups(onnx_net.read(residual(blocks=2)))
    assert kept == ("out: the model's output",)
    assert [(g.name, g.size) for g in found] == [("in", 32), ("up0", 32), ("up1", 32)]
    assert found[0].makers == (Place("in.w", 1), Place("down0.w", 1), Place("down1.w", 1))
    assert found[0].readers == (Place("up0.w", 0), Place("up1.w", 0), Place("out.w", 0))


@pytest.mark.parametrize(
    ("between", "why"),
    [
        (Op("Transpose", "t", ("h",), ("i",), {"perm": [1, 0]}), "Transpose 't' reads them"),
        (Op("Add", "t", ("h", "x"), ("i",), {}), "'t' combines them with something else"),
        (Op("Mul", "t", ("h", "half"), ("i",), {}), "'half' does not fit them"),
    ],
    ids=lambda value: value.kind if isinstance(value, Op) else "",
)
def test_what_is_not_understood_keeps_its_channels(between: Op, why: str) -> None:
    weights: Arrays = {"a": np.zeros((8, 32), np.float32), "b": np.zeros((32, 4), np.float32)}
    weights["half"] = np.zeros(16, np.float32)
    ops = (
        Op("MatMul", "one", ("x", "a"), ("h",), {}),
        between,
        Op("MatMul", "two", ("i", "b"), ("y",), {}),
    )
    found, kept = groups(Net(ops, weights, ("x",), ("y",), {}))
    assert (found, kept) == ((), (f"one: {why}", "two: the model's output"))


def test_a_weight_with_two_readers_stays_whole() -> None:
    net = onnx_net.read(residual(blocks=0))
    again = replace(net.ops[0], name="again", outputs=("other",))
    tied = replace(net, ops=(*net.ops, again), outputs=("y", "other"))
    assert groups(tied)[0] == ()


def test_a_grouped_convolution_reads_and_makes_all_its_channels() -> None:
    net = onnx_net.read(cnn())
    ops = tuple(
        replace(op, attributes={**op.attributes, "group": 2}) if op.name == "second" else op
        for op in net.ops
    )
    weights = {**net.weights, "second.w": net.weights["second.w"][:, :16]}
    found, kept = groups(replace(net, ops=ops, weights=weights))
    assert [group.name for group in found] == ["hidden"]
    assert kept[0] == "first: 'second' is a grouped convolution"
