import pytest

from slipway_server import heap

MB = 1 << 20


@pytest.mark.parametrize(
    ("limit", "kept"), [(None, 128 * MB), (8192 * MB, 128 * MB), (512 * MB, 64 * MB)]
)
def test_a_small_container_keeps_less_of_what_was_freed(limit: int | None, kept: int) -> None:
    assert heap.kept_bytes(limit) == kept
