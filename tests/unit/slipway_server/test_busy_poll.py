import pytest

from slipway_server.busy_poll import BusyPoll

SOON, LATE = 50e-6, 250e-6


def stays(*gaps: float, allowed: bool = True) -> list[bool]:
    """Whether the loop stays awake after each answer; gaps are from an answer to a request."""
    poll, now, found = BusyPoll(allowed), 100.0, []
    for gap in gaps:
        poll.came(now + gap)
        now += gap + 10e-6
        found.append(poll.rests(now))
    return found


def test_who_asks_again_at_once_finds_the_loop_awake() -> None:
    assert stays(LATE, *[SOON] * 6) == [False] * 4 + [True] * 3


def test_one_late_request_ends_it() -> None:
    assert stays(*[SOON] * 6, LATE, *[SOON] * 4) == [False] * 4 + [True] * 2 + [False] * 4 + [True]


@pytest.mark.parametrize("gap", [LATE, 1.0])
def test_clients_beyond_this_node_never_find_it_so(gap: float) -> None:
    assert not any(stays(*[gap] * 50))


def test_it_costs_nothing_where_no_cpu_is_to_spare() -> None:
    assert not any(stays(*[SOON] * 50, allowed=False))


def test_requests_side_by_side_count_as_asked_at_once() -> None:
    poll = BusyPoll(allowed=True)
    poll.rests(1.0)
    for _ in range(4):
        poll.came(1.0)
    assert poll.rests(1.0)


def test_it_looks_for_a_moment_only() -> None:
    poll = BusyPoll(allowed=True)
    poll.rests(1.0)
    assert [poll.goes_on(1.0 + gap) for gap in (SOON, LATE)] == [True, False]
