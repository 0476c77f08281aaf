from dataclasses import replace
from datetime import timedelta

from slipway.api.v1alpha1.status import (
    ArtifactStatus,
    RejectedRevision,
    RetryStatus,
    RevisionStatus,
    Status,
)
from slipway_operator.plan.memory import Memory
from tests.support.worlds import NOW, rolling


def retrying() -> RetryStatus:
    return RetryStatus(
        revision="fraud-2", job_uid="u", attempts=1, not_before="", reason="R", message="m"
    )


def test_what_is_written_is_read_back() -> None:
    memory = rolling("fraud-2").reject("fraud-9", "Aborted", "by hand", NOW)
    memory = replace(memory, stable_since=NOW, retry=retrying())
    assert Memory.of(memory.into(Status())) == memory


def test_a_promotion_moves_a_pointer_and_keeps_what_is_known_of_the_revision() -> None:
    artifact = ArtifactStatus(variant="v", digest="d", size_bytes=1, uri="u", manifest_digest="m")
    before = Status(
        stable=RevisionStatus(revision="fraud-1"),
        canary=RevisionStatus(revision="fraud-2", artifact=artifact),
    )
    after = rolling("fraud-2", stable="fraud-1").promote(NOW).into(before)
    assert after.stable == RevisionStatus(
        revision="fraud-2", artifact=artifact, since="2026-01-01T12:00:00Z"
    )
    assert (after.canary, after.rollout) == (None, None)


def test_a_step_forgets_the_judgements_but_shows_the_last() -> None:
    memory = rolling("fraud-2")
    assert memory.rollout is not None
    judged = memory.rollout.model_copy(update={"passes": 2, "failures": 1, "ready_at": "x"})
    later = NOW + timedelta(seconds=60)
    stepped = Memory(stable="s", canary="fraud-2", rollout=judged).step(1, later, weight=50)
    assert stepped.rollout is not None
    found = stepped.rollout
    assert (found.current_step_index, found.passes, found.failures, found.ready_at) == (
        1,
        0,
        0,
        None,
    )
    assert found.weight.desired == 50


def test_a_refusal_ends_its_own_rollout_and_no_other() -> None:
    memory = rolling("fraud-2")
    assert memory.reject("fraud-2", "R", "m", NOW).canary is None
    assert memory.reject("fraud-3", "R", "m", NOW).canary == "fraud-2"


def test_refusals_are_kept_once_each_the_newest_sixteen_and_short() -> None:
    memory = Memory()
    for number in range(20):
        memory = memory.reject(f"fraud-{number}", "R", "m" * 3000, NOW)
    memory = memory.reject("fraud-10", "Again", "m", NOW)
    assert [entry.revision for entry in memory.rejected] == [
        *(f"fraud-{n}" for n in range(4, 20) if n != 10),
        "fraud-10",
    ]
    assert {len(entry.message) for entry in memory.rejected} == {1024, 1}


def test_a_pardon_is_for_one() -> None:
    memory = Memory(retry=retrying()).reject("a", "R", "m", NOW).reject("b", "R", "m", NOW)
    found = memory.forgive("a")
    assert found.rejection("a") is None
    assert found.rejection("b") == RejectedRevision(
        revision="b", reason="R", message="m", time="2026-01-01T12:00:00Z"
    )
    assert found.retry is None
