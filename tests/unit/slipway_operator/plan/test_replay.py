from typing import Any

import pytest

from slipway.tasks import StepFailure, format_report
from slipway_operator.plan.observed import Observed
from slipway_operator.plan.replay import replay_failure, replay_is_lost, replay_report
from tests.support.builders import replay_report as counted
from tests.support.worlds import job_of, job_pod, observed, served

CANARY = "fraud-2"


def seen(ended: str | None, message: str | None) -> Observed:
    job = job_of("fraud-2-replay", ended=ended)
    pods: tuple[dict[str, Any], ...] = () if message is None else (job_pod(job, message=message),)
    return observed(served(), job, *pods)


def test_a_count_is_read_when_the_job_is_complete_and_not_before() -> None:
    text = format_report(counted())
    assert replay_report(seen("Complete", text), CANARY) == counted()
    assert replay_report(seen(None, text), CANARY) is None


@pytest.mark.parametrize(
    ("ended", "message", "lost"),
    [
        (None, None, False),
        ("Complete", format_report(counted()), False),
        ("Complete", None, True),
        ("Complete", "something else", True),
        ("Failed", None, True),
    ],
)
def test_a_replay_that_ended_without_a_count_is_lost(
    ended: str | None, message: str | None, lost: bool
) -> None:
    assert replay_is_lost(seen(ended, message), CANARY) is lost


def test_without_a_job_nothing_is_lost() -> None:
    assert not replay_is_lost(observed(served()), CANARY)
    assert replay_failure(observed(served()), CANARY) is None


def test_why_it_could_not_run_is_told() -> None:
    failure = StepFailure(reason="StorageUnreachable", message="no answer", transient=True)
    assert replay_failure(seen("Failed", format_report(failure)), CANARY) == "no answer"
