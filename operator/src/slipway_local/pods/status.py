"""A pod's status, in the kubelet's shape. Pure."""

from datetime import datetime
from typing import Any

from slipway_local.controllers.owning import with_condition
from slipway_local.pods.state import Container, PodState, Running, State, Terminated, Waiting
from slipway_operator.plan.objects import Object, format_time

NODE_ADDRESS = "127.0.0.1"


def status_of(pod: Object, state: PodState, now: datetime) -> Object:
    """The whole status; conditions keep their transition times from the old one."""
    uid = pod["metadata"]["uid"]
    status: Object = {
        "phase": state.phase(),
        "qosClass": "Burstable",
        "hostIP": NODE_ADDRESS,
        "podIP": state.address,
        "podIPs": [{"ip": state.address}],
        "startTime": format_time(state.started),
        "containerStatuses": [_container(c, uid) for c in state.main],
        "conditions": pod["status"].get("conditions") or [],
    }
    if state.init:
        status["initContainerStatuses"] = [_container(c, uid) for c in state.init]
    for wanted in _conditions(state, status["phase"]):
        status["conditions"] = with_condition(status, wanted, now, stamps_updates=False)
    return status


def _container(container: Container, uid: str) -> Object:
    found: Object = {
        "name": container.name,
        "image": container.spec["image"],
        "imageID": f"local://{container.spec['image']}" if container.runs else "",
        "ready": container.is_ready,
        "started": container.is_started,
        "restartCount": max(0, container.runs - 1),
        "state": _state(container.state, uid, container),
        "lastState": _state(container.last, uid, container) if container.last else {},
    }
    if container.runs:
        found["containerID"] = f"local://{uid}/{container.name}/{container.runs - 1}"
    return found


def _state(state: State, uid: str, container: Container) -> Object:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        case Running(since):
            return {"running": {"startedAt": format_time(since)}}
        case Terminated(how, since, at):
            ended: dict[str, Any] = {
                "exitCode": how.code,
                "reason": "Error" if how.code else "Completed",
                "startedAt": format_time(since),
                "finishedAt": format_time(at),
                "containerID": f"local://{uid}/{container.name}/{container.runs - 1}",
            }
            return {"terminated": ended | ({"message": how.message} if how.message else {})}


def _conditions(state: PodState, phase: str) -> list[tuple[str, str, str, str]]:
    """(type, status, reason, message) of each."""
    unready = [c.name for c in state.main if not c.is_ready]
    waiting = [c.name for c in state.init if not c.is_ready]
    done = "PodCompleted" if phase == "Succeeded" else ""
    text = f"containers with unready status: [{' '.join(unready)}]"
    ready = ("True", "", "") if not unready else ("False", done or "ContainersNotReady", text)
    initialized = ("True", done, "")
    if waiting:
        text = f"containers with incomplete status: [{' '.join(waiting)}]"
        initialized = ("False", "ContainersNotInitialized", text)
    return [
        ("PodScheduled", "True", "", ""),
        ("PodReadyToStartContainers", "True", "", ""),
        ("Initialized", *initialized),
        ("ContainersReady", *ready),
        ("Ready", *ready),
    ]
