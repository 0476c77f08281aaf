"""A student of the user's fits where the model stands, or is refused with what to change."""

import numpy as np
import pytest
from onnx import helper

from slipway_optimizer.failures import Refused
from slipway_optimizer.training import onnx_net
from slipway_optimizer.training.interface import Argument, Call, behind, call_of, require_scores
from slipway_optimizer.training.net import Net, Op
from tests.support.networks import cnn


def arguments(*names: str) -> list[Argument]:
    """``x`` must be given, ``x?`` may be."""
    return [Argument(name.rstrip("?"), not name.endswith("?")) for name in names]


@pytest.mark.parametrize(
    ("given", "inputs", "expected"),
    [
        (["x"], ("image",), Call(("image",), by_name=False)),
        (["image"], ("image",), Call(("image",), by_name=True)),
        (["mask?", "ids"], ("ids", "mask", "types"), Call(("mask", "ids"), by_name=True)),
        (["ids", "other?"], ("ids", "mask"), Call(("ids",), by_name=True)),
        (["a", "b"], ("ids", "mask"), Call(("ids", "mask"), by_name=False)),
        (["a", "b?"], ("ids", "mask"), Call(("ids", "mask"), by_name=False)),
        ([], ("ids", "mask"), Call(("ids", "mask"), by_name=False)),
    ],
    ids=["one", "its name", "names", "some of the names", "order", "order with default", "any"],
)
def test_inputs_go_to_the_arguments_of_their_names_else_in_order(
    given: list[str], inputs: tuple[str, ...], expected: Call
) -> None:
    assert call_of(arguments(*given), inputs) == expected


@pytest.mark.parametrize("given", [["a"], ["ids", "b", "c"], ["a", "b", "c"]])
def test_arguments_that_no_input_fills_are_refused(given: list[str]) -> None:
    words = f"takes {', '.join(given)}, but the model has the inputs ids, mask: call its"
    with pytest.raises(Refused, match=words) as refused:
        call_of(arguments(*given), ("ids", "mask"))
    assert refused.value.reason == "StudentDiffers"


def test_what_the_model_makes_of_its_scores_is_put_behind_the_student() -> None:
    tail = behind(onnx_net.read(cnn()), "scores")
    assert [op.kind for op in tail.ops] == ["Softmax"]
    assert (tail.inputs, tail.outputs, tail.weights) == (("scores",), ("probabilities",), {})


def test_scores_that_are_the_output_have_nothing_behind_them() -> None:
    net = Net((Op("Relu", "r", ("x",), ("y",), {}),), {}, ("x",), ("y",), {})
    tail = behind(net, "y")
    assert (tail.ops, tail.inputs, tail.outputs) == ((), ("y",), ("y",))


def test_an_output_that_the_scores_do_not_make_is_refused() -> None:
    model = cnn()
    model.graph.output.append(helper.make_tensor_value_info("j", 1, ["N", 32]))
    with pytest.raises(Refused, match="output 'j' is not made of the scores 'scores'") as refused:
        behind(onnx_net.read(model), "scores")
    assert refused.value.reason == "StudentDiffers"


def test_an_output_that_needs_more_than_the_scores_is_refused() -> None:
    ops = (
        Op("Relu", "r", ("x",), ("s",), {}),
        Op("Mul", "m", ("s", "x"), ("y",), {}),
    )
    with pytest.raises(Refused, match="output 'y' is not made of the scores 's'"):
        behind(Net(ops, {}, ("x",), ("y",), {}), "s")


def test_scores_of_another_shape_are_refused_with_both() -> None:
    tail = behind(onnx_net.read(cnn()), "scores")
    with pytest.raises(
        Refused,
        match=r"8 rows with the shape \[8, 5\], but the model's scores 'scores' have \[8, 4",
    ):
        require_scores(np.zeros((8, 5)), np.zeros((8, 4)), tail)


def test_probabilities_are_refused_where_softmax_comes_behind_them() -> None:
    softmax = behind(onnx_net.read(cnn()), "scores")
    even, wanted = np.full((8, 4), 0.25), np.zeros((8, 4))
    with pytest.raises(Refused, match="return the scores before Softmax"):
        require_scores(even, wanted, softmax)
    require_scores(even - 0.5, wanted, softmax)
    require_scores(even, wanted, behind(onnx_net.read(cnn()), "probabilities"))
