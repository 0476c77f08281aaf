"""Runs variants and times them. Holds no opinion: verdict.py judges what comes out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

from slipway_optimizer.arrays import Arrays, rows_of
from slipway_optimizer.metrics import close, first_nonfinite
from slipway_optimizer.ratios import Latency, rounds_for, summarise
from slipway_optimizer.session import Model

_WARMUP: Final = 3
_FEW: Final = 5
_SHORT: Final = 2e-3  # seconds; filling the caches again costs some 20 us
_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """How to time.

    Attributes:
        budget: seconds for all variants together.
        clock: seconds, monotonic and fine.
    """

    budget: float
    clock: Callable[[], float] = time.perf_counter


def latencies(models: Sequence[Model], feeds: Sequence[Arrays], watch: Stopwatch) -> list[Latency]:
    """Time variants in turn, single rows, the first being the baseline of the ratios.

    Every round runs all of them, so that a machine that slows down slows everybody; in another
    order each time, since whoever follows a large model finds the caches full of it. Where that
    weighs, because a run is short, each runs once untimed before: a server's model follows itself.
    """
    warmup = [min(_time(model, feeds[0], watch) for _ in range(_WARMUP)) for model in models]
    untimed = 1 if min(warmup) < _SHORT else 0
    rounds = rounds_for(watch.budget, sum(warmup) * (1 + untimed))
    times = np.empty((rounds, len(models)))
    shuffled = np.random.default_rng(_SEED)
    for number in range(rounds):
        feed = feeds[number // len(models) % len(feeds)]
        for column in shuffled.permutation(len(models)):
            for _ in range(untimed):
                models[column].run(feed)
            times[number, column] = _time(models[column], feed, watch)
    return [summarise(times[:, 0], times[:, column]) for column in range(len(models))]


def rough(models: Sequence[Model], feed: Arrays, watch: Stopwatch) -> list[float]:
    """Median seconds of a few runs in turn: for people to read, too few to decide by."""
    rounds = [[_time(model, feed, watch) for model in models] for _ in range(1 + _FEW)]
    return [median(times) for times in zip(*rounds[1:], strict=True)]  # the first warms up


def _time(model: Model, feed: Arrays, watch: Stopwatch) -> float:
    started = watch.clock()
    model.run(feed)
    return max(watch.clock() - started, 1e-9)


def nonfinite(outputs: Arrays) -> tuple[str, int] | None:
    """Output and row of the first NaN or infinity."""
    for name, value in outputs.items():
        row = first_nonfinite(value)
        if row is not None:
            return name, row
    return None


def deterministic(model: Model, feed: Arrays, *, runs: int = 5) -> bool:
    """Whether equal feeds give equal outputs (to 1e-5: threads may sum in another order)."""
    first = model.run(feed)
    return all(
        close(first[name], value, rtol=1e-5, atol=1e-6)
        for _ in range(runs - 1)
        for name, value in model.run(feed).items()
    )


def runs_batched(model: Model, rows: Arrays) -> bool:
    """Whether several rows at once give one answer each.

    Raises:
        Refused: as ``Model.run``.
    """
    outputs = model.run(rows)
    return all(value.ndim > 0 and len(value) == rows_of(rows) for value in outputs.values())
