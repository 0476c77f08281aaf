import numpy as np
import pytest

from slipway.errors import Invalid
from slipway_server.protocol.tensors import TensorSpec, all_finite, quoted


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_finite_means_every_element(dtype: str) -> None:
    for count in (1, 7, 5000):
        array = np.ones((count, 2), dtype)
        assert all_finite(array)
        assert all_finite(array * np.finfo(dtype).max)  # whose squares overflow
        for bad in (np.nan, np.inf, -np.inf):
            array[-1, 1] = bad
            assert not all_finite(array)


def test_shape_is_checked_against_the_model() -> None:
    spec = TensorSpec("x", "FP32", (-1, 3, -1))
    assert spec.check_shape([2, 3, 5]) == 30
    for shape in ([2, 4, 5], [2, 3], [2, 3, 0], [2, 3, -1], [2, 3, "5"], [2**31, 3, 2**31]):
        with pytest.raises(Invalid, match="input 'x' has shape"):
            spec.check_shape(shape)


def test_a_scalar_has_an_empty_shape() -> None:
    assert TensorSpec("x", "FP32", ()).check_shape([]) == 1


def test_only_a_dynamic_first_dimension_counts_rows() -> None:
    assert TensorSpec("x", "FP32", (-1, 3)).has_rows
    assert not TensorSpec("x", "FP32", (1, -1)).has_rows
    assert not TensorSpec("x", "FP32", ()).has_rows


def test_long_values_are_cut_in_messages() -> None:
    assert len(quoted("a" * 10_000)) < 100
