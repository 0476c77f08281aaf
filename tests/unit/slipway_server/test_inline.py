import pytest

from slipway_server.inline import Inline

SHORT, LONG, FAR = 0.001, 0.03, 0.3


def places(*seconds: float) -> list[bool]:
    """Where each run was."""
    inline, found = Inline(allowed=True), []
    for took in seconds:
        found.append(inline.stays)
        inline.ran(took)
    return found


@pytest.mark.parametrize("seconds", [SHORT, LONG])
def test_a_model_that_is_long_by_itself_never_runs_on_the_loop(seconds: float) -> None:
    inline = Inline(allowed=False)
    for _ in range(1000):
        inline.ran(seconds)
    assert not inline.stays


def test_three_long_runs_in_a_row_leave_the_loop() -> None:
    assert places(LONG, LONG, SHORT, LONG, LONG, LONG, LONG) == [True] * 6 + [False]


def test_one_run_beyond_any_pause_leaves_the_loop() -> None:
    assert places(SHORT, FAR, SHORT) == [True, True, False]


def test_a_long_run_elsewhere_starts_the_count_again() -> None:
    runs = places(FAR, *[SHORT] * 49, LONG, *[SHORT] * 50, SHORT)
    assert runs == [True] + [False] * 100 + [True]


def test_who_leaves_again_has_to_prove_more() -> None:
    runs = places(FAR, *[SHORT] * 50, FAR, *[SHORT] * 100, SHORT)
    assert runs == [True] + [False] * 50 + [True] + [False] * 100 + [True]
