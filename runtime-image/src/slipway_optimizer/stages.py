"""Where to cut a chain of operators into stages of equal cost. Pure.

A cut is good where few tensors cross it, and stages are good when the dearest is cheap: a pipeline
is as fast as its slowest stage.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST_CROSSING: Final = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One operator, in the order in which they run.

    Attributes:
        inputs, outputs: tensors that are computed or given; weights are not among them.
        cost: any unit.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    cost: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Between step ``place - 1`` and step ``place``; these tensors cross it."""

    place: int
    tensors: tuple[str, ...]


def cuts(
    steps: Sequence[Step], *, given: frozenset[str], wanted: frozenset[str]
) -> tuple[Cut, ...]:
    """Every place where at most two tensors cross, none of them a model input.

    Args:
        steps: of the whole model.
        given: its inputs.
        wanted: its outputs; one that is made before a cut would have to be passed on, so there is
            no cut after the first of them.
    """
    last_use: dict[str, int] = {}
    for number, step in enumerate(steps):
        last_use.update(dict.fromkeys(step.inputs, number))
    last_use.update(dict.fromkeys(wanted, len(steps)))
    alive: dict[str, None] = dict.fromkeys(name for name in given if name in last_use)
    found = []
    for number, step in enumerate(steps):
        alive.update(dict.fromkeys(name for name in step.outputs if name in last_use))
        crossing = tuple(name for name in alive if last_use[name] > number)
        alive = dict.fromkeys(crossing)
        inner = not given & set(crossing) and not wanted & set(crossing)
        if 0 < len(crossing) <= MOST_CROSSING and inner and number + 1 < len(steps):
            found.append(Cut(number + 1, crossing))
    return tuple(found)


def balance(steps: Sequence[Step], places: Sequence[Cut], stages: int) -> tuple[Cut, ...] | None:
    """The cuts that make the dearest stage cheapest; ``None`` when there are too few places.

    Worked example: costs 1, 1, 4, 1, 1 with a cut after each step, 3 stages -> cuts before and
    after the third.
    """
    if len(places) < stages - 1:
        return None
    sums = [0.0]
    for step in steps:
        sums.append(sums[-1] + step.cost)
    ends = [0, *(cut.place for cut in places), len(steps)]
    best = [[math.inf] * len(ends) for _ in range(stages + 1)]
    came = [[0] * len(ends) for _ in range(stages + 1)]
    best[0][0] = 0.0
    for used in range(1, stages + 1):
        for end in range(1, len(ends)):
            for start in range(end):
                dearest = max(best[used - 1][start], sums[ends[end]] - sums[ends[start]])
                if dearest < best[used][end]:
                    best[used][end], came[used][end] = dearest, start
    chosen, place = [], len(ends) - 1
    for used in range(stages, 1, -1):
        place = came[used][place]
        chosen.append(places[place - 1])
    return tuple(reversed(chosen))
