"""One run for several requests: join their rows, run, split the answers, judge each. No I/O."""

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from slipway.errors import SlipwayError
from slipway_server.errors import NonFiniteOutput
from slipway_server.protocol.tensors import Array, TensorSpec

Outcome = list[Array] | BaseException
Run = Callable[[Mapping[str, Array]], list[Array]]
Done = Callable[[Outcome], None]


class Job:
    """One request on its way to the model. A dataclass would cost a small request more.

    Attributes:
        feeds: its inputs.
        rows: its first dimension; jobs that cannot share a run have 1.
        key: jobs with equal keys may share a run; ``None`` runs alone.
        size: bytes that it holds while it waits.
        deadline: on the clock of the batcher, after which nobody wants the answer.
        done: called once with the answer; ``None`` when nobody waits any more.
        source: whose it is: connections take turns.
        since: when it began to wait; set by the batcher.
    """

    __slots__ = ("deadline", "done", "feeds", "key", "rows", "since", "size", "source")

    def __init__(
        self,
        feeds: dict[str, Array],
        rows: int,
        key: Hashable | None,
        size: int,
        deadline: float,
        done: Done | None,
        source: Hashable = None,
    ) -> None:
        self.feeds = feeds
        self.rows = rows
        self.key = key
        self.size = size
        self.deadline = deadline
        self.done = done
        self.source = source
        self.since = 0.0


def run_together(run: Run, jobs: Sequence[Job], outputs: Sequence[TensorSpec]) -> list[Outcome]:
    """Answer each job, by one run where that works.

    A run that fails is repeated job by job, so that one bad request spoils no other.

    Args:
        run: the model.
        jobs: of one key.
        outputs: the model's outputs, in order.

    Returns:
        For each job its outputs, or the error.
    """
    if len(jobs) == 1:
        return [_alone(run, jobs[0], outputs)]
    first = jobs[0].feeds
    try:
        arrays = run({name: np.concatenate([job.feeds[name] for job in jobs]) for name in first})
    except SlipwayError:
        return [_alone(run, job, outputs) for job in jobs]
    rows = sum(job.rows for job in jobs)
    if any(array.shape[:1] != (rows,) for array in arrays):
        return [_alone(run, job, outputs) for job in jobs]
    finite = non_finite(arrays, outputs) is None
    outcomes: list[Outcome] = []
    start = 0
    for job in jobs:
        end = start + job.rows
        own = [array[start:end] for array in arrays]
        outcomes.append(own if finite else _judged(own, outputs))
        start = end
    return outcomes


def non_finite(arrays: Sequence[Array], outputs: Sequence[TensorSpec]) -> str | None:
    """The name of the first output that holds NaN or infinity."""
    for spec, array in zip(outputs, arrays, strict=True):
        if not spec.is_finite(array):
            return spec.name
    return None


def _alone(run: Run, job: Job, outputs: Sequence[TensorSpec]) -> Outcome:
    try:
        return _judged(run(job.feeds), outputs)
    except SlipwayError as error:
        return error


def _judged(arrays: list[Array], outputs: Sequence[TensorSpec]) -> Outcome:
    name = non_finite(arrays, outputs)
    if name is None:
        return arrays
    return NonFiniteOutput(f"output '{name}' has non-finite values (NaN or infinity)")
