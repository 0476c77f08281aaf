"""How narrow a student has to be to be as fast as is wished. Pure: what measures is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.training import Distillation
from slipway_optimizer.training.shrink import BLOCK, wanted_channels

Sizes = Mapping[str, int]
Measure = Callable[[Sequence[Sizes]], Sequence[float]]
_STEP: Final = 0.75  # of the width, while whole blocks can go
_LAST: Final = (8, 4)  # channels; less than a block, which is faster in some places only
_WIDTH: Final = 0.25
_TARGET: Final = 0.4
_GAINS: Final = 1.0
_MARGIN: Final = 0.9  # of the target: a later measurement was seen to read a tenth more
_PAYS: Final = 0.95  # of the time before: a step that gains less is not worth what it forgets


@dataclass(frozen=True, slots=True)
class Aim:
    """What a student is to be like.

    Attributes:
        width: share of the channels to begin with.
        target: latency ratio to reach; ``None``: the width is all that is wished.
        wished: whether somebody asked for that latency, whatever it costs.
    """

    width: float
    target: float | None
    wished: bool


@dataclass(frozen=True, slots=True)
class Aimed:
    """How many channels each group keeps, and the upper bound of the latency ratio so measured."""

    sizes: Sizes
    ratio: float

    def words(self, target: float) -> str:
        """For the report."""
        if self.ratio <= target:
            return f"aimed at {target:g}x latency: at most {self.ratio:.2f}x measured"
        return f"no narrower student has {target:g}x latency: at most {self.ratio:.2f}x measured"


def aim_of(wish: Distillation) -> Aim:
    """A width is taken at its word; whoever names none wants a fast student."""
    width = _WIDTH if wish.width is None else float(parse_decimal(wish.width))
    if wish.latency_ratio is not None:
        return Aim(width, float(parse_decimal(wish.latency_ratio)), wished=True)
    return Aim(width, _TARGET if wish.width is None else None, wished=False)


def aim(groups: Sizes, wanted: Aim, ratios: Measure) -> Aimed:
    """The widest student found that is fast enough, else the fastest one.

    All groups are narrowed alike while whole blocks can go; then, those that save the most first,
    groups go below a block, until the target is reached with a margin. If nobody wished for that
    latency, each step has to pay for what it forgets.

    Args:
        groups: channels of each group in the model.
        wanted: with a target.
        ratios: measures several choices in turn with the model: upper bounds.
    """
    width, target = wanted.width, _MARGIN * (wanted.target or 1.0)
    found = _measured(_at(groups, width), ratios)
    while found.ratio > target:
        width *= _STEP
        sizes = _at(groups, width)
        if sizes != found.sizes:
            narrower = _measured(sizes, ratios)
            if not wanted.wished and narrower.ratio > _PAYS * found.ratio:
                break
            found = narrower
        elif all(size <= BLOCK for size in sizes.values()):
            return _below_a_block(found, target, _GAINS if wanted.wished else _PAYS, ratios)
    return found


def _below_a_block(found: Aimed, target: float, least: float, ratios: Measure) -> Aimed:
    """Each group alone is measured once, so that models of many groups are not tried for hours."""
    options = [(name, few) for name, size in found.sizes.items() for few in _LAST if few < size]
    alone = ratios([{**found.sizes, name: few} for name, few in options]) if options else ()
    taken = set[str]()
    for _, (name, few) in sorted(zip(alone, options, strict=True)):
        if found.ratio <= target:
            break
        if name in taken:
            continue
        narrower = _measured({**found.sizes, name: few}, ratios)
        if narrower.ratio < least * found.ratio:
            found = narrower
            taken.add(name)
    return found


def _measured(sizes: Sizes, ratios: Measure) -> Aimed:
    return Aimed(sizes, ratios([sizes])[0])


def _at(groups: Sizes, width: float) -> Sizes:
    return {name: wanted_channels(size, width) for name, size in groups.items()}
