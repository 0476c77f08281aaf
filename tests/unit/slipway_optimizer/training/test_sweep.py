"""Which weights of the teacher are tried, when that ends, and what is said of it."""

from collections.abc import Callable, Sequence

import pytest

from slipway.api.v1alpha1.training import Distillation
from slipway_optimizer.training.schedule import Ending, Fitted, Standing
from slipway_optimizer.training.sweep import Sweep, best_of, reached, sweep, sweep_of


def standing(loss: float, score: float | None = None) -> Standing:
    return Standing(score, loss)


def fitted(score: float | None) -> Fitted:
    return Fitted({}, standing(0.5, score), 12, Ending.DONE)


class Clock:
    """Each fit takes ``each`` seconds; what it was allowed is kept."""

    def __init__(self, each: float) -> None:
        self.each, self.now, self.allowed = each, 100.0, list[float]()

    def fits(self, scores: Sequence[float | None]) -> Callable[[float, float], Fitted]:
        ends = iter(scores)

        def fit(weight: float, seconds: float) -> Fitted:
            self.now += self.each
            self.allowed.append(seconds)
            return fitted(next(ends))

        return fit


def test_lambdas_are_tried_in_their_order_and_the_best_score_is_taken() -> None:
    clock = Clock(10)
    found = sweep(Sweep((0.1, 0.3, 1.0), None, 90), clock.fits([0.8, 0.9, 0.85]), lambda: clock.now)
    assert found.taken.standing.score == 0.9
    told = "loss 0.5 on the rows held out, 12 epochs, all that were asked for"
    assert found.words == (
        f"lambda 0.1: score 0.8, {told}",
        f"lambda 0.3: score 0.9, {told}",
        f"lambda 1: score 0.85, {told}",
        "lambda 0.3 is taken",
    )
    assert clock.allowed == [30, 40, 70]  # what one leaves, the later ones share


def test_no_further_lambda_is_tried_once_the_target_is_reached() -> None:
    clock = Clock(1)
    found = sweep(Sweep((0.1, 0.3, 1.0), 0.85, 90), clock.fits([0.8, 0.85]), lambda: clock.now)
    assert found.words[-1] == (
        "lambda 0.3 is taken: the target score 0.85 is reached, so lambda 1 was left untried"
    )


def test_the_budget_ends_a_sweep_and_both_reasons_are_said() -> None:
    clock = Clock(50)
    found = sweep(Sweep((0.1, 0.3, 1.0), 0.95, 90), clock.fits([0.8, 0.7]), lambda: clock.now)
    assert found.words[-1] == (
        "lambda 0.1 is taken: the target score 0.95 is not reached and no time was left for lambda "
        "1"
    )
    late = sweep(Sweep((0.1, 0.3), None, 0), Clock(1).fits([0.8]), lambda: 0.0)
    assert late.words[-1] == "lambda 0.1 is taken: no time was left for lambda 0.3"


def test_a_target_that_no_lambda_reaches_is_said() -> None:
    found = sweep(Sweep((0.1,), 0.95, 9), Clock(1).fits([0.8]), lambda: 0.0)
    assert found.words[-1] == "lambda 0.1 is taken: the target score 0.95 is not reached"


@pytest.mark.parametrize(
    ("labelled", "weights"), [(500, (0.05, 0.1, 0.3)), (499, (10.0, 1.0, 0.1)), (0, (10.0,))]
)
def test_the_teacher_weighs_more_where_most_rows_have_no_labels(
    labelled: int, weights: tuple[float, ...]
) -> None:
    found = sweep_of(Distillation(), labelled=labelled, rows=1000, seconds=5)
    assert found == Sweep(weights, None, 5)


def test_the_user_s_lambdas_and_target_are_taken_as_they_are() -> None:
    wish = Distillation(lambdas=("0.5", "2"), target_score="0.9")
    assert sweep_of(wish, labelled=3, rows=1000, seconds=5) == Sweep((0.5, 2.0), 0.9, 5)


def test_an_end_is_taken_by_its_score_and_a_tie_goes_to_the_first() -> None:
    ends = [standing(0.1, 0.9), standing(0.9, 0.95), standing(0.5, 0.95)]
    assert best_of(ends) == 1
    assert best_of([standing(0.5), standing(0.1)]) == 0


def test_a_target_is_reached_by_a_score_alone() -> None:
    assert reached(standing(0.1, 0.9), 0.9)
    assert not reached(standing(0.1, 0.89), 0.9)
    assert not reached(standing(0.1, 0.9), None)
    assert not reached(standing(0.1), 0.1)
