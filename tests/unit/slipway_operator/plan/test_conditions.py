from datetime import timedelta
from typing import Literal

from slipway.api.v1alpha1.status import Condition, ConditionType
from slipway_operator.plan.conditions import Fact, merge
from tests.support.worlds import NOW

LATER = NOW + timedelta(minutes=5)


def ready(status: Literal["True", "False"], message: str = "4 of 4 pods ready") -> Fact:
    return Fact(ConditionType.READY, status, "StableServes", message)


def test_the_time_moves_with_the_status_and_with_nothing_else() -> None:
    first = merge((), [ready("True")], generation=1, now=NOW)
    same = merge(first, [ready("True", "3 of 4 pods ready")], generation=2, now=LATER)
    turned = merge(same, [ready("False")], generation=2, now=LATER)
    expected = Condition(
        type="Ready",
        status="True",
        reason="StableServes",
        message="3 of 4 pods ready",
        last_transition_time="2026-01-01T12:00:00Z",
        observed_generation=2,
    )
    assert same == (expected,)
    assert turned[0].last_transition_time == "2026-01-01T12:05:00Z"


def test_what_is_no_longer_a_fact_goes() -> None:
    stalled = Fact(ConditionType.STALLED, "True", "SpecInvalid", "no")
    before = merge((), [ready("True"), stalled], generation=1, now=NOW)
    assert [c.type for c in merge(before, [ready("True")], generation=1, now=NOW)] == ["Ready"]


def test_long_texts_are_cut_to_what_the_api_takes() -> None:
    fact = Fact(ConditionType.READY, "False", "R" * 500, "m" * 5000)
    found = merge((), [fact], generation=1, now=NOW)[0]
    assert (len(found.reason), len(found.message)) == (256, 1024)
