"""When to stop, and which of several ends is taken."""

import numpy as np
import pytest

from slipway_optimizer.training.schedule import (
    Course,
    Standing,
    best_of,
    divide,
    learning_rate,
    reached,
)


def standing(loss: float, score: float | None = None) -> Standing:
    return Standing(score, loss)


@pytest.mark.parametrize(("labelled", "unlabelled"), [(400, 3100), (0, 50), (30, 0), (2, 1)])
def test_rows_teach_or_are_held_out_and_never_both(labelled: int, unlabelled: int) -> None:
    division = divide(labelled, unlabelled, seed=1)
    both = np.concatenate([division.teach, division.held])
    assert sorted(both) == list(range(labelled + unlabelled))
    assert len(division.teach) > 0
    if labelled >= 10:
        assert (division.held < labelled).sum() == round(labelled / 10)


def test_the_division_depends_on_the_seed_alone() -> None:
    first, again, other = (divide(100, 0, seed=seed).held for seed in (1, 1, 2))
    assert list(first) == list(again) != list(other)


def test_an_end_is_taken_by_its_score_and_a_tie_goes_to_the_first() -> None:
    ends = [standing(0.1, 0.9), standing(0.9, 0.95), standing(0.5, 0.95)]
    assert best_of(ends) == 1
    assert best_of([standing(0.5), standing(0.1)]) == 0


def test_a_course_remembers_its_best_epoch_and_ends_when_nothing_gets_better() -> None:
    course = Course(0, (standing(1.0), 0))
    for loss in (0.5, 0.4, *[0.6] * 7):
        course = course.after(standing(loss))
        assert not course.ended(100, seconds_left=9, seconds_each=1)
    assert course.best == (standing(0.4), 2)
    assert course.after(standing(0.4)).ended(100, seconds_left=9, seconds_each=1)


@pytest.mark.parametrize(
    ("limit", "left", "ended"), [(3, 10.0, False), (2, 10.0, True), (3, 0.5, True)]
)
def test_a_course_ends_with_its_epochs_or_its_time(limit: int, left: float, ended: bool) -> None:
    course = Course(2, (standing(0.1), 2))
    assert course.ended(limit, seconds_left=left, seconds_each=1.0) is ended


def test_the_rate_rises_shortly_and_falls_to_a_hundredth() -> None:
    rates = [learning_rate(1.0, step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[5] == pytest.approx(1.0)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_a_sweep_ends_at_the_score_that_was_asked_for() -> None:
    assert reached(standing(0.1, 0.9), 0.9)
    assert not reached(standing(0.1, 0.89), 0.9)
    assert not reached(standing(0.1, 0.9), None)
    assert not reached(standing(0.1), 0.1)
