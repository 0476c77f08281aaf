"""How narrow a student has to be to be as fast as is wished. Pure: what measures is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slipway_optimizer.training.shrink import BLOCK, wanted_channels

Sizes = Mapping[str, int]
_STEP: Final = 0.75  # of the width, while whole blocks can go
_LAST: Final = (8, 4)  # channels; less than a block, which is faster in some places only


@dataclass(frozen=True, slots=True)
class Aimed:
    """How many channels each group keeps, and the latency ratio that was measured for it."""

    sizes: Sizes
    ratio: float

    def words(self, target: float) -> str:
        """For the report."""
        if self.ratio <= target:
            return f"aimed at {target:g}x latency: {self.ratio:.2f}x measured"
        return f"no narrower student has {target:g}x latency: {self.ratio:.2f}x measured"


def aim(
    groups: Sizes, width: float, target: float, ratios: Callable[[Sequence[Sizes]], Sequence[float]]
) -> Aimed:
    """The widest student found that is fast enough, else the fastest one.

    All groups are narrowed alike while whole blocks can go; then, one at a time, the one that saves
    the most goes below a block.

    Args:
        groups: channels of each group in the model.
        width: share of them to begin with.
        target: latency ratio to reach.
        ratios: measures several choices in turn with the model.
    """
    sizes = _at(groups, width)
    found = Aimed(sizes, ratios([sizes])[0])
    while found.ratio > target:
        width *= _STEP
        sizes = _at(groups, width)
        if sizes != found.sizes:
            found = Aimed(sizes, ratios([sizes])[0])
        elif all(size <= BLOCK for size in sizes.values()):
            break
    while found.ratio > target:
        options = [
            {**found.sizes, name: few}
            for name, size in found.sizes.items()
            for few in _LAST
            if few < size
        ]
        if not options:
            break
        measured = ratios(options)
        best = min(range(len(options)), key=measured.__getitem__)
        if measured[best] >= found.ratio:
            break
        found = Aimed(options[best], measured[best])
    return found


def _at(groups: Sizes, width: float) -> Sizes:
    return {name: wanted_channels(size, width) for name, size in groups.items()}
