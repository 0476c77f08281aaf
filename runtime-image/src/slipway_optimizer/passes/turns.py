"""Transpositions, and the ways in which exporters write them. An owner file of onnx."""

from typing import Final

import onnx

from slipway_optimizer.passes.dataflow import Dataflow

Types = dict[str, onnx.TypeProto.Tensor]
_LAST_TWO: Final = (0, 1, 3, 2)


def permutation_of(node: onnx.NodeProto) -> tuple[int, ...]:
    """Of a ``Transpose`` that names it; else empty."""
    return next((tuple(a.ints) for a in node.attribute if a.name == "perm"), ())


def turn_behind(flow: Dataflow, types: Types, name: str) -> tuple[str, tuple[int, ...]] | None:
    """The tensor of four dimensions that ``name`` is a transposition of, and which.

    Args:
        flow: the graph.
        types: inferred, by name.
        name: a tensor.

    Returns:
        ``None`` where it is none: its maker is no ``Transpose``, nor the three steps by which
        PyTorch's exporter turns the last two of four dimensions, with the first two as one.
    """
    node = flow.makers.get(name)
    if node is not None and node.op_type == "Transpose":
        permutation = permutation_of(node)
        return (node.input[0], permutation) if len(permutation) == len(_LAST_TWO) else None
    turn = None if node is None else _maker(flow, node, "Reshape", "Transpose")
    joined = None if turn is None else _maker(flow, turn, "Transpose", "Reshape")
    if turn is None or joined is None or permutation_of(turn) != (0, 2, 1):
        return None
    source = joined.input[0]
    before, after = dims_of(types, source), dims_of(types, name)
    middle = dims_of(types, joined.output[0])
    # With as many numbers, equal ends and a known or equal side, the first two are equal too.
    if len(before) != len(_LAST_TWO) or len(after) != len(before) or not all(before[2:]):
        return None
    same = middle[1:] == before[2:] == after[:1:-1] and (
        _equal(before[0], after[0]) or _equal(before[1], after[1])
    )
    return (source, _LAST_TWO) if same else None


def _maker(
    flow: Dataflow, node: onnx.NodeProto, operator: str, behind: str
) -> onnx.NodeProto | None:
    maker = flow.makers.get(node.input[0])
    matches = node.op_type == operator and maker is not None and maker.op_type == behind
    return maker if matches else None


def dims_of(types: Types, name: str) -> list[int | str]:
    """Sizes, names of those that vary, and empty where nothing is known."""
    found = types.get(name)
    return [] if found is None else [d.dim_value or d.dim_param for d in found.shape.dim]


def _equal(one: int | str, other: int | str) -> bool:
    return bool(one) and one == other
