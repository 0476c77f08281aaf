"""What each weight is worth, and which ones go. Pure numpy."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.optimization import Pruning, PruningScope
from slipway_optimizer.arrays import Array, Arrays

_BINS: Final = 32


def magnitudes(weights: Mapping[str, Array]) -> Arrays:
    """|w|, the L1 norm's parts."""
    return {name: np.abs(value) for name, value in weights.items()}


def by_entropy(
    weights: Mapping[str, Array], axes: Mapping[str, int], entropies: Mapping[str, Array]
) -> Arrays:
    """|w| times the entropy of what its output channel answers.

    A channel that always answers alike tells the next layer nothing, as in Luo and Wu, An
    Entropy-based Pruning Method for CNN Compression (2017).

    Args:
        weights: to be judged.
        axes: of each one's output channels.
        entropies: a number from 0 to 1 for each output channel.
    """
    found = {}
    for name, value in weights.items():
        shape = [1] * value.ndim
        shape[axes[name]] = -1
        found[name] = np.abs(value) * entropies[name].reshape(shape).astype(value.dtype)
    return found


def entropy(answers: Array) -> NDArray[np.float64]:
    """Of each column's distribution over 32 equal bins of all values' range, 0 to 1.

    Worked example: a column that is always the same has 0, one that fills all bins alike has 1.

    Args:
        answers: [observations, channels].
    """
    low, high = float(answers.min()), float(answers.max())
    if high <= low:
        return np.zeros(answers.shape[1])
    bins = np.minimum(((answers - low) * (_BINS / (high - low))).astype(np.int64), _BINS - 1)
    found = np.empty(answers.shape[1])
    for channel in range(answers.shape[1]):
        share = np.bincount(bins[:, channel], minlength=_BINS) / len(answers)
        known = share[share > 0]
        found[channel] = -(known * np.log(known)).sum() / np.log(_BINS)
    return found


def masks(importance: Mapping[str, Array], pruning: Pruning) -> dict[str, NDArray[np.bool_]]:
    """Weight -> which of its numbers stay, the least important ``value`` % going.

    No more than ``maxPerLayer`` of one weight goes: thresholds over everything would else empty
    the layers whose numbers are small.
    """
    if not importance:
        return {}
    value, cap = float(parse_decimal(pruning.value)), float(parse_decimal(pruning.max_per_layer))
    whole = None
    if pruning.scope is PruningScope.GLOBAL:
        everything = np.concatenate([worth.ravel() for worth in importance.values()])
        whole = float(np.quantile(everything, value / 100))
    found = {}
    for name, worth in importance.items():
        wanted = float(np.quantile(worth, value / 100)) if whole is None else whole
        found[name] = worth >= min(wanted, float(np.quantile(worth, cap)))
    return found
