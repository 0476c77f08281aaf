from dataclasses import replace
from typing import Any

import pytest

from slipway.api.v1alpha1.status import HandledStatus
from slipway_operator.plan.acts import Act, asked, attempt, done
from slipway_operator.plan.memory import Memory
from tests.support.worlds import served

ACTS: tuple[Act, ...] = ("promote", "abort", "retry")


def annotated(**notes: str) -> dict[str, Any]:
    resource = served()
    resource["metadata"]["annotations"] = {f"slipway.dev/{k}": v for k, v in notes.items()}
    return resource


@pytest.mark.parametrize("act", ACTS)
def test_an_act_is_asked_for_once(act: Act) -> None:
    resource = annotated(**{act: "fraud-1/a"})
    assert asked(resource, Memory(), act, "fraud-1")
    memory = done(resource, Memory(), act)
    assert not asked(resource, memory, act, "fraud-1")
    assert asked(annotated(**{act: "fraud-1/b"}), memory, act, "fraud-1")


@pytest.mark.parametrize("value", ["fraud-10/a", "fraud", "", "/fraud-1", " fraud-1"])
def test_an_act_for_another_revision_is_none(value: str) -> None:
    assert not asked(annotated(promote=value), Memory(), "promote", "fraud-1")


def test_without_a_revision_nothing_is_asked() -> None:
    assert not asked(annotated(abort="fraud-1"), Memory(), "abort", None)


def test_one_act_is_not_another() -> None:
    memory = done(annotated(promote="fraud-1"), Memory(), "promote")
    assert asked(annotated(abort="fraud-1"), memory, "abort", "fraud-1")


def test_a_value_of_any_length_is_remembered_and_known_again() -> None:
    resource = annotated(retry="fraud-1/" + "x" * 1000)
    memory = done(resource, Memory(), "retry")
    assert len(memory.handled.retry or "") == 256
    assert not asked(resource, memory, "retry", "fraud-1")


def test_each_retry_of_a_revision_is_another_attempt() -> None:
    def after(value: str | None) -> int:
        return attempt(replace(Memory(), handled=HandledStatus(retry=value)), "fraud-1")

    assert (after(None), after("fraud-2/a")) == (0, 0)
    assert len({after("fraud-1/a"), after("fraud-1/b"), 0}) == 3
    assert after("fraud-1/a") == after("fraud-1/a")
