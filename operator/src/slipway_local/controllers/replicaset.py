"""ReplicaSets: as many pods as asked for."""

from datetime import datetime

from slipway_local.controllers.owning import (
    children,
    created,
    is_active,
    is_available,
    is_ending,
    is_ready,
    pod_of,
    ready_since,
    without_zeros,
)
from slipway_local.objects import Objects
from slipway_operator.plan.objects import Object, labels, ref_of


def step(objects: Objects, now: datetime) -> list[str]:
    """Make or delete pods, and report."""
    deeds = []
    for found in objects.select("ReplicaSet"):
        if not is_ending(found):
            deeds += _settle(objects, found)
            _report(objects, found, now)
    return deeds


def _settle(objects: Objects, replica_set: Object) -> list[str]:
    pods = [pod for pod in children(objects, "Pod", replica_set) if is_active(pod)]
    missing = replica_set["spec"]["replicas"] - len(pods)
    name = replica_set["metadata"]["name"]
    deeds = []
    for _ in range(missing):
        made = objects.create(pod_of(replica_set))
        deeds.append(f"ReplicaSet {name}: created pod {made['metadata']['name']}")
    for pod in deletion_order(pods)[: max(0, -missing)]:
        objects.delete(ref_of(pod), uid=pod["metadata"]["uid"])
        deeds.append(f"ReplicaSet {name}: deleted pod {pod['metadata']['name']}")
    return deeds


def deletion_order(pods: list[Object]) -> list[Object]:
    """Who goes first: pending before running, unready before ready, then the newest."""

    def rank(pod: Object) -> tuple[int, int, float, int, float, str]:
        since = ready_since(pod)
        restarts = max(
            (entry["restartCount"] for entry in pod["status"].get("containerStatuses") or []),
            default=0,
        )
        return (
            0 if pod["status"].get("phase") == "Pending" else 1,
            1 if since else 0,
            -since.timestamp() if since else 0.0,
            -restarts,
            -created(pod).timestamp(),
            pod["metadata"]["name"],
        )

    return sorted(pods, key=rank)


def _report(objects: Objects, replica_set: Object, now: datetime) -> None:
    pods = [pod for pod in children(objects, "Pod", replica_set) if is_active(pod)]
    wait = replica_set["spec"].get("minReadySeconds", 0)
    template = replica_set["spec"]["template"]["metadata"].get("labels") or {}
    counts = without_zeros(
        {
            "fullyLabeledReplicas": sum(template.items() <= labels(pod).items() for pod in pods),
            "readyReplicas": sum(map(is_ready, pods)),
            "availableReplicas": sum(is_available(pod, wait, now) for pod in pods),
        }
    )
    generation = replica_set["metadata"]["generation"]
    status = {"replicas": len(pods), **counts, "observedGeneration": generation}
    objects.set_status(ref_of(replica_set), status)
