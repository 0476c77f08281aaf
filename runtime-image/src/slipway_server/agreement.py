"""Whether two revisions answer alike, and how a replay went. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from slipway.tasks import ReplayReport
from slipway_server.protocol.tensors import Array

_RELATIVE: Final = 1e-2


def agrees(stable: Mapping[str, Array], canary: Mapping[str, Array]) -> bool:
    """Whether the canary's outputs say the same as the stable ones.

    Scores (floats whose last dimension is above 1) agree when their greatest is in the same place,
    other floats within 1 % of ``max(1, |stable|)``, everything else when it is equal. Outputs that
    only the canary has are not judged: a new version may answer more.
    """
    return all(
        name in canary and _output_agrees(array, canary[name]) for name, array in stable.items()
    )


def _output_agrees(stable: Array, canary: Array) -> bool:
    if stable.shape != canary.shape:
        return False
    if stable.dtype.kind != "f" or canary.dtype.kind != "f":
        return bool(np.array_equal(stable, canary))
    if stable.ndim and stable.shape[-1] > 1:
        return bool(np.array_equal(stable.argmax(axis=-1), canary.argmax(axis=-1)))
    bound = _RELATIVE * np.maximum(1.0, np.abs(stable))
    return bool(np.all(np.abs(canary.astype(np.float64) - stable) <= bound))


@dataclass(slots=True)
class Tally:
    """What a replay has seen so far. Latencies in seconds, of answers that were no errors."""

    samples: int = 0
    agreeing: int = 0
    stable_errors: int = 0
    canary_errors: int = 0
    stable_seconds: list[float] = field(default_factory=list)
    canary_seconds: list[float] = field(default_factory=list)

    def add(self, stable: Mapping[str, Array] | None, canary: Mapping[str, Array] | None) -> None:
        """Count a pair of answers; ``None`` is an error."""
        self.samples += 1
        self.stable_errors += stable is None
        self.canary_errors += canary is None
        if stable is not None and canary is not None and agrees(stable, canary):
            self.agreeing += 1

    def report(self, note: str = "") -> ReplayReport:
        """The termination message."""
        stable, canary = p95_ms(self.stable_seconds), p95_ms(self.canary_seconds)
        text = f"{self.agreeing} of {self.samples} samples agree"
        if self.stable_errors or self.canary_errors:
            text += f", {self.stable_errors} stable and {self.canary_errors} canary errors"
        if stable is not None and canary is not None:
            text += f"; p95 {stable:.3g} ms stable, {canary:.3g} ms canary"
        return ReplayReport(
            samples=self.samples,
            agreeing=self.agreeing,
            stable_errors=self.stable_errors,
            canary_errors=self.canary_errors,
            stable_p95_ms=stable,
            canary_p95_ms=canary,
            message=text + (f"; {note}" if note else ""),
        )


def p95_ms(seconds: Sequence[float]) -> float | None:
    """The nearest-rank 95th percentile in milliseconds: of 20 values, the 19th."""
    if not seconds:
        return None
    return round(sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1] * 1e3, 4)
