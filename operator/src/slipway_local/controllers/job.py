"""Jobs: pods until enough have succeeded, or until it is clear that they will not."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from slipway_local.controllers.owning import (
    children,
    is_active,
    is_ending,
    is_finished,
    is_ready,
    pod_of,
    with_condition,
    without_zeros,
)
from slipway_local.objects import Objects
from slipway_local.store.defaults import JOB_TRACKING
from slipway_local.store.tree import clone
from slipway_operator.plan.objects import (
    Object,
    controller_uid,
    format_time,
    is_true,
    parse_time,
    ref_of,
)

_BACKOFF_FIRST: Final = 10.0  # seconds
_BACKOFF_LAST: Final = 600.0


@dataclass(frozen=True, slots=True)
class End:
    """Why a Job is over."""

    kind: Literal["Complete", "Failed"]
    reason: str
    message: str


def retry_at(failures: int, last: datetime) -> datetime:
    """When the next pod may start: 10 s after the first failure, doubling, at most 10 min."""
    delay = min(_BACKOFF_LAST, _BACKOFF_FIRST * 2.0 ** max(0, failures - 1))
    return last + timedelta(seconds=delay)


def matched_rule(job: Object, pod: Object) -> tuple[int, str, str] | None:
    """(index, action, description) of the first podFailurePolicy rule that a failed pod meets."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or []
    for index, rule in enumerate(rules):
        if codes := rule.get("onExitCodes"):
            if found := _exit_match(pod, codes):
                name, code = found
                text = f"Container {name} for pod {_full(pod)} failed with exit code {code}"
                return index, rule["action"], text
        elif any(_holds(pod, wanted) for wanted in rule.get("onPodConditions") or []):
            return index, rule["action"], f"Pod {_full(pod)} has a condition"
    return None


def _exit_match(pod: Object, codes: Object) -> tuple[str, int] | None:
    status = pod["status"]
    entries = [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]
    for entry in entries:
        ended = entry["state"].get("terminated")
        if not ended or ended["exitCode"] == 0:
            continue
        if codes.get("containerName") not in (None, entry["name"]):
            continue
        if (ended["exitCode"] in codes["values"]) == (codes["operator"] == "In"):
            return entry["name"], ended["exitCode"]
    return None


def _holds(pod: Object, wanted: Object) -> bool:
    return any(
        entry["type"] == wanted["type"] and entry["status"] == wanted.get("status", "True")
        for entry in pod["status"].get("conditions") or []
    )


def _full(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def step(objects: Objects, now: datetime) -> list[str]:
    """Count what ended, start what is missing, report, and remove what is too old."""
    deeds = []
    for job in objects.select("Job"):
        if not is_ending(job):
            deeds += _settle(objects, job, now)
    _release_orphans(objects)
    return deeds


def _settle(objects: Objects, job: Object, now: datetime) -> list[str]:
    status = clone(job.get("status") or {})
    status.setdefault("startTime", format_time(now))
    finished = [kind for kind in ("Complete", "Failed") if is_true(job, kind)]
    if finished:
        return _expire(objects, job, finished[0], now)
    pods = children(objects, "Pod", job)
    counted = _count(job, status, [pod for pod in pods if is_finished(pod)])
    active = [pod for pod in pods if is_active(pod)]
    end = _end(job, status, counted, now)
    deeds = []
    if end is not None:
        for pod in active:
            objects.delete(ref_of(pod))
            deeds.append(f"Job {job['metadata']['name']}: deleted pod {pod['metadata']['name']}")
    elif _may_start(job, status, active, pods, now):
        made = objects.create(_tracked(pod_of(job)))
        active = [*active, made]
        deeds.append(f"Job {job['metadata']['name']}: created pod {made['metadata']['name']}")
    left = [pod for pod in children(objects, "Pod", job) if not is_finished(pod)]
    _report(objects, job, status, (end, active, left), now)
    for pod in counted:
        objects.patch(ref_of(pod), {"metadata": {"finalizers": None}})
    if end is not None and not left:
        deeds.append(f"Job {job['metadata']['name']}: {end.kind} ({end.reason})")
    return deeds


def _count(job: Object, status: Object, finished: list[Object]) -> list[Object]:
    """Add pods that ended since the last time; their finalizer tells which."""
    fresh = [pod for pod in finished if JOB_TRACKING in (pod["metadata"].get("finalizers") or [])]
    for pod in fresh:
        if pod["status"]["phase"] == "Succeeded":
            status["succeeded"] = status.get("succeeded", 0) + 1
            continue
        rule = matched_rule(job, pod)
        if rule is None or rule[1] != "Ignore":
            status["failed"] = status.get("failed", 0) + 1
    return fresh


def _end(job: Object, status: Object, counted: list[Object], now: datetime) -> End | None:
    spec = job["spec"]
    for condition in status.get("conditions") or []:
        if condition["type"] == "FailureTarget":
            return End("Failed", condition["reason"], condition["message"])
        if condition["type"] == "SuccessCriteriaMet":
            return End("Complete", condition["reason"], condition["message"])
    if status.get("succeeded", 0) >= spec["completions"]:
        return End("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
    for pod in counted:
        rule = matched_rule(job, pod) if pod["status"]["phase"] == "Failed" else None
        if rule is not None and rule[1] == "FailJob":
            text = f"{rule[2]} matching FailJob rule at index {rule[0]}"
            return End("Failed", "PodFailurePolicy", text)
    if status.get("failed", 0) > spec["backoffLimit"]:
        text = "Job has reached the specified backoff limit"
        return End("Failed", "BackoffLimitExceeded", text)
    limit = spec.get("activeDeadlineSeconds")
    if limit and (now - parse_time(status["startTime"])).total_seconds() >= limit:
        return End("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    return None


def _may_start(
    job: Object, status: Object, active: list[Object], pods: list[Object], now: datetime
) -> bool:
    spec = job["spec"]
    wanted = min(spec["parallelism"], spec["completions"] - status.get("succeeded", 0))
    if len(active) >= wanted:
        return False
    failed = [pod for pod in pods if pod["status"].get("phase") == "Failed"]
    ends = [end for pod in failed if (end := _finished_at(pod))]
    return not ends or now >= retry_at(status.get("failed", 0), max(ends))


def _finished_at(pod: Object) -> datetime | None:
    status = pod["status"]
    entries = [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]
    ends = [
        entry["state"]["terminated"]["finishedAt"]
        for entry in entries
        if entry["state"].get("terminated")
    ]
    return max(map(parse_time, ends)) if ends else None


def _tracked(pod: Object) -> Object:
    """Kept until its end was counted."""
    return {**pod, "metadata": {**pod["metadata"], "finalizers": [JOB_TRACKING]}}


def _report(
    objects: Objects,
    job: Object,
    status: Object,
    seen: tuple[End | None, list[Object], list[Object]],
    now: datetime,
) -> None:
    end, active, left = seen
    status["active"] = 0 if end else len(active)
    status["ready"] = sum(map(is_ready, active))
    status["terminating"] = sum(map(is_ending, left))
    if end is not None:
        target = "FailureTarget" if end.kind == "Failed" else "SuccessCriteriaMet"
        kinds = [target] if left else [target, end.kind]
        for kind in kinds:
            wanted = (kind, "True", end.reason, end.message)
            status["conditions"] = with_condition(status, wanted, now, stamps_updates=False)
        if end.kind == "Complete" and not left:
            status["completionTime"] = format_time(now)
    objects.set_status(ref_of(job), without_zeros(status))


def _expire(objects: Objects, job: Object, kind: str, now: datetime) -> list[str]:
    limit = job["spec"].get("ttlSecondsAfterFinished")
    ended = next(c for c in job["status"]["conditions"] if c["type"] == kind)
    age = now - parse_time(ended["lastTransitionTime"])
    if limit is None or age.total_seconds() < limit:
        return []
    objects.delete(ref_of(job))
    return [f"Job {job['metadata']['name']}: removed {limit} s after its end"]


def _release_orphans(objects: Objects) -> None:
    """Pods of Jobs that are gone or over need no counting any more."""
    for pod in objects.select("Pod"):
        if JOB_TRACKING not in (pod["metadata"].get("finalizers") or []):
            continue
        owner = controller_uid(pod)
        if owner is None or not objects.has_uid(owner):
            objects.patch(ref_of(pod), {"metadata": {"finalizers": None}})
