"""How far a revision's optimization is, read from its Job. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from slipway.api.v1alpha1.status import SHORT_LIMIT
from slipway.contract import Step
from slipway.tasks import JobReport, StepFailure
from slipway_operator.plan.names import job_name
from slipway_operator.plan.objects import Object, condition, parse_time
from slipway_operator.plan.observed import Observed
from slipway_operator.plan.podstate import (
    Trouble,
    ended_containers,
    last_report,
    running_container,
    trouble_of,
)
from slipway_operator.plan.revision import Revision

# The user can mend these without touching the spec: trying again later helps.
_MENDABLE: Final = frozenset(
    {"SourceNotFound", "DatasetNotFound", "StorageDenied", "StorageUnreachable", "ImagePullFailed"}
)
_MESSAGE_LIMIT: Final = 1024  # a status tells of it in more words
_NO_POD: Final = "waits for the pod of its optimization Job"
_FIRST_RETRY_SECONDS: Final = 20
_LAST_RETRY_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Waiting:
    """No Job yet, or its pod has not started."""

    reason: str
    message: str
    job_missing: bool = False  # the same to a reader: it is created in the same reconcile


@dataclass(frozen=True, slots=True)
class Running:
    """A step runs."""

    step: Step


@dataclass(frozen=True, slots=True)
class Done:
    """There is an outcome; ``job`` is set while it is only in the Job's pod."""

    report: JobReport
    stored: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """The Job gave up, or nobody knows what it found."""

    job_uid: str
    at: datetime
    reason: str
    message: str
    mendable: bool


Outcome = Waiting | Running | Done | Failed


def outcome(observed: Observed, name: str, revision: Revision | None) -> Outcome:
    """Where the optimization of the revision called ``name`` stands."""
    if revision is not None and revision.report is not None:
        return Done(revision.report, stored=True)
    job = observed.child("Job", job_name(name))
    if job is None:
        return Waiting("PodMissing", _NO_POD, job_missing=True)
    pods = observed.pods_of_job(job)
    complete = condition(job, "Complete")
    if complete is not None and complete["status"] == "True":
        for pod in reversed(pods):
            report = last_report(pod)
            if isinstance(report, JobReport):
                return Done(report, stored=False)
        if _news_is_under_way(pods):
            return _unfinished(pods)
        # Run again with backoff; what was published makes that a cache hit.
        return Failed(
            job_uid=job["metadata"]["uid"],
            at=parse_time(complete["lastTransitionTime"]),
            reason="ReportLost",
            message="the optimization Job ended well, but its report is gone with its pod",
            mendable=True,
        )
    failed = condition(job, "Failed")
    if failed is not None and failed["status"] == "True" and not _news_is_under_way(pods):
        return _failed(job, failed, pods)
    return _unfinished(pods)


def _news_is_under_way(pods: list[Object]) -> bool:
    """Whether the Job's end was heard of before its pod's: kinds are watched apart."""
    return any(
        (pod.get("status") or {}).get("phase") in ("Pending", "Running")
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
    )


def _unfinished(pods: list[Object]) -> Outcome:
    if not pods:
        return Waiting("PodMissing", _NO_POD)
    pod = pods[-1]
    step = running_container(pod)
    if step in list(Step):
        return Running(Step(step))
    trouble = trouble_of([pod])
    if trouble is not None:
        return Waiting(trouble.reason, trouble.message)
    ended = ended_containers(pod)
    if ended:  # between two steps, or after the last one
        return Running(next((each for each in Step if each not in ended), Step.PUBLISH))
    return Waiting("PodStarting", f"waits for pod {pod['metadata']['name']} to start")


def _failed(job: Object, failed: Object, pods: list[Object]) -> Failed:
    trouble: Trouble | None = None
    for pod in reversed(pods):
        report = last_report(pod)
        if isinstance(report, StepFailure):
            trouble = Trouble(report.reason, report.message, final=not report.transient)
            break
        trouble = trouble or trouble_of([pod])
    if failed.get("reason") == "DeadlineExceeded":
        why = f": {trouble.message}" if trouble else ""
        trouble = Trouble(
            "OptimizationTimedOut",
            f"the Job ran into job.activeDeadlineSeconds{why}",
            final=True,
        )
    if trouble is None:
        trouble = Trouble("OptimizationFailed", str(failed.get("message") or "the Job failed"))
    return Failed(
        job_uid=job["metadata"]["uid"],
        at=parse_time(failed["lastTransitionTime"]),
        reason=trouble.reason[:SHORT_LIMIT],
        message=trouble.message[:_MESSAGE_LIMIT],
        # Without a pod nobody knows why: trying again is how to find out.
        mendable=not pods or trouble.reason in _MENDABLE or _is_transient(pods),
    )


def _is_transient(pods: list[Object]) -> bool:
    report = last_report(pods[-1]) if pods else None
    return isinstance(report, StepFailure) and report.transient


def next_try(attempts: int, failed_at: datetime) -> datetime:
    """When to try again after the ``attempts``-th failure: 20 s, doubling, at most 5 min."""
    seconds = min(_FIRST_RETRY_SECONDS * 2 ** max(0, attempts - 1), _LAST_RETRY_SECONDS)
    return failed_at + timedelta(seconds=seconds)
