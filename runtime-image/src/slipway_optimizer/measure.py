"""Runs variants and times them. Holds no opinion: verdict.py judges what comes out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from slipway_optimizer.arrays import Arrays, rows_of
from slipway_optimizer.metrics import close, first_nonfinite
from slipway_optimizer.ratios import Latency, rounds_for, summarise
from slipway_optimizer.session import Model


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """How to time.

    Attributes:
        budget: seconds for one pair of variants.
        clock: seconds, monotonic and fine.
    """

    budget: float
    clock: Callable[[], float] = time.perf_counter


def latency(
    baseline: Model, candidate: Model, feeds: Sequence[Arrays], watch: Stopwatch
) -> Latency:
    """Time two variants in turn, single rows; every feed is met in both orders."""
    warmup = [_time(model, feeds[0], watch) for model in (baseline, candidate) for _ in range(3)]
    rounds = rounds_for(watch.budget, min(warmup[:3]) + min(warmup[3:]))
    times = np.empty((rounds, 2))
    models = (baseline, candidate)
    for number in range(rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        for column in order:
            times[number, column] = _time(models[column], feeds[number // 2 % len(feeds)], watch)
    return summarise(times[:, 0], times[:, 1])


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
