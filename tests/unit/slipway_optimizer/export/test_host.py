"""Shapes that a graph computes: numbers where they are known, symbols where a size is open."""

from typing import Any

import numpy as np
import pytest

from slipway_optimizer.export import host
from slipway_optimizer.export.program import Node


class Symbol:
    """An open size, as a framework's: Python's operators give further ones."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __mul__(self, other: Any) -> "Symbol":
        return Symbol(f"({self.text}*{other})")

    __rmul__ = __mul__

    def __add__(self, other: Any) -> "Symbol":
        return Symbol(f"({self.text}+{other})")


ROWS = Symbol("rows")


def node(operator: str, **attributes: Any) -> Node:
    return Node("it", operator, (), ("y",), attributes)


def shown(value: np.ndarray[Any, Any] | None) -> list[Any]:
    assert value is not None
    return [v.text if isinstance(v, Symbol) else v for v in value.reshape(-1).tolist()]


def whole(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def test_the_chain_that_every_exporter_writes_before_a_reshape_keeps_the_open_size() -> None:
    shape = host.of_dimensions([ROWS, 3, 8])
    first = host.evaluate(node("Gather"), [shape, np.array(0)])
    assert first is not None
    rows = host.evaluate(node("Unsqueeze", axes=(0,)), [first])
    target = host.evaluate(node("Concat", axis=0), [rows, whole(-1)])
    assert shown(target) == ["rows", -1]


def test_arithmetic_of_sizes_goes_to_the_symbol() -> None:
    shape = host.of_dimensions([ROWS, 3])
    product = host.evaluate(node("ReduceProd", keepdims=0), [shape])
    assert shown(product) == ["(rows*3)"]


def test_an_array_without_symbols_is_one_of_numbers_again() -> None:
    shape = host.of_dimensions([ROWS, 3, 8])
    rest = host.evaluate(node("Slice"), [shape, whole(1), whole(3)])
    assert rest is not None
    assert (rest.dtype, rest.tolist()) == (np.dtype(np.int64), [3, 8])


@pytest.mark.parametrize(
    ("operator", "attributes", "arguments"),
    [
        ("Range", {}, [np.array(0), host.of_dimensions([ROWS]).reshape(()), np.array(1)]),
        ("ConstantOfShape", {}, [host.of_dimensions([ROWS])]),
        ("ConstantOfShape", {}, [whole(1000, 1000)]),
        ("Cast", {"to": 1}, [host.of_dimensions([ROWS])]),
        ("Slice", {}, [whole(1, 2), whole(0), host.of_dimensions([ROWS])]),
        ("Add", {}, [np.zeros(host.MOST + 1), np.zeros(1)]),
        ("MatMul", {}, [np.zeros((2, 2)), np.zeros((2, 2))]),
    ],
)
def test_what_a_symbol_cannot_do_is_the_target_s_turn(
    operator: str, attributes: dict[str, Any], arguments: list[Any]
) -> None:
    assert host.evaluate(node(operator, **attributes), arguments) is None


@pytest.mark.parametrize(
    ("operator", "attributes", "arguments", "expected"),
    [
        ("Div", {}, [whole(7), whole(2)], [3]),
        ("Cast", {"to": 7}, [np.array([2.7], np.float32)], [2]),
        ("Slice", {"starts": (1,), "ends": (9,), "axes": (0,)}, [whole(1, 2, 3)], [2, 3]),
        ("Slice", {}, [whole(1, 2, 3), whole(-1), whole(-9), whole(0), whole(-1)], [3, 2, 1]),
        ("Squeeze", {}, [np.array([[4]]), whole(0)], [4]),
        ("ConstantOfShape", {"value": np.array([5])}, [whole(2)], [5, 5]),
        ("Range", {}, [np.array(1), np.array(7), np.array(2)], [1, 3, 5]),
        ("Reshape", {}, [whole(1, 2), whole(2, 1)], [1, 2]),
        ("Constant", {"value_ints": (1, 2)}, [], [1, 2]),
    ],
)
def test_numbers_are_computed_as_the_operator_says(
    operator: str, attributes: dict[str, Any], arguments: list[Any], expected: list[Any]
) -> None:
    assert shown(host.evaluate(node(operator, **attributes), arguments)) == expected
