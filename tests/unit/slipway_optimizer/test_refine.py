"""What a first look leads to."""

import pytest

from slipway.api.v1alpha1.optimization import Calibration, Objective, QuantizationMode
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.refine import (
    Limits,
    Screen,
    histogram_rows,
    is_promising,
    next_calibration,
    patience,
    per_tensor,
    rejection,
    to_bisect,
    without,
)

FAST = Objective.MIN_LATENCY_P95
LABELLED, UNLABELLED = Limits(FAST, 0.01), Limits(FAST, None)
STATIC = Recipe(name="s", quantization=QuantizationMode.STATIC)
DYNAMIC = Recipe(name="d", quantization=QuantizationMode.DYNAMIC)


def screen(
    decibels: float,
    *,
    agreement: float | None = None,
    loss: float | None = None,
    ratio: float = 0.5,
) -> Screen:
    return Screen(sqnr_db=decibels, agreement=agreement, loss=loss, ratio=ratio)


@pytest.mark.parametrize(
    ("of", "limits", "reason"),
    [
        (screen(7.9), LABELLED, "TooNoisy"),
        (screen(40, ratio=1.6), LABELLED, "TooSlow"),
        (screen(40, ratio=1.6), Limits(Objective.MIN_SIZE, None), None),
        (screen(40, ratio=1.4), LABELLED, None),
    ],
)
def test_only_the_hopeless_are_rejected_at_first_sight(
    of: Screen, limits: Limits, reason: str | None
) -> None:
    found = rejection(of, limits)
    assert (None if found is None else found[0]) == reason


@pytest.mark.parametrize(
    ("of", "limits", "expected"),
    [
        (screen(30), UNLABELLED, True),
        (screen(29), UNLABELLED, False),
        (screen(12, agreement=0.995), UNLABELLED, True),
        (screen(12, agreement=0.98), UNLABELLED, False),
        (screen(16, loss=0.01), LABELLED, True),
        (screen(16, loss=0.02), LABELLED, False),
        (screen(14, loss=0.0), LABELLED, False),
        (screen(18), Limits(FAST, None, 15.0), True),
        (screen(14, agreement=1.0), Limits(FAST, None, 15.0), False),
    ],
)
def test_closeness_or_labels_make_a_promise(of: Screen, limits: Limits, expected: bool) -> None:
    assert is_promising(of, limits) is expected


def test_ranges_without_outliers_follow_where_memory_holds_them() -> None:
    after = next_calibration(STATIC, activation_bytes=1 << 20, rows=100)
    assert after == STATIC.model_copy(
        update={"name": "s-percentile", "calibration": Calibration.PERCENTILE}
    )
    assert next_calibration(after, activation_bytes=1, rows=100) is None
    assert next_calibration(DYNAMIC, activation_bytes=1, rows=100) is None
    assert next_calibration(STATIC, activation_bytes=1 << 28, rows=100) is None
    assert [histogram_rows(size, 100) for size in (0, 16 << 20, 1 << 29)] == [64, 16, 0]


def test_the_coarser_grain_is_tried_once() -> None:
    failed = "BuildFailed: no axis"
    coarse = per_tensor(STATIC, failed)
    assert coarse == STATIC.model_copy(update={"name": "s-per-tensor", "per_channel": False})
    assert per_tensor(coarse, failed) is None
    assert per_tensor(Recipe(name="half", bits=16), failed) is None
    assert per_tensor(STATIC, "NothingToQuantize: no weights in FP32") is None


@pytest.mark.parametrize(
    ("static", "dynamic", "expected"),
    [
        pytest.param(screen(3, ratio=0.4), screen(35, ratio=0.6), ("s",), id="faster but noisy"),
        pytest.param(screen(3, ratio=0.6), screen(35, ratio=0.4), (), id="slower than a good one"),
        pytest.param(screen(35, ratio=0.4), screen(35, ratio=0.5), (), id="nothing to mend"),
        pytest.param(screen(3, ratio=0.97), screen(3, ratio=1.2), (), id="nothing to gain"),
        pytest.param(screen(3, ratio=0.7), screen(3, ratio=0.4), ("d", "s"), id="fastest first"),
    ],
)
def test_nodes_are_sought_for_those_that_would_fail_though_they_are_faster(
    static: Screen, dynamic: Screen, expected: tuple[str, ...]
) -> None:
    recipes = {"s": STATIC, "d": DYNAMIC}
    assert to_bisect({"s": static, "d": dynamic}, recipes, UNLABELLED) == expected


def test_nodes_are_sought_once_for_recipes_that_differ_in_their_ranges_only() -> None:
    wide = STATIC.model_copy(update={"name": "wide", "carried": ("Add", "Relu")})
    clipped = wide.model_copy(update={"name": "clipped", "calibration": Calibration.PERCENTILE})
    screens = {"s": screen(20), "wide": screen(20, ratio=0.45), "clipped": screen(21, ratio=0.4)}
    recipes = {"s": STATIC, "wide": wide, "clipped": clipped}
    assert to_bisect(screens, recipes, UNLABELLED) == ("clipped", "s")


def test_nodes_are_also_sought_where_some_stay_in_fp32_already() -> None:
    narrow = STATIC.model_copy(update={"exclude": ("stem",)})
    assert to_bisect({"s": screen(20)}, {"s": narrow}, UNLABELLED) == ("s",)
    assert without(narrow, ("worst",)).exclude == ("stem", "worst")


@pytest.mark.parametrize(("left", "seconds"), [(-5, 20), (0, 20), (100, 120), (9_999, 1_800)])
def test_a_child_gets_what_is_left_of_the_budget_and_time_to_start(
    left: float, seconds: float
) -> None:
    assert patience(left) == seconds
