"""What a server learns of a model before it is ready: that it runs, and how to batch it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from slipway.errors import SlipwayError
from slipway_server.batcher import BatchPolicy
from slipway_server.engine import Session
from slipway_server.golden import Tolerance, difference
from slipway_server.protocol import bfloat16
from slipway_server.protocol.tensors import BF16, Array, TensorSpec

Feeds = dict[str, Array]
Clock = Callable[[], float]
_BUDGET_SECONDS: Final = 0.3
# To compare, and to time batches of up to eight rows, takes about so many runs. On a node that is
# busy with starting pods they take longer, and what is learnt then stays.
_RUNS_OF_LEARNING: Final = 24
_LONGEST_LEARNING: Final = 1.0  # seconds
_SIZES: Final = (2, 4, 8, 16, 32)
_GAIN: Final = 0.95  # a larger batch must cost less than this share per row
INLINE_SECONDS: Final = 0.0003  # two thread switches cost about as much
_INLINE_BATCH_SECONDS: Final = 0.002
_HOP_SECONDS: Final = 0.0001  # of each run that is not on the loop, about
_LARGEST_BATCH_BYTES: Final = 64 << 20
_ANY_SIZES: Final = (16, 64, 256)  # guesses for dynamic dimensions behind the first
# Joining rows may change the order of a sum, not more. Where activations are quantised by the range
# of the whole batch, a neighbour changes an answer visibly: such a model is not batched.
_EQUAL: Final = Tolerance(relative=1e-3, absolute=1e-4)


def made_up(inputs: Sequence[TensorSpec], *, size: int, seed: int) -> Feeds:
    """One row for a model of which no sample is known.

    Args:
        inputs: what it takes.
        size: of dynamic dimensions behind the first.
        seed: other seeds give other values, and other ranges of them.
    """
    feeds: Feeds = {}
    for spec in inputs:
        shape = [
            1 if wanted == -1 and not place else wanted for place, wanted in enumerate(spec.shape)
        ]
        shape = [size if wanted == -1 else wanted for wanted in shape]
        if spec.dtype.kind == "O":
            values: Array = np.empty(shape, np.object_)
            values[...] = f"text {seed}"
        elif spec.datatype == BF16:
            values = bfloat16.narrow(_scattered(shape, seed)).reshape(shape)
        elif spec.is_float:
            values = _scattered(shape, seed).astype(spec.dtype)
        else:  # small numbers are valid as labels, tokens and booleans alike
            values = np.asarray(_scattered(shape, seed) > 0, spec.dtype)
        feeds[spec.name] = values
    return feeds


def _scattered(shape: Sequence[int], seed: int) -> Array:
    """Numbers around 0 without a visible order; numpy's own generators take 15 ms to import.

    Each seed has a range of its own, so that a neighbour shows where activations are quantised by
    the range of the whole batch.
    """
    steps = np.arange(1, math.prod(shape) + 1, dtype=np.float64)
    scattered: Array = np.sin(steps * (12.9898 + seed)) * ((1 + seed) / 2)
    return scattered.reshape(shape)  # last: arithmetic would make a scalar of an array without axes


def rows_that_run(
    session: Session, known: Sequence[Feeds], *, clock: Clock, wanted: int = 4
) -> list[Feeds]:
    """Feeds of one row each that the model takes: the known ones, else made-up ones.

    Nobody promised that a model takes what was made up (a threshold, a divisor): that it does not
    is no fault of the model.

    Returns:
        At most ``wanted`` feeds, fewer of a slow model; none when the model refuses everything that
        was made up.
    """
    if known:
        return list(known[:wanted])
    enough = clock() + _BUDGET_SECONDS
    for size in _ANY_SIZES:
        taken = []
        for seed in range(wanted):
            feeds = made_up(session.inputs, size=size, seed=seed)
            if _takes(session, feeds):
                taken.append(feeds)
            if clock() > enough:
                break
        if taken:
            return taken
    return []


def _takes(session: Session, feeds: Feeds) -> bool:
    try:
        session.run(feeds)
    except SlipwayError:
        return False
    return True


def warm(session: Session, rows: Sequence[Feeds], *, iterations: int, clock: Clock) -> None:
    """Run so often that buffers and caches are there; a slow model is warm after one run.

    Args:
        session: loaded.
        rows: feeds that work.
        iterations: at most so many runs.
        clock: seconds, monotonic.
    """
    enough = clock() + _BUDGET_SECONDS
    for place in range(iterations if rows else 0):
        session.run(rows[place % len(rows)])
        if clock() > enough:
            return


def learn(session: Session, rows: Sequence[Feeds], clock: Clock) -> BatchPolicy:
    """Measure what rows cost together. Takes about a second at most, and 0.3 s for a fast model.

    Args:
        session: loaded and warm.
        rows: feeds of one row that work.
        clock: seconds, monotonic.
    """
    if not rows:
        return BatchPolicy()
    start = clock()
    one = time_of_one(session, rows, clock)
    inline = one < INLINE_SECONDS
    hop = 0.0 if inline else _HOP_SECONDS
    best, cost, last = 1, one + hop, one
    budget = min(_LONGEST_LEARNING, max(_BUDGET_SECONDS, _RUNS_OF_LEARNING * one))
    # To compare and to time the first batch takes eight runs: a slower model is not worth the wait.
    affordable = 8 * one < budget and can_batch(session.inputs, session.outputs)
    if affordable and answers_do_not_mix(session, rows):
        row_bytes = sum(array.nbytes for array in rows[0].values())
        for size in _SIZES:
            late = clock() - start + 2 * last > budget
            if late and size > _SIZES[0]:  # the first was affordable: a stall does not forbid it
                break
            if size * row_bytes > _LARGEST_BATCH_BYTES:
                break
            last = _best_time(session, joined(rows, size), clock, budget=_BUDGET_SECONDS / 10)
            if inline and last > _INLINE_BATCH_SECONDS:
                break
            if (last + hop) / size < _GAIN * cost:
                best, cost = size, (last + hop) / size
            elif size > 2 * best:
                break
    return BatchPolicy(max_rows=best, inline=inline, seconds=one)


def time_of_one(session: Session, rows: Sequence[Feeds], clock: Clock) -> float:
    """Seconds of a run of the first row, at best."""
    return _best_time(session, rows[0], clock, budget=_BUDGET_SECONDS / 10)


def can_batch(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Whether every input and output has a dynamic first dimension."""
    return bool(inputs) and all(spec.has_rows for spec in (*inputs, *outputs))


def answers_do_not_mix(session: Session, rows: Sequence[Feeds]) -> bool:
    """Whether rows that share a run get the answers that they get alone."""
    same = [row for row in rows if _shapes(row) == _shapes(rows[0])]
    if any(array.shape[0] != 1 for row in same for array in row.values()):
        return False
    group = [same[place % len(same)] for place in range(max(3, len(same)))]
    try:
        together = session.run(joined(group, len(group)))
        alone = [session.run(row) for row in group]
    except SlipwayError:
        return False
    for place, answers in enumerate(alone):
        for spec, found, expected in zip(session.outputs, together, answers, strict=True):
            if found.shape[:1] != (len(group),) or expected.shape[:1] != (1,):
                return False
            own = spec.numbers(found[place : place + 1])
            if difference(own, spec.numbers(expected), _EQUAL):
                return False
    return True


def joined(rows: Sequence[Feeds], size: int) -> Feeds:
    """``size`` rows in one feed, repeating those of the first one's shapes."""
    same = [row for row in rows if _shapes(row) == _shapes(rows[0])]
    picked = [same[place % len(same)] for place in range(size)]
    return {name: np.concatenate([row[name] for row in picked]) for name in picked[0]}


def _shapes(feeds: Mapping[str, Array]) -> list[tuple[int, ...]]:
    return [array.shape for array in feeds.values()]


def _best_time(session: Session, feeds: Feeds, clock: Clock, *, budget: float) -> float:
    return min(_times(session, feeds, clock, budget))


def _times(session: Session, feeds: Feeds, clock: Clock, budget: float) -> Iterator[float]:
    spent = 0.0
    for _ in range(20):
        start = clock()
        session.run(feeds)
        took = clock() - start
        yield took
        spent += took
        if spent > budget:
            return
