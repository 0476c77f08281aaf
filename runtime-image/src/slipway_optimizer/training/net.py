"""A model as operators and weights, without ONNX's messages. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from slipway_optimizer.arrays import Arrays

WEIGHTED: Final = ("Conv", "MatMul", "Gemm")
_TRAINED_INPUTS: Final[dict[str, tuple[int, ...]]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "MatMul": (0, 1),
    "Gemm": (1, 2),
    "BatchNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "PRelu": (1,),
    "Gather": (0,),
    "Add": (0, 1),
    "Mul": (0, 1),
}


@dataclass(frozen=True, slots=True)
class Op:
    """One operator of the default domain; an input that is left out has the name ''."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Net:
    """Operators in an order in which they can run.

    Attributes:
        weights: constants by name, of any type.
        shapes: of what is computed, where known; an open size is -1.
    """

    ops: tuple[Op, ...]
    weights: Arrays
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]

    def maker(self, name: str) -> Op | None:
        """The operator that computes a tensor."""
        return next((op for op in self.ops if name in op.outputs), None)

    def readers(self, name: str) -> tuple[Op, ...]:
        """The operators that read a tensor."""
        return tuple(op for op in self.ops if name in op.inputs)

    def with_weights(self, weights: Arrays) -> "Net":
        """The same with other values."""
        return replace(self, weights={**self.weights, **weights})

    def pruned_of_dead(self) -> "Net":
        """Without operators and weights that no output needs."""
        needed, kept = set(self.outputs), []
        for op in reversed(self.ops):
            if needed.intersection(op.outputs):
                needed.update(op.inputs)
                kept.append(op)
        weights = {name: value for name, value in self.weights.items() if name in needed}
        return replace(self, ops=tuple(reversed(kept)), weights=weights)


def trained(net: Net) -> tuple[str, ...]:
    """Names of the weights that training may move: fp32, of more than one number, in order."""
    found: dict[str, None] = {}
    for op in net.ops:
        for place in _TRAINED_INPUTS.get(op.kind, ()):
            name = op.inputs[place] if place < len(op.inputs) else ""
            value = net.weights.get(name)
            if value is not None and value.dtype == np.float32 and value.size > 1:
                found[name] = None
    return tuple(found)


def matrices(net: Net) -> dict[str, int]:
    """Weight of a Conv, Gemm or MatMul -> the axis of its output channels."""
    found = {}
    for op in net.ops:
        if op.kind not in WEIGHTED or len(op.inputs) < 2:
            continue
        value = net.weights.get(op.inputs[1])
        if value is not None and value.dtype == np.float32 and value.ndim > 1:
            first = op.kind == "Conv" or bool(op.attributes.get("transB", 0))
            found[op.inputs[1]] = 0 if first else value.ndim - 1
    return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What is taught of the judged output.

    Attributes:
        tensor: scores before Softmax or Sigmoid, where the graph shows them, else the output.
        sigmoid: whether a Sigmoid stood behind it.
    """

    tensor: str
    sigmoid: bool = False


def answer_of(net: Net, output: str) -> Answer:
    """Walk back from the judged output to the scores that it is made of."""
    name, sigmoid = output, False
    while (op := net.maker(name)) is not None and op.kind in _AFTER_SCORES:
        sigmoid = op.kind == "Sigmoid"
        name = op.inputs[0]
        if op.kind not in _PASSING:
            break
    return Answer(name, sigmoid)


_PASSING: Final = ("ArgMax", "Identity")  # behind which a Softmax may still stand
_AFTER_SCORES: Final = ("ArgMax", "Identity", "LogSoftmax", "Sigmoid", "Softmax")


def renamed(ops: Iterable[Op], old: str, new: str) -> tuple[Op, ...]:
    """Operators that read ``new`` where they read ``old``."""
    return tuple(
        replace(op, inputs=tuple(new if name == old else name for name in op.inputs)) for op in ops
    )
