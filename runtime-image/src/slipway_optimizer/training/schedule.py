"""How long to train, on what, and when to stop. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slipway_optimizer.arrays import Arrays

Numbers = NDArray[np.int64]
_HELD_SHARE: Final = 0.1
_MOST_HELD: Final = 1000
_LEAST_SCORED: Final = 20
_PATIENCE: Final = (8, 0.25)  # epochs, or that share of all that are asked for
_BETTER: Final = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """Numbers of the rows that teach, and of those that say when to stop; labelled rows first."""

    teach: Numbers
    held: Numbers


def divide(labelled: int, unlabelled: int, *, seed: int) -> Division:
    """Hold a tenth of each kind out; of very few rows one at least teaches and one is held."""
    generator = np.random.default_rng(seed)
    teach, held = [], []
    for start, count in ((0, labelled), (labelled, unlabelled)):
        order = generator.permutation(count) + start
        kept = min(_MOST_HELD, round(count * _HELD_SHARE), max(0, count - 1))
        kept = max(kept, 1) if count > 1 else kept
        held.append(order[:kept])
        teach.append(order[kept:])
    return Division(np.sort(np.concatenate(teach)), np.sort(np.concatenate(held)))


def is_telling(held: int) -> bool:
    """Whether a score of so many rows held out compares two students."""
    return held >= _LEAST_SCORED


@dataclass(frozen=True, slots=True)
class Standing:
    """How good a state is on the rows held out.

    Attributes:
        score: share of right answers, or minus the mean absolute error; greater is better. A row
            without a label is held to the teacher's answer. ``None`` when there are too few.
        loss: what is trained for, on those rows. It is finer than a score, so it says when to
            stop; between different losses only scores compare.
    """

    score: float | None
    loss: float

    def better_than(self, other: "Standing") -> bool:
        """Whether its loss is less by more than chance in the last digits."""
        return self.loss < other.loss - _BETTER * abs(other.loss)


class Ending(StrEnum):
    """Why a training ended."""

    DONE = "all that were asked for"
    STALE = "then nothing got better"
    TIME = "then no time was left"


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The best state on the rows held out."""

    weights: Arrays
    standing: Standing
    epochs: int
    ending: Ending

    @property
    def words(self) -> str:
        """What was reached, and why no more was tried."""
        score = self.standing.score
        told = "" if score is None else f"score {score:.4g}, "
        return (
            f"{told}loss {self.standing.loss:.4g} on the rows held out, {self.epochs} epochs, "
            f"{self.ending}"
        )


@dataclass(frozen=True, slots=True)
class Course:
    """Epochs so far.

    Attributes:
        best: standing and epoch of the best state; epoch 0 is how it came.
    """

    epochs: int
    best: tuple[Standing, int]

    def after(self, standing: Standing) -> "Course":
        """With one more epoch."""
        number = self.epochs + 1
        if standing.better_than(self.best[0]):
            return Course(number, (standing, number))
        return Course(number, self.best)

    @property
    def is_best(self) -> bool:
        """Whether the last epoch is the best one."""
        return self.best[1] == self.epochs

    def ended(self, limit: int, *, seconds_left: float, seconds_each: float) -> Ending | None:
        """All epochs are done, nothing gets better, or the next one would take too long."""
        if self.epochs >= limit:
            return Ending.DONE
        if self.epochs - self.best[1] >= max(_PATIENCE[0], _PATIENCE[1] * limit):
            return Ending.STALE
        return Ending.TIME if seconds_left < seconds_each else None

    def horizon(self, limit: int, *, seconds_left: float, seconds_each: float) -> int:
        """How many epochs there will be: all, or as many as fit the time, that the rate may fall.

        Worked example: 10 done, 100 asked for, 30 s left and 2 s each -> 25.
        """
        if seconds_each <= 0:
            return limit
        return min(limit, self.epochs + max(1, int(seconds_left / seconds_each)))


def learning_rate(base: float, step: int, steps: int) -> float:
    """Rises over the first twentieth, then falls along a cosine to a hundredth.

    As in Loshchilov and Hutter, SGDR (2017), without restarts.
    """
    warm = max(1, steps // 20)
    if step < warm:
        return base * (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    return base * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, progress)))))
