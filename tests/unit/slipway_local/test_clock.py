from datetime import UTC, datetime, timedelta

import pytest

from slipway_local.clock import RealClock, VirtualClock


def test_virtual_time_moves_only_when_it_is_told_to() -> None:
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))

    clock.advance(90)

    assert clock.now() == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)
    assert clock.monotonic() == 90.0


def test_virtual_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        VirtualClock().advance(-1)


def test_the_real_clock_knows_its_zone() -> None:
    assert RealClock().now().utcoffset() == timedelta(0)
