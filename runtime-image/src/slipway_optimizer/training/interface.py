"""How a student of the user's fits where the model stands. Pure.

It takes the model's inputs and gives the scores that are taught; what the model makes of its own
scores (Softmax, the index of the greatest) is put behind the student's, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from slipway_optimizer.arrays import Array
from slipway_optimizer.failures import Refused
from slipway_optimizer.training.net import Net

_ONE: Final = 1e-3  # how far from 1 probabilities may sum


@dataclass(frozen=True, slots=True)
class Argument:
    """A positional argument of ``forward``."""

    name: str
    required: bool


@dataclass(frozen=True, slots=True)
class Call:
    """The model's inputs in the order in which the module is given them.

    Attributes:
        by_name: as keywords, since its arguments are called as the inputs are.
    """

    inputs: tuple[str, ...]
    by_name: bool


def call_of(arguments: Sequence[Argument], inputs: Sequence[str]) -> Call:
    """By the arguments' names where they are inputs', else in the model's order.

    Raises:
        Refused: ``StudentDiffers``: neither is possible.
    """
    known = tuple(a.name for a in arguments if a.name in inputs)
    required = [a.name for a in arguments if a.required]
    if known and set(required) <= set(known):
        return Call(known, by_name=True)
    if len(required) <= len(inputs) <= len(arguments) or not arguments:
        return Call(tuple(inputs), by_name=False)
    raise Refused(
        "StudentDiffers",
        f"the student's forward takes {', '.join(required) or 'nothing'}, but the model has the "
        f"inputs {', '.join(inputs)}: call its arguments as the inputs, or take all in this order",
    )


def behind(net: Net, tensor: str) -> Net:
    """What the model computes from its scores alone, as a net with the scores as its input.

    Raises:
        Refused: ``StudentDiffers``: an output is made of more, so that nobody would teach it.
    """
    held, ops = {tensor}, []
    for op in net.ops:
        computed = {name for name in op.inputs if name and name not in net.weights}
        if computed and computed <= held:
            held.update(op.outputs)
            ops.append(op)
    for name in net.outputs:
        if name not in held:
            raise Refused(
                "StudentDiffers",
                f"output '{name}' is not made of the scores '{tensor}' that are taught, so a "
                "student of your own could not learn it: serve a model without that output, or "
                "leave out distillation.loader",
            )
    return replace(net, ops=tuple(ops), inputs=(tensor,), shapes={}).pruned_of_dead()


def require_scores(scores: Array, wanted: Array, net: Net) -> None:
    """Hold a student's first answers to the teacher's.

    Args:
        scores: the student's of some rows.
        wanted: the teacher's of the same.
        net: what stands behind them.

    Raises:
        Refused: ``StudentDiffers``.
    """
    if scores.shape != wanted.shape:
        raise Refused(
            "StudentDiffers",
            f"the student answers {len(wanted)} rows with the shape {list(scores.shape)}, but the "
            f"model's scores '{net.inputs[0]}' have {list(wanted.shape)}: return a tensor of that "
            "shape",
        )
    softmax = any(op.kind == "Softmax" for op in net.ops)
    if softmax and (scores >= 0).all() and np.allclose(scores.sum(-1), 1, atol=_ONE):
        raise Refused(
            "StudentDiffers",
            "the student answers probabilities, but the model's own Softmax is put behind it: "
            "return the scores before Softmax",
        )
