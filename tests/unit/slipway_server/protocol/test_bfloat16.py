import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_server.protocol.bfloat16 import all_finite, narrow, widen

EVERY = np.arange(1 << 16, dtype=np.uint16)


def test_every_pattern_means_what_it_means_elsewhere() -> None:
    theirs = EVERY.view(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(widen(EVERY), theirs.astype(np.float32))
    for bits in EVERY[:: 1 << 6]:
        one = np.array([bits], np.uint16)
        assert all_finite(one) == np.isfinite(widen(one)).all()


def test_every_value_comes_back() -> None:
    numbers = EVERY[~np.isnan(widen(EVERY))]
    np.testing.assert_array_equal(narrow(widen(numbers)), numbers)


@given(st.lists(st.floats(width=32), min_size=1, max_size=64))
def test_rounding_is_to_the_nearest_and_ties_to_even(values: list[float]) -> None:
    array = np.array(values, np.float32)
    theirs = array.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(widen(narrow(array)), widen(theirs))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.4e38])
def test_what_is_not_finite_stays_so(value: float) -> None:
    assert not all_finite(np.append(narrow(np.ones(7)), narrow(np.array([value]))))
