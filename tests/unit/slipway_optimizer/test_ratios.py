"""Ratios of paired times."""

import numpy as np
import pytest

from slipway_optimizer.ratios import MIN_ROUNDS, Seconds, rounds_for, summarise


def times(seed: int, scale: float, drift: Seconds) -> Seconds:
    return scale * drift * np.random.default_rng(seed).lognormal(0, 0.05, len(drift))


@pytest.mark.parametrize("true_ratio", [0.5, 1.0, 1.3])
def test_a_machine_that_slows_down_threefold_does_not_change_the_ratio(true_ratio: float) -> None:
    drift = np.linspace(0.01, 0.03, 200)
    result = summarise(times(1, 1.0, drift), times(2, true_ratio, drift))
    assert result.ratio == pytest.approx(true_ratio, rel=0.03)
    assert result.ratio < result.upper < result.ratio * 1.05


def test_spikes_are_shed() -> None:
    baseline, candidate = np.full(200, 0.01), np.full(200, 0.005)
    candidate[::13] = 0.5
    assert summarise(baseline, candidate).ratio == pytest.approx(0.5, rel=0.02)


def test_noise_widens_the_bound() -> None:
    flat = np.full(100, 0.01)
    calm = summarise(flat, times(1, 1.0, flat))
    wild = summarise(flat, flat * np.random.default_rng(1).lognormal(0, 0.8, 100))
    assert wild.upper / wild.ratio > calm.upper / calm.ratio * 1.05


def test_percentiles_are_of_single_runs_in_milliseconds() -> None:
    seconds = np.arange(1, 101) / 1000
    result = summarise(seconds, seconds)
    assert (result.p50_ms, result.p95_ms, result.ratio) == pytest.approx((50.5, 95.05, 1.0))


@pytest.mark.parametrize(
    ("budget", "each", "expected"), [(4, 0.02, 200), (4, 10, MIN_ROUNDS), (4, 1e-6, 400)]
)
def test_rounds_fit_the_budget_but_suffice_for_a_bound(
    budget: float, each: float, expected: int
) -> None:
    assert rounds_for(budget, each) == expected
