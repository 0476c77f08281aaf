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
    """Two variants' times in the same rounds.

    Attributes:
        baseline_ms, candidate_ms: median and 95th percentile of single runs.
        ratio: candidate to baseline; ``upper`` is its one-sided 95 % bound.
    """

    baseline_ms: tuple[float, float]
    candidate_ms: tuple[float, float]
    ratio: float
    upper: float


def summarise(baseline: Seconds, candidate: Seconds) -> Latency:
    """From seconds per run of the same rounds, in order. Needs ``MIN_ROUNDS`` rounds."""
    logs = np.log(candidate / baseline)
    medians = np.array([np.median(block) for block in np.array_split(logs, _BLOCKS)])
    spread = float(medians.std(ddof=1)) / math.sqrt(_BLOCKS)
    middle = float(medians.mean())
    return Latency(
        baseline_ms=_percentiles(baseline),
        candidate_ms=_percentiles(candidate),
        ratio=math.exp(middle),
        upper=math.exp(middle + _T95 * spread),
    )


def _percentiles(seconds: Seconds) -> tuple[float, float]:
    middle, high = np.percentile(seconds, (50, 95))
    return float(middle) * 1e3, float(high) * 1e3


def rounds_for(budget: float, seconds_per_round: float, *, most: int = 400) -> int:
    """Rounds that fit a budget of seconds, but enough for a bound."""
    return max(MIN_ROUNDS, min(most, int(budget / max(seconds_per_round, 1e-6))))
