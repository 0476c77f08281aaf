"""Windows: ONNX's ways to state padding, as numbers."""

from typing import Any

import pytest

from slipway_optimizer.export.program import Node
from slipway_optimizer.export.spatial import nearest_is_floor, transposed_padding, window


def node(operator: str = "Conv", **attributes: Any) -> Node:
    return Node("it", operator, (), ("y",), attributes)


@pytest.mark.parametrize(
    ("attributes", "before", "after"),
    [
        ({}, (0, 0), (0, 0)),
        ({"pads": (1, 2, 3, 4)}, (1, 2), (3, 4)),
        ({"auto_pad": "VALID", "pads": (1, 2, 3, 4)}, (0, 0), (0, 0)),
        ({"auto_pad": "SAME_UPPER"}, (1, 1), (1, 1)),
        ({"auto_pad": "SAME_UPPER", "strides": (2, 2)}, (0, 1), (1, 1)),
        ({"auto_pad": "SAME_LOWER", "strides": (2, 2)}, (1, 1), (0, 1)),
        ({"auto_pad": "SAME_UPPER", "dilations": (2, 2)}, (2, 2), (2, 2)),
    ],
)
def test_padding(attributes: dict[str, Any], before: Any, after: Any) -> None:
    found = window(node(**attributes), (3, 3), (6, 7))
    assert (found.before, found.after) == (before, after)
    assert found.symmetric is (before == after)
    assert found.padded is (sum((*before, *after)) > 0)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"pads": (1, 1)}, ((1,), (1,), (0,))),
        ({"strides": (2,), "output_padding": (1,)}, ((0,), (0,), (1,))),
        ({"strides": (2,), "output_shape": (9,)}, ((1,), (1,), (0,))),
        ({"strides": (2,), "auto_pad": "SAME_UPPER"}, ((0,), (1,), (0,))),
        ({"strides": (2,), "auto_pad": "SAME_LOWER"}, ((1,), (0,), (0,))),
    ],
)
def test_what_a_transposed_convolution_cuts(attributes: dict[str, Any], expected: Any) -> None:
    assert transposed_padding(node("ConvTranspose", **attributes), (3,), (5,)) == expected


@pytest.mark.parametrize(
    ("attributes", "whole", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"nearest_mode": "floor"}, True, False),
        ({"coordinate_transformation_mode": "asymmetric"}, True, False),
        ({"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, False, True),
        ({"coordinate_transformation_mode": "align_corners"}, True, False),
    ],
)
def test_only_some_ways_to_the_nearest_are_the_frameworks(
    attributes: dict[str, Any], whole: bool, expected: bool
) -> None:
    assert nearest_is_floor(node("Resize", **attributes), whole=whole) is expected
