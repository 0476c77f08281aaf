"""Conditions: type, status, reason and a message with numbers. Pure.

Positive polarity; ``Reconciling`` and ``Stalled`` are kstatus' and present only when true. The
transition time moves with the status and with nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from slipway.api.v1alpha1.status import SHORT_LIMIT, Condition, ConditionType
from slipway_operator.plan.objects import format_time

_MESSAGE_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Fact:
    """One condition as it is now."""

    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def merge(
    before: Iterable[Condition], facts: Iterable[Fact], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The new list: times are kept where the status did not change."""
    known = {condition.type: condition for condition in before}
    result = []
    for fact in facts:
        old = known.get(fact.type)
        same = old is not None and old.status == fact.status
        result.append(
            Condition(
                type=fact.type,
                status=fact.status,
                reason=fact.reason[:SHORT_LIMIT],
                message=fact.message[:_MESSAGE_LIMIT],
                last_transition_time=old.last_transition_time if old and same else format_time(now),
                observed_generation=generation,
            )
        )
    return tuple(result)
