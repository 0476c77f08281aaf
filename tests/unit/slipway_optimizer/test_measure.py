"""Timing in turn, by a clock that the test holds."""

from itertools import pairwise
from typing import cast

import numpy as np

from slipway_optimizer.arrays import Arrays
from slipway_optimizer.measure import Stopwatch, latencies, rough
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


class Named:
    """Notes when it runs."""

    def __init__(self, name: str, clock: Hand, seen: list[str], seconds: float = 0.01) -> None:
        self._name, self._clock, self._seen, self._seconds = name, clock, seen, seconds

    def run(self, _feed: Arrays) -> Arrays:
        self._clock.now += self._seconds
        self._seen.append(self._name)
        return {}


def test_nobody_always_follows_the_same_model() -> None:
    """Else it would find the caches full of that one's weights each time."""
    clock, seen = Hand(), list[str]()
    models = [cast("Model", Named(name, clock, seen)) for name in "abcd"]

    latencies(models, [{"x": np.zeros(1)}], Stopwatch(8.0, clock=clock))

    rounds = seen[12:]  # each is warmed up three times
    pairs = {(one, two) for one, two in pairwise(rounds) if one != two}
    assert len(pairs) == 4 * 3
    assert all(sorted(rounds[n : n + 4]) == list("abcd") for n in range(0, len(rounds), 4))
    after_a = [two for one, two in pairwise(rounds) if one == "a"]
    assert max(after_a.count(name) for name in "bcd") < 0.6 * len(after_a)


class Cached:
    """Takes longer where another one ran before it."""

    last: "Cached | None" = None

    def __init__(self, clock: Hand, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def run(self, _feed: Arrays) -> Arrays:
        self._clock.now += self._seconds + (0.0 if Cached.last is self else 50e-6)
        Cached.last = self
        return {}


def test_a_short_run_is_timed_as_a_server_has_it_behind_one_of_its_own() -> None:
    clock = Hand()
    models = [cast("Model", Cached(clock, seconds)) for seconds in (100e-6, 30e-6)]

    small = latencies(models, [{"x": np.zeros(1)}], Stopwatch(8.0, clock=clock))[1]

    assert round(small.ratio, 6) == 0.3
