"""Which weights of the teacher to try, when to stop trying, and which one to take. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.training import Distillation
from slipway_optimizer.training.schedule import Fitted, Standing

# Tried where the user names none. With labels everywhere 1.0 was seen to hurt; where most rows have
# none, a light teacher is not heard (docs/decisions/0026).
_LABELLED: Final = (0.05, 0.1, 0.3)
_UNLABELLED: Final = (10.0, 1.0, 0.1)
_MOSTLY: Final = 0.5


@dataclass(frozen=True, slots=True)
class Sweep:
    """What to try.

    Attributes:
        weights: lambdas in their order.
        target: the score at which no further one is tried.
        seconds: for all of them.
    """

    weights: tuple[float, ...]
    target: float | None
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """The state that is taken, and what was reached and why it ended, for the report."""

    taken: Fitted
    words: tuple[str, ...]


def sweep_of(wish: Distillation, *, labelled: int, rows: int, seconds: float) -> Sweep:
    """What the user wishes, or what suits so many labels: without any, one lambda is enough."""
    wished = tuple(float(parse_decimal(text)) for text in wish.lambdas)
    weights = wished or (_LABELLED if labelled >= _MOSTLY * rows else _UNLABELLED)
    target = None if wish.target_score is None else float(parse_decimal(wish.target_score))
    return Sweep(weights if labelled else weights[:1], target, seconds)


def sweep(wished: Sweep, fit: Callable[[float, float], Fitted], now: Callable[[], float]) -> Swept:
    """Try one lambda after the other until the target or the time is reached.

    Args:
        wished: what to try.
        fit: trains anew with a lambda for at most so many seconds.
        now: seconds, monotonic.
    """
    end, found, words = now() + wished.seconds, list[Fitted](), list[str]()
    for number, weight in enumerate(wished.weights):
        left = end - now()
        if found and (left <= 0 or reached(found[-1].standing, wished.target)):
            break
        found.append(fit(weight, left / (len(wished.weights) - number)))
        words.append(f"lambda {weight:g}: {found[-1].words}")
    best = best_of([fitted.standing for fitted in found])
    why = _why(wished, found, best)
    return Swept(found[best], (*words, f"lambda {wished.weights[best]:g} is taken{why}"))


def _why(wished: Sweep, found: Sequence[Fitted], best: int) -> str:
    untried = [f"{weight:g}" for weight in wished.weights[len(found) :]]
    if reached(found[best].standing, wished.target):
        rest = f", so lambda {', '.join(untried)} was left untried" if untried else ""
        return f": the target score {wished.target:g} is reached{rest}"
    missed = "" if wished.target is None else f": the target score {wished.target:g} is not reached"
    late = f"no time was left for lambda {', '.join(untried)}" if untried else ""
    joined = " and " if missed and late else ": " if late else ""
    return f"{missed}{joined}{late}"


def best_of(standings: Sequence[Standing]) -> int:
    """Which of several ends has the best score; ties go to the earlier one."""
    scores = [-np.inf if s.score is None else s.score for s in standings]
    return int(np.argmax(scores))


def reached(standing: Standing, target: float | None) -> bool:
    """Whether the score that was asked for is there."""
    return target is not None and standing.score is not None and standing.score >= target
