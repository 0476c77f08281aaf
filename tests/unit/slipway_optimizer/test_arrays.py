"""How many rows are kept."""

import numpy as np
import pytest

from slipway_optimizer.arrays import first_rows


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        pytest.param(10_000, 8, id="all that may be"),
        pytest.param(60, 5, id="as many as fit"),
        pytest.param(10, 2, id="no fewer than are needed"),
    ],
)
def test_as_many_rows_are_kept_as_their_bytes_allow(limit: int, kept: int) -> None:
    arrays = {"a": np.arange(20, dtype=np.float32).reshape(10, 2), "b": np.zeros(10, np.float32)}
    found = first_rows(arrays, least=2, most=8, limit=limit)
    assert {name: len(array) for name, array in found.items()} == {"a": kept, "b": kept}
    np.testing.assert_array_equal(found["a"], arrays["a"][:kept])


def test_fewer_rows_than_are_needed_are_kept_all() -> None:
    assert first_rows({"a": np.zeros((1, 9))}, least=8, most=64, limit=1)["a"].shape == (1, 9)
