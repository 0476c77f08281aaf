"""A transposition is found however it is written, and nothing else is taken for one."""

import onnx
import pytest
from onnx import TensorProto, helper

from slipway_optimizer.passes.dataflow import Dataflow
from slipway_optimizer.passes.turns import turn_behind
from tests.support.small_models import model_of

node = helper.make_node
Shape = list[int | str]


def found(
    nodes: list[onnx.NodeProto], shapes: dict[str, Shape]
) -> tuple[str, tuple[int, ...]] | None:
    """What "y" is a transposition of, in a graph with these shapes."""
    made = model_of(nodes, inputs={}, outputs={"y": (TensorProto.FLOAT, shapes["y"])})
    infos = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()}
    types = {name: info.type.tensor_type for name, info in infos.items()}
    return turn_behind(Dataflow(made.graph), types, "y")


def in_three(perm: list[int]) -> list[onnx.NodeProto]:
    return [
        node("Reshape", ["x", "joined"], ["three"]),
        node("Transpose", ["three"], ["back"], perm=perm),
        node("Reshape", ["back", "split"], ["y"]),
    ]


SHAPES: dict[str, Shape] = {"x": ["n", 2, "s", 4], "three": ["m", "s", 4], "y": ["n", "h", 4, "s"]}


def test_a_transpose_is_one() -> None:
    assert found([node("Transpose", ["x"], ["y"], perm=[0, 2, 1, 3])], SHAPES) == (
        "x",
        (0, 2, 1, 3),
    )


def test_three_steps_that_turn_the_last_two_dimensions_are_one() -> None:
    assert found(in_three([0, 2, 1]), SHAPES) == ("x", (0, 1, 3, 2))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"three": ["m", 4, "s"]}, id="joined in another way"),
        pytest.param({"y": ["k", "h", 4, "s"]}, id="rows and heads may be mixed up"),
        pytest.param({"y": ["n", 2, "s", 4]}, id="split in another way"),
        pytest.param({"y": ["n", 2, 4, "t"]}, id="a size of another name"),
        pytest.param(
            {"x": ["n", 2, "", 4], "three": ["m", "", 4], "y": ["n", "h", 4, ""]},
            id="a size that is not known",
        ),
        pytest.param({"y": ["n", 4, "s"]}, id="three dimensions"),
    ],
)
def test_steps_that_may_do_something_else_are_none(changed: dict[str, Shape]) -> None:
    assert found(in_three([0, 2, 1]), SHAPES | changed) is None


def test_another_turn_of_three_is_none() -> None:
    assert found(in_three([1, 0, 2]), SHAPES) is None


def test_what_no_node_makes_is_none() -> None:
    assert found([node("Identity", ["x"], ["z"])], SHAPES) is None
