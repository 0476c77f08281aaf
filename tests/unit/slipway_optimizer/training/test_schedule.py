"""When to stop, and how the rate falls until then."""

import numpy as np
import pytest

from slipway_optimizer.training.schedule import (
    Course,
    Ending,
    Fitted,
    Standing,
    divide,
    learning_rate,
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


def test_a_course_remembers_its_best_epoch_and_ends_when_nothing_gets_better() -> None:
    course = Course(0, (standing(1.0), 0))
    for loss in (0.5, 0.4, *[0.6] * 7):
        course = course.after(standing(loss))
        assert course.ended(20, seconds_left=9, seconds_each=1) is None
    assert course.best == (standing(0.4), 2)
    assert course.after(standing(0.4)).ended(20, seconds_left=9, seconds_each=1) is Ending.STALE


def test_a_long_training_is_waited_for_as_long_as_a_quarter_of_it() -> None:
    course = Course(25, (standing(0.4), 2))
    assert course.ended(100, seconds_left=9, seconds_each=1) is None
    assert course.after(standing(0.4)).ended(100, seconds_left=9, seconds_each=1) is None
    assert Course(27, (standing(0.4), 2)).ended(100, seconds_left=9, seconds_each=1) is Ending.STALE


@pytest.mark.parametrize(
    ("limit", "left", "ended"),
    [(3, 10.0, None), (2, 10.0, Ending.DONE), (3, 0.5, Ending.TIME)],
)
def test_a_course_ends_with_its_epochs_or_its_time(
    limit: int, left: float, ended: Ending | None
) -> None:
    course = Course(2, (standing(0.1), 2))
    assert course.ended(limit, seconds_left=left, seconds_each=1.0) is ended


def test_the_rate_rises_shortly_and_falls_to_a_hundredth() -> None:
    rates = [learning_rate(1.0, step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[5] == pytest.approx(1.0)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("left", "each", "epochs"), [(1000.0, 2.0, 100), (30.0, 2.0, 25), (1.0, 2.0, 11), (9, 0.0, 100)]
)
def test_the_rate_falls_over_the_epochs_that_fit_the_time(
    left: float, each: float, epochs: int
) -> None:
    course = Course(10, (standing(0.1), 10))
    assert course.horizon(100, seconds_left=left, seconds_each=each) == epochs


def test_an_end_says_what_was_reached_and_why_no_more_was_tried() -> None:
    ended = Fitted({}, standing(0.25, 0.9), 7, Ending.TIME)
    assert ended.words == (
        "score 0.9, loss 0.25 on the rows held out, 7 epochs, then no time was left"
    )
    few = Fitted({}, standing(0.25), 12, Ending.DONE)
    assert few.words == "loss 0.25 on the rows held out, 12 epochs, all that were asked for"
