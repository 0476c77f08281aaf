"""The replay of stored feeds to both revisions: its Job, read back. Pure."""

from slipway.tasks import ReplayReport, StepFailure
from slipway_operator.plan.names import replay_name
from slipway_operator.plan.objects import Object, is_true
from slipway_operator.plan.observed import Observed
from slipway_operator.plan.podstate import last_report


def replay_job(observed: Observed, revision: str) -> Object | None:
    """The replay Job of a canary."""
    return observed.child("Job", replay_name(revision))


def replay_report(observed: Observed, revision: str) -> ReplayReport | None:
    """What it counted, once it is done."""
    job = replay_job(observed, revision)
    if job is None or not is_true(job, "Complete"):
        return None
    for pod in reversed(observed.pods_of_job(job)):
        report = last_report(pod)
        if isinstance(report, ReplayReport):
            return report
    return None


def replay_is_lost(observed: Observed, revision: str) -> bool:
    """Whether it ended without a report: to be run again."""
    job = replay_job(observed, revision)
    if job is None:
        return False
    ended = is_true(job, "Complete") or is_true(job, "Failed")
    return ended and replay_report(observed, revision) is None


def replay_failure(observed: Observed, revision: str) -> str | None:
    """Why it could not be run, if it failed."""
    job = replay_job(observed, revision)
    for pod in observed.pods_of_job(job) if job else []:
        report = last_report(pod)
        if isinstance(report, StepFailure):
            return report.message
    return None
