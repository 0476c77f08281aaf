"""Timing in turn, by a clock that the test holds."""

from typing import cast

import numpy as np

from slipway_optimizer.arrays import Arrays
from slipway_optimizer.measure import Stopwatch, rough
from slipway_optimizer.session import Model


class Timed:
    """A model whose runs take the seconds of a list, one after the other."""

    def __init__(self, clock: "Hand", seconds: list[float]) -> None:
        self._clock, self._seconds = clock, iter(seconds)

    def run(self, _feed: Arrays) -> Arrays:
        self._clock.now += next(self._seconds)
        return {}


class Hand:
    """A clock that models move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_rough_time_is_the_median_of_a_few_runs_after_the_first() -> None:
    clock = Hand()
    steady = Timed(clock, [9.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    uneven = Timed(clock, [9.0, 1.0, 7.0, 1.0, 3.0, 1.0])

    seconds = rough(
        [cast("Model", steady), cast("Model", uneven)],
        {"x": np.zeros(1)},
        Stopwatch(0, clock=clock),
    )

    assert seconds == [2.0, 1.0]
