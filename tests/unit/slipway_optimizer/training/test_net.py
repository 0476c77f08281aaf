"""What of a graph is trained, and what is taught."""

import numpy as np
import pytest

from slipway_optimizer.training import onnx_net
from slipway_optimizer.training.net import Answer, Net, Op, answer_of, matrices, trained
from tests.support.networks import cnn, residual


def op(kind: str, given: str, made: str) -> Op:
    return Op(kind, kind.lower(), (given,), (made,), {})


def test_scores_are_taught_where_the_graph_shows_them() -> None:
    assert answer_of(onnx_net.read(cnn()), "probabilities") == Answer("scores")


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ((op("Relu", "x", "y"),), Answer("y")),
        ((op("Sigmoid", "x", "y"),), Answer("x", sigmoid=True)),
        ((op("Softmax", "x", "p"), op("ArgMax", "p", "y")), Answer("x")),
        ((op("Softmax", "x", "p"), op("Softmax", "p", "y")), Answer("p")),
    ],
    ids=["output", "sigmoid", "class", "one softmax only"],
)
def test_the_walk_back_ends_at_the_scores(ops: tuple[Op, ...], expected: Answer) -> None:
    assert answer_of(Net(ops, {}, ("x",), ("y",), {}), "y") == expected


def test_weights_are_trained_and_shapes_are_not() -> None:
    net = onnx_net.read(cnn())
    assert set(net.weights) - set(trained(net)) == {"rows"}


def test_output_channels_lie_on_the_axis_that_the_operator_says() -> None:
    assert matrices(onnx_net.read(cnn())) == {
        "first.w": 0, "deep.w": 0, "second.w": 0, "hidden.w": 0, "last.w": 0,
    }  # fmt: skip
    assert matrices(onnx_net.read(residual(blocks=0))) == {"in.w": 1, "out.w": 1}


def test_what_no_output_needs_goes() -> None:
    ops = (op("Relu", "x", "y"), op("Neg", "w", "z"))
    net = Net(ops, {"w": np.zeros(1)}, ("x",), ("y",), {})
    left = net.pruned_of_dead()
    assert (left.ops, left.weights) == (ops[:1], {})
