"""What to try next, from a first look at what was built. Pure.

Closeness screens cheaply: at 30 dB of SQNR no measured case lost more than 0.15 points, below 8 dB
all lost dearly, and between them the labels decide. The look is at rows that calibrate and never
judge, so nothing that is chosen here has seen the rows that will judge it.
"""

from dataclasses import dataclass
from typing import Final

from slipway.api.v1alpha1.optimization import Calibration, Objective, QuantizationMode
from slipway.wire import WireModel
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.verdict import CLOSE_DB, MIN_AGREEMENT, NOISE_DB

HOPELESS_RATIO: Final = 1.5  # a first look is rough; this slow is slow
NOTHING: Final = "NothingToQuantize"
_UNSURE_DB: Final = 15.0
_MOST_HISTOGRAM_BYTES: Final = 256 << 20  # Percentile and Entropy keep every activation
_MOST_HISTOGRAM_ROWS: Final = 64
_LEAST_HISTOGRAM_ROWS: Final = 8


class Screen(WireModel):
    """A first look, on few rows.

    Attributes:
        sqnr_db: of the judged output, 200 when equal.
        agreement: share of equal answers, ``None`` when the source has one answer only.
        loss: of the task's score against fp32 on the same rows; positive is worse.
        ratio: rough latency against fp32.
    """

    sqnr_db: float
    agreement: float | None
    loss: float | None
    ratio: float


_LONGEST: Final = 1_800.0  # seconds for one child; the Job's own deadline is above it
_GRACE: Final = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the gates and the objective ask of a first look.

    Attributes:
        allowed_loss: of the task's score; ``None`` without labels.
        own_db: least SQNR, where the user bounds closeness without labels.
    """

    objective: Objective
    allowed_loss: float | None
    own_db: float | None = None


def patience(left: float) -> float:
    """Seconds that a child gets: what is left of the budget, and time to start and to finish."""
    return min(_LONGEST, max(0.0, left) + _GRACE)


def rejection(
    screen: Screen, limits: Limits, *, labels_decide: bool = False
) -> tuple[str, str] | None:
    """Reason and sentence, when no closer look can be worth it.

    What was trained may answer rightly without being close: where there are labels, they decide.
    """
    if screen.sqnr_db < NOISE_DB and not labels_decide:
        return "TooNoisy", f"SQNR {screen.sqnr_db:.1f} dB at first sight, below {NOISE_DB:.0f} dB"
    if limits.objective is not Objective.MIN_SIZE and screen.ratio > HOPELESS_RATIO:
        return "TooSlow", f"{screen.ratio:.2f}x the latency of fp32 at first sight"
    return None


def is_promising(screen: Screen, limits: Limits) -> bool:
    """Whether it will likely keep its gate."""
    if screen.sqnr_db >= CLOSE_DB:
        return True
    if limits.own_db is not None:
        return screen.sqnr_db >= limits.own_db
    if limits.allowed_loss is None:
        agrees = screen.agreement is not None and screen.agreement >= MIN_AGREEMENT
        return screen.sqnr_db >= NOISE_DB and agrees
    return (
        screen.sqnr_db >= _UNSURE_DB
        and screen.loss is not None
        and screen.loss <= limits.allowed_loss
    )


def next_calibration(recipe: Recipe, *, activation_bytes: int, rows: int) -> Recipe | None:
    """The same with ranges that leave outliers out, where memory allows it."""
    if recipe.quantization not in (QuantizationMode.STATIC, QuantizationMode.HYBRID):
        return None
    if histogram_rows(activation_bytes, rows) < _LEAST_HISTOGRAM_ROWS:
        return None
    following = {Calibration.MIN_MAX: Calibration.PERCENTILE}.get(recipe.calibration)
    if following is None:
        return None
    name = f"{recipe.name}-{following.lower()}"
    return recipe.model_copy(update={"name": name, "calibration": following})


def histogram_rows(activation_bytes: int, rows: int) -> int:
    """How many rows Percentile and Entropy may calibrate on."""
    fit = _MOST_HISTOGRAM_BYTES // max(1, activation_bytes)
    return min(rows, fit, _MOST_HISTOGRAM_ROWS)


def per_tensor(recipe: Recipe, failure: str) -> Recipe | None:
    """The coarser grain, for graphs in which a scale per channel is not possible.

    Args:
        recipe: what could not be built.
        failure: why not, ``Reason: message``.
    """
    if failure.startswith(NOTHING):
        return None  # at any grain
    if not recipe.per_channel or recipe.quantization is None or recipe.bits is not None:
        return None
    return recipe.model_copy(update={"name": f"{recipe.name}-per-tensor", "per_channel": False})


def without(recipe: Recipe, exclude: tuple[str, ...]) -> Recipe:
    """The same with some more nodes left in fp32."""
    left = (*recipe.exclude, *exclude)
    return recipe.model_copy(update={"name": f"{recipe.name}-partial", "exclude": left})


def to_bisect(
    screens: dict[str, Screen], recipes: dict[str, Recipe], limits: Limits
) -> tuple[str, ...]:
    """What will likely fail though it is faster than all that will likely pass, fastest first.

    Of those that differ in their ranges only, the fastest: their sensitive nodes are the same.
    """
    good = [s.ratio for s in screens.values() if is_promising(s, limits)]
    best = min(good, default=1.0)
    doubtful = [
        (screen.ratio, name)
        for name, screen in screens.items()
        if not is_promising(screen, limits)
        and screen.ratio < 0.95 * min(best, 1.0)
        and recipes[name].quantization in (QuantizationMode.DYNAMIC, QuantizationMode.STATIC)
    ]
    found: dict[tuple[object, ...], str] = {}
    for _, name in sorted(doubtful):
        recipe = recipes[name]
        found.setdefault((recipe.quantization, recipe.carried, recipe.per_channel), name)
    return tuple(found.values())
