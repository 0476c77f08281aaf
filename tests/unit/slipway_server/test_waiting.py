import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_server.batch import Job
from slipway_server.errors import Overloaded
from slipway_server.waiting import QueueLimits, Waiting

LIMIT = 6


def job(source: str, number: int = 0, *, size: int = 1) -> Job:
    """A job that is told from others by its deadline."""
    return Job({}, 1, None, size, float(number), lambda _: None, source)


def named(jobs: str) -> list[Job]:
    return [job(source, number) for number, source in enumerate(jobs)]


def waiting(jobs: str) -> Waiting:
    queue = Waiting(QueueLimits(requests=LIMIT, size=100))
    for one in named(jobs):
        assert queue.add(one) is None
    return queue


def order(queue: Waiting) -> str:
    taken = ""
    while (one := queue.next()) is not None:
        taken += f"{one.source}{one.deadline:g} "
    return taken.strip()


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ("abc", "a0 b1 c2"),  # one each: in order of arrival
        ("aaaab", "a0 b4 a1 a2 a3"),
        ("aabbc", "a0 b2 c4 a1 b3"),
        ("", ""),
    ],
)
def test_connections_take_turns(jobs: str, expected: str) -> None:
    assert order(waiting(jobs)) == expected


def test_what_fits_one_run_is_taken_as_it_came() -> None:
    queue = Waiting(QueueLimits(), together=4)
    for one in named("aaab"):
        queue.add(one)
    assert order(queue) == "a0 a1 a2 b3"
    for one in named("aaaab"):
        queue.add(one)
    assert order(queue) == "a0 b4 a1 a2 a3"


def test_what_is_put_back_is_next_in_its_old_order() -> None:
    queue = waiting("abca")
    first, second = queue.next(), queue.next()
    assert first is not None
    assert second is not None
    queue.put_back(second)
    queue.put_back(first)
    assert len(queue) == 4
    assert order(queue) == "a0 b1 c2 a3"


def test_a_newcomer_gets_a_place_of_who_has_most_and_that_ones_last_job_goes() -> None:
    queue = waiting("aaaaab")
    victim = queue.add(job("c", 9))
    assert victim is not None
    assert (victim.source, victim.deadline) == ("a", 4)
    assert (len(queue), order(queue)) == (6, "a0 b5 c9 a1 a2 a3")


@pytest.mark.parametrize(
    ("jobs", "source", "owed"),
    [
        ("aaaaaa", "a", False),  # nobody else is there, and it is full
        ("aaaaaa", "b", True),
        ("aaabbb", "b", False),  # its half
        ("aaaabb", "b", True),
        ("aabbcc", "d", True),
        ("abcdef", "g", False),  # a place for six, and six have one
        ("aabcde", "f", True),
        ("aabcde", "b", False),
    ],
)
def test_when_it_is_full_only_who_has_less_than_its_share_comes_in(
    jobs: str, source: str, owed: bool
) -> None:
    queue = waiting(jobs)
    if owed:
        queue.check(source)
        assert queue.add(job(source, 9)) is not None
    else:
        with pytest.raises(Overloaded, match="6 requests wait already"):
            queue.check(source)
        with pytest.raises(Overloaded, match="6 requests wait already"):
            queue.add(job(source, 9))
    assert len(queue) == LIMIT


def test_bytes_are_bounded_and_given_back() -> None:
    queue = waiting("a")
    queue.add(job("b", size=99))
    with pytest.raises(Overloaded):
        queue.add(job("c"))
    order(queue)
    assert queue.add(job("c", size=100)) is None


def test_jobs_that_nobody_waits_for_make_room() -> None:
    queue = waiting("aaabbb")
    for one in list(queue)[:4]:
        one.done = None
    queue.clear_dead()
    assert (len(queue), len(list(queue))) == (2, 2)
    assert queue.add(job("b", 9, size=98)) is None
    assert order(queue) == "b4 b5 b9"


@given(st.lists(st.sampled_from("abcd.!"), max_size=60), st.integers(1, LIMIT))
def test_counts_hold_and_nobody_starves_whatever_happens(acts: list[str], together: int) -> None:
    queue = Waiting(QueueLimits(requests=LIMIT, size=100), together=together)
    for number, act in enumerate(acts):
        own = sum(one.source == act for one in queue)
        sources = {one.source for one in queue} | {act}
        if act == ".":
            queue.next()
        elif act == "!":
            for one in list(queue)[::2]:
                one.done = None
            queue.clear_dead()
        else:
            try:
                victim = queue.add(job(act, number))
            except Overloaded:
                assert len(queue) == LIMIT
                assert own >= LIMIT // len(sources)
            else:
                assert victim is None or victim.source != act
        assert len(queue) == len(list(queue)) <= LIMIT
