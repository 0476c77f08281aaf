"""Weights in few bits, against the formulas worked by hand."""

import numpy as np
import pytest

from slipway_optimizer.quantizer import encode, rounded, sqnr_of

RANDOM = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return RANDOM.normal(size=shape).astype(np.float32)


def test_eight_bits_are_round_x_s_over_s_per_channel() -> None:
    values = np.array([[1.0, -0.5, 0.25], [10.0, 4.0, -10.0]], np.float32)
    scale = np.array([[127 / 1.0], [127 / 10.0]])
    np.testing.assert_allclose(rounded(values, axis=0), np.rint(values * scale) / scale, rtol=1e-6)


def test_the_channel_axis_may_be_any() -> None:
    values = floats(5, 7)
    by_column = encode(values, axis=-1, bits=8).decoded
    np.testing.assert_array_equal(by_column, encode(values.T.copy(), axis=0, bits=8).decoded.T)


def test_ternary_weights_are_minus_a_zero_or_a() -> None:
    values = np.array([[4.0, -4.0, 0.1, -0.1]], np.float32)  # mean 2.05, threshold 1.435, a = 4
    found = encode(values, axis=0, bits=2).decoded
    np.testing.assert_allclose(found, [[4, -4, 0, 0]], rtol=1e-6)


def test_binary_weights_are_the_sign_times_the_mean_magnitude() -> None:
    values = np.array([[3.0, -1.0, 0.5, -1.5]], np.float32)
    np.testing.assert_allclose(
        encode(values, axis=0, bits=1).decoded, [[1.5, -1.5, 1.5, -1.5]], rtol=1e-6
    )


@pytest.mark.parametrize(("bits", "decibels"), [(8, 40), (4, 15), (2, 6), (1, 3)])
def test_fewer_bits_cost_more(bits: int, decibels: float) -> None:
    values = floats(32, 3, 5, 5)
    coded = encode(values, axis=0, bits=bits)
    assert len(coded.packed) == -(-coded.codes * bits // 8)
    assert decibels < sqnr_of(values, coded.decoded) < decibels + 8


def test_a_channel_of_zeros_stays_zero() -> None:
    for bits in (8, 4, 2):
        assert not encode(np.zeros((2, 9), np.float32), axis=0, bits=bits).decoded.any()


def test_the_noise_of_a_large_tensor_is_that_of_all_its_parts() -> None:
    values = np.random.default_rng(0).standard_normal((3, 1 << 19), np.float32)
    stored = values.copy()
    stored[2] *= np.float32(1.1)  # 1 % of a third of the signal
    assert sqnr_of(values, stored) == pytest.approx(10 * np.log10(3 / 0.01), abs=0.05)
