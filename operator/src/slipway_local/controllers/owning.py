"""Small words that the controllers share. Pure, apart from reading objects."""

from datetime import datetime

from slipway_local.objects import Objects
from slipway_local.store.tree import clone
from slipway_operator.plan.objects import (
    Object,
    condition,
    controller_uid,
    format_time,
    is_true,
    parse_time,
)


def owner_reference(owner: Object) -> Object:
    """What makes an object the controlled child of ``owner``."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_of(owner: Object) -> Object:
    """A pod of ``owner``, from its template."""
    template = clone(owner["spec"]["template"])
    meta = owner["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{meta['name']}-",
            "namespace": meta["namespace"],
            "labels": template["metadata"].get("labels") or {},
            "annotations": template["metadata"].get("annotations") or {},
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template["spec"],
    }


def children(objects: Objects, kind: str, owner: Object) -> list[Object]:
    """Objects that ``owner`` controls."""
    meta = owner["metadata"]
    found = objects.select(kind, meta.get("namespace", ""))
    return [obj for obj in found if controller_uid(obj) == meta["uid"]]


def is_ending(obj: Object) -> bool:
    """Whether its deletion has begun."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_finished(pod: Object) -> bool:
    """Whether it ran to an end."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Whether it counts as one that runs or will run."""
    return not is_finished(pod) and not is_ending(pod)


def is_ready(pod: Object) -> bool:
    """Whether it takes traffic, were it not being deleted."""
    return is_true(pod, "Ready")


def ready_since(pod: Object) -> datetime | None:
    """Since when it is ready."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return None
    return parse_time(found["lastTransitionTime"])


def is_available(pod: Object, min_ready_seconds: int, now: datetime) -> bool:
    """Whether it has been ready for long enough."""
    since = ready_since(pod)
    return since is not None and (now - since).total_seconds() >= min_ready_seconds


def created(obj: Object) -> datetime:
    """When it was made."""
    return parse_time(obj["metadata"]["creationTimestamp"])


def with_condition(
    status: Object, wanted: tuple[str, str, str, str], now: datetime, *, stamps_updates: bool = True
) -> list[Object]:
    """Conditions of a status with one set: (type, status, reason, message).

    The transition time moves only when the condition's status does.
    """
    kind, value, reason, message = wanted
    entry = {"type": kind, "status": value, "reason": reason, "message": message}
    entry = {key: text for key, text in entry.items() if text}
    entries = list(status.get("conditions") or [])
    at = next((i for i, old in enumerate(entries) if old["type"] == kind), len(entries))
    old = entries[at] if at < len(entries) else {}
    times = ("lastTransitionTime", "lastUpdateTime")
    if {key: text for key, text in old.items() if key not in times} == entry:
        return entries
    moment = format_time(now)
    since = old["lastTransitionTime"] if old.get("status") == value else moment
    stamp = {"lastUpdateTime": moment} if stamps_updates else {}
    entries[at : at + 1] = [{**entry, "lastTransitionTime": since, **stamp}]
    return entries


def without_zeros(status: Object) -> Object:
    """As the API writes counts: those that are zero are left out."""
    return {key: value for key, value in status.items() if value not in (0, None, [], "")}
