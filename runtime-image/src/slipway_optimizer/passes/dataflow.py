"""Who makes and who reads each tensor, and what formulas compute. An owner file of onnx."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx
from numpy.polynomial import polynomial
from onnx import numpy_helper

from slipway_optimizer.arrays import Array

Polynomial = tuple[float, ...]  # coefficients, lowest power first
DEPTH: Final = 8


@dataclass(slots=True)
class Dataflow:
    """Who makes and who reads each tensor, and small constants."""

    graph: onnx.GraphProto
    makers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    readers: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)
    held: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.held = {tensor.name: tensor for tensor in self.graph.initializer}
        for node in self.graph.node:
            self.makers.update(dict.fromkeys(node.output, node))
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def constant(self, name: str) -> Array | None:
        """The value of an initialiser."""
        tensor = self.held.get(name)
        if tensor is None or tensor.external_data:
            return None
        return numpy_helper.to_array(tensor)

    def scalar(self, name: str) -> float | None:
        """The value of an initialiser with one number."""
        tensor = self.held.get(name)
        if tensor is None or tensor.external_data or int(np.prod(tensor.dims)) != 1:
            return None
        return float(numpy_helper.to_array(tensor).reshape(()))

    def polynomial(self, name: str, variable: str, depth: int = DEPTH) -> Polynomial | None:
        """``name`` as a polynomial of ``variable``, if it is one."""
        if name == variable:
            return (0.0, 1.0)
        if (value := self.scalar(name)) is not None:
            return (value,)
        node = self.makers.get(name)
        if node is None or depth == 0 or node.op_type not in ("Add", "Sub", "Mul", "Pow"):
            return None
        left = self.polynomial(node.input[0], variable, depth - 1)
        right = self.polynomial(node.input[1], variable, depth - 1)
        return None if left is None or right is None else _combine(node.op_type, left, right)

    def ancestors(self, name: str) -> Iterator[str]:
        """Tensors from which ``name`` is made by arithmetic, nearest first."""
        seen, waiting = {name}, [(name, 0)]
        for current, depth in waiting:
            yield current
            node = self.makers.get(current)
            if node is None or depth == DEPTH or node.op_type not in ("Add", "Sub", "Mul", "Pow"):
                continue
            fresh = [n for n in node.input if n not in seen and n not in self.held]
            seen.update(fresh)
            waiting += [(n, depth + 1) for n in fresh]


def _combine(operation: str, left: Polynomial, right: Polynomial) -> Polynomial | None:
    match operation:
        case "Add":
            return coefficients(polynomial.polyadd(left, right))
        case "Sub":
            return coefficients(polynomial.polysub(left, right))
        case "Mul":
            return coefficients(polynomial.polymul(left, right))
        case _:  # Pow, by a small whole number
            power = right[0] if len(right) == 1 else -1.0
            if power not in (1.0, 2.0, 3.0):
                return None
            return coefficients(polynomial.polypow(left, int(power)))


def coefficients(values: Array) -> Polynomial:
    """From the lowest power on."""
    return tuple(float(value) for value in values)
