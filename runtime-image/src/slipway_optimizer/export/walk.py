"""Walks a program with a target's operators. Pure, as far as the operators are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway_optimizer.export import host
from slipway_optimizer.export.program import Node, Program, Unsupported

Operator = Callable[[Node, Sequence[Any]], Any]


def missing(program: Program, operators: Mapping[str, Operator]) -> list[Node]:
    """The first node of each operator that neither host nor target knows."""
    known = {*operators, "Constant", "Shape"}
    found: dict[str, Node] = {}
    for node in program.nodes:
        if node.operator not in known:
            found.setdefault(node.operator, node)
    return list(found.values())


def run(
    program: Program,
    given: Mapping[str, Any],
    operators: Mapping[str, Operator],
    shape_of: Callable[[Any], Sequence[Any]],
) -> dict[str, Any]:
    """The outputs by name, each a tensor or a host array.

    Args:
        program: what is walked.
        given: inputs, and constants that the target holds, by name.
        operators: of the target.
        shape_of: dimensions of a tensor: numbers, and symbols where they are open.
    """
    values: dict[str, Any] = dict(program.constants) | dict(given)
    for node in program.nodes:
        arguments = [_require(values[name]) if name else None for name in node.inputs]
        _require_inference(node, arguments)
        results = step(node, arguments, operators, shape_of)
        absent = [_Absent(node)] * (len(node.outputs) - len(results))
        values |= dict(zip(node.outputs, [*results, *absent], strict=False))
    for tensor in program.signature.outputs:
        _require(values[tensor.name])
    return {tensor.name: values[tensor.name] for tensor in program.signature.outputs}


@dataclass(frozen=True, slots=True)
class _Absent:
    """A further output that no target gives: statistics of a normalisation, a mask."""

    node: Node


def _require(value: Any) -> Any:
    if isinstance(value, _Absent):
        raise Unsupported(value.node.name, f"{value.node.operator} with a further output")
    return value


def _require_inference(node: Node, arguments: Sequence[Any]) -> None:
    """Exported models answer, they do not train."""
    mode = arguments[2] if node.operator == "Dropout" and len(arguments) > 2 else None
    trains = mode is not None and not (host.is_host(mode) and not mode.any())
    if trains or node.get("training_mode"):
        raise Unsupported(node.name, f"{node.operator} in training mode")


def step(
    node: Node,
    arguments: Sequence[Any],
    operators: Mapping[str, Operator],
    shape_of: Callable[[Any], Sequence[Any]],
) -> list[Any]:
    """What one node makes: on the host where all it reads is there, else by the target.

    Raises:
        Unsupported: neither knows it.
    """
    if node.operator == "Shape":
        held = arguments[0]
        sizes = held.shape if host.is_host(held) else shape_of(held)
        first, last = node.get("start", 0), node.get("end")
        return [host.of_dimensions(list(sizes)[first:last])]
    if all(a is None or host.is_host(a) for a in arguments):
        found = host.evaluate(node, arguments)
        if found is not None:
            return [found]
    operator = operators.get(node.operator)
    if operator is None:
        raise Unsupported(node.name, node.operator)
    results = operator(node, arguments)
    return results if isinstance(results, list) else [results]


def held_by_target(program: Program) -> dict[str, np.ndarray[Any, Any]]:
    """Constants that are weights: the target holds them, the host the small rest."""
    return {n: a for n, a in program.constants.items() if a.size > host.MOST}
