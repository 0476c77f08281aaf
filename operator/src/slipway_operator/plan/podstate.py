"""What a pod's status says, in one sentence with a remedy. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from slipway.contract import ExitCode
from slipway.errors import Invalid
from slipway.tasks import JobReport, ReplayReport, StepFailure, parse_report
from slipway_operator.plan.objects import Object, condition, is_true

_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod is not doing its work.

    Attributes:
        final: the same pod template will fail the same way again.
    """

    reason: str
    message: str
    final: bool = False


def is_ready(pod: Object) -> bool:
    """Whether it is an endpoint."""
    return is_true(pod, "Ready") and not pod["metadata"].get("deletionTimestamp")


def container_statuses(pod: Object) -> Iterator[Object]:
    """Init containers first, in order."""
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def running_container(pod: Object) -> str | None:
    """Name of the first container that runs."""
    for status in container_statuses(pod):
        if "running" in (status.get("state") or {}):
            name: str = status["name"]
            return name
    return None


def ended_containers(pod: Object) -> set[str]:
    """Names of the containers that ended well."""
    return {
        status["name"]
        for status in container_statuses(pod)
        if ((status.get("state") or {}).get("terminated") or {}).get("exitCode") == 0
    }


def last_report(pod: Object) -> JobReport | StepFailure | ReplayReport | None:
    """The report of the last container that left one."""
    found = None
    for status in container_statuses(pod):
        for key in ("lastState", "state"):
            message = ((status.get(key) or {}).get("terminated") or {}).get("message")
            if not message:
                continue
            try:
                found = parse_report(message)
            except Invalid:
                continue
    return found


def trouble_of(pods: Iterable[Object]) -> Trouble | None:
    """The first trouble that any of the pods has."""
    for pod in pods:
        found = _scheduling(pod)
        for status in container_statuses(pod):
            found = found or _container(pod, status)
        if found is not None:
            return found
    return None


def _scheduling(pod: Object) -> Trouble | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled is None or scheduled.get("status") != "False":
        return None
    return Trouble(
        str(scheduled.get("reason") or "Unschedulable"),
        f"pod {pod['metadata']['name']} cannot be placed: {scheduled.get('message', '')}",
    )


def _container(pod: Object, status: Object) -> Trouble | None:
    name = f"container {status['name']} of pod {pod['metadata']['name']}"
    state = status.get("state") or {}
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in _PULL:
        return Trouble(
            "ImagePullFailed",
            f"image {status.get('image', '')} of {name} cannot be pulled: check its name and "
            f"imagePullSecrets ({waiting.get('message') or waiting['reason']})",
        )
    if waiting.get("reason") in _CONFIG:
        return Trouble(str(waiting["reason"]), f"{name}: {waiting.get('message', '')}")
    ended = state.get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
    if not ended or ended.get("exitCode") == 0:
        return None
    return _ended(name, ended)


def _ended(name: str, ended: Object) -> Trouble:
    if ended.get("reason") == "OOMKilled":
        return Trouble(
            "OutOfMemory", f"{name} was killed for lack of memory: raise its memory limit"
        )
    try:
        report = parse_report(ended.get("message") or "")
    except Invalid:
        report = None
    if isinstance(report, StepFailure):
        return Trouble(report.reason, report.message, final=not report.transient)
    code = ended.get("exitCode")
    return Trouble(
        "ContainerFailed",
        f"{name} ended with exit code {code}: see its log (slipway logs)",
        final=code == ExitCode.INVALID,
    )
