"""How much faster: a ratio of paired times with an upper bound. Pure.

Shared machines drift by a factor of two and more, so two variants run in turn and only their ratio
within a round counts. Rounds are pooled into blocks, whose medians shed spikes; the bound is
Student's t over the blocks' logarithms.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BLOCKS: Final = 20
_T95: Final = 1.729  # one-sided 95 %, 19 degrees of freedom
MIN_ROUNDS: Final = _BLOCKS
Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Latency:
    """One variant's times, measured in turn with the baseline's.

    Attributes:
        p50_ms, p95_ms, p99_ms: of single runs.
        ratio: to the baseline in the same rounds; ``upper`` is its one-sided 95 % bound.
        samples_ms: the runs themselves, in order.
    """

    p50_ms: float
    p95_ms: float
    ratio: float
    upper: float
    p99_ms: float = 0.0
    samples_ms: tuple[float, ...] = ()


def summarise(baseline: Seconds, candidate: Seconds) -> Latency:
    """From seconds per run of the same rounds, in order. Needs ``MIN_ROUNDS`` rounds."""
    logs = np.log(candidate / baseline)
    medians = np.array([np.median(block) for block in np.array_split(logs, _BLOCKS)])
    spread = float(medians.std(ddof=1)) / math.sqrt(_BLOCKS)
    middle = float(medians.mean())
    p50, p95, p99 = np.percentile(candidate, (50, 95, 99))
    return Latency(
        p50_ms=float(p50) * 1e3,
        p95_ms=float(p95) * 1e3,
        ratio=math.exp(middle),
        upper=math.exp(middle + _T95 * spread),
        p99_ms=float(p99) * 1e3,
        samples_ms=tuple(round(float(seconds) * 1e3, 4) for seconds in candidate),
    )


def rounds_for(budget: float, seconds_per_round: float, *, most: int = 400) -> int:
    """Rounds that fit a budget of seconds, but enough for a bound."""
    return max(MIN_ROUNDS, min(most, int(budget / max(seconds_per_round, 1e-6))))
