"""Deployments: one ReplicaSet per pod template, and the arithmetic of rolling from old to new."""

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from slipway_local.controllers.owning import (
    children,
    created,
    is_ending,
    owner_reference,
    with_condition,
    without_zeros,
)
from slipway_local.objects import Objects
from slipway_local.store.tree import clone
from slipway_operator.plan.objects import Object, condition, parse_time, ref_of

HASH_LABEL: Final = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class Part:
    """One ReplicaSet, as the arithmetic sees it."""

    name: str
    wanted: int
    available: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many pods there may be, and how many must be available at any time."""

    replicas: int
    surge: int
    unavailable: int


def bounds_of(spec: Object) -> Bounds:
    """From ``spec.strategy``; percentages round up for surge and down for unavailable.

    As in Kubernetes, when both come to 0 one pod may be unavailable. Recreate has no surge, and
    all may be unavailable.
    """
    replicas = spec["replicas"]
    if spec["strategy"]["type"] == "Recreate":
        return Bounds(replicas, 0, replicas)
    rolling = spec["strategy"]["rollingUpdate"]
    surge = math.ceil(_share(rolling["maxSurge"], replicas))
    unavailable = math.floor(_share(rolling["maxUnavailable"], replicas))
    return Bounds(replicas, surge, 1 if surge == unavailable == 0 else unavailable)


def _share(value: int | str, replicas: int) -> float:
    return value if isinstance(value, int) else int(value.removesuffix("%")) * replicas / 100


def next_sizes(new: Part, old: tuple[Part, ...], bounds: Bounds) -> dict[str, int]:
    """Replicas that each ReplicaSet should have now: one step of a rolling update.

    The new one grows as far as surge allows; old ones shrink as far as availability allows, those
    pods first that are not available. Worked example: 4 replicas, surge 1, unavailable 0, all old
    available: new 0 -> 1, old stay 4; when the new pod is available: old 4 -> 3.
    """
    sizes = {part.name: part.wanted for part in (new, *old)}
    total = sum(sizes.values())
    if new.wanted > bounds.replicas:
        sizes[new.name] = bounds.replicas
    else:
        room = max(0, bounds.replicas + bounds.surge - total)
        sizes[new.name] = new.wanted + min(room, bounds.replicas - new.wanted)
    unready_new = max(0, min(new.wanted, sizes[new.name]) - new.available)
    least = bounds.replicas - bounds.unavailable
    spare = total - least - unready_new
    for part in old:
        broken = min(spare, part.wanted - part.available)
        if broken > 0:
            sizes[part.name] -= broken
            spare -= broken
    ready = new.available + sum(min(part.available, sizes[part.name]) for part in old)
    spare = ready - least
    for part in old:
        going = max(0, min(spare, sizes[part.name]))
        sizes[part.name] -= going
        spare -= going
    return sizes


def template_hash(template: Object) -> str:
    """Ten letters that change with the pod template."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def step(objects: Objects, now: datetime) -> list[str]:
    """Size every Deployment's ReplicaSets, and report."""
    deeds = []
    for found in objects.select("Deployment"):
        if not is_ending(found):
            deeds += _settle(objects, found)
            _report(objects, found, now)
    return deeds


def _settle(objects: Objects, deployment: Object) -> list[str]:
    name = f"{deployment['metadata']['name']}-{template_hash(deployment['spec']['template'])}"
    found = {rs["metadata"]["name"]: rs for rs in children(objects, "ReplicaSet", deployment)}
    deeds = []
    if name not in found:
        found[name] = objects.create(_replica_set(deployment, name))
        deeds.append(f"Deployment {deployment['metadata']['name']}: created ReplicaSet {name}")
    old = sorted((rs for key, rs in found.items() if key != name), key=created)
    bounds = bounds_of(deployment["spec"])
    sizes = next_sizes(_part(found[name]), tuple(map(_part, old)), bounds)
    if deployment["spec"]["strategy"]["type"] == "Recreate" and any(
        rs["status"].get("replicas", 0) for rs in old
    ):
        sizes[name] = found[name]["spec"]["replicas"]
    for key, size in sizes.items():
        if size != found[key]["spec"]["replicas"]:
            objects.patch(ref_of(found[key]), {"spec": {"replicas": size}})
            deeds.append(
                f"Deployment {deployment['metadata']['name']}: scaled {key} "
                f"{found[key]['spec']['replicas']} -> {size}"
            )
    return deeds + _forget(objects, deployment, old)


def _part(replica_set: Object) -> Part:
    return Part(
        replica_set["metadata"]["name"],
        replica_set["spec"]["replicas"],
        replica_set["status"].get("availableReplicas", 0),
    )


def _forget(objects: Objects, deployment: Object, old: list[Object]) -> list[str]:
    idle = [rs for rs in old if not rs["spec"]["replicas"] and not rs["status"].get("replicas")]
    surplus = idle[: max(0, len(idle) - deployment["spec"]["revisionHistoryLimit"])]
    for replica_set in surplus:
        objects.delete(ref_of(replica_set))
    return [f"Deployment: deleted old ReplicaSet {rs['metadata']['name']}" for rs in surplus]


def _replica_set(deployment: Object, name: str) -> Object:
    template = clone(deployment["spec"]["template"])
    suffix = {HASH_LABEL: name.rsplit("-", 1)[1]}
    template["metadata"]["labels"] = (template["metadata"].get("labels") or {}) | suffix
    selector = clone(deployment["spec"]["selector"])
    selector["matchLabels"] = (selector.get("matchLabels") or {}) | suffix
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": deployment["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": selector,
            "template": template,
            "minReadySeconds": deployment["spec"].get("minReadySeconds", 0),
        },
    }


def _report(objects: Objects, deployment: Object, now: datetime) -> None:
    sets = children(objects, "ReplicaSet", deployment)
    tag = template_hash(deployment["spec"]["template"])
    current = [rs for rs in sets if rs["metadata"]["name"].endswith(f"-{tag}")]
    total = {
        key: sum(rs["status"].get(key, 0) for rs in sets)
        for key in ("replicas", "readyReplicas", "availableReplicas")
    }
    wanted = deployment["spec"]["replicas"]
    surge = max(wanted, sum(rs["spec"]["replicas"] for rs in sets))
    status = without_zeros(
        {
            **total,
            "updatedReplicas": sum(rs["status"].get("replicas", 0) for rs in current),
            "unavailableReplicas": max(0, surge - total["availableReplicas"]),
            "conditions": (deployment.get("status") or {}).get("conditions"),
        }
    )
    status["observedGeneration"] = deployment["metadata"]["generation"]
    status["conditions"] = with_condition(status, _available(deployment, status), now)
    progress = _progressing(deployment, status, current, now)
    status["conditions"] = with_condition(status, progress, now)
    objects.set_status(ref_of(deployment), status)


def _available(deployment: Object, status: Object) -> tuple[str, str, str, str]:
    bounds = bounds_of(deployment["spec"])
    if status.get("availableReplicas", 0) >= bounds.replicas - bounds.unavailable:
        text = "Deployment has minimum availability."
        return ("Available", "True", "MinimumReplicasAvailable", text)
    text = "Deployment does not have minimum availability."
    return ("Available", "False", "MinimumReplicasUnavailable", text)


def _progressing(
    deployment: Object, status: Object, current: list[Object], now: datetime
) -> tuple[str, str, str, str]:
    wanted = deployment["spec"]["replicas"]
    name = current[0]["metadata"]["name"] if current else ""
    complete = (
        status.get("updatedReplicas", 0) == wanted == status.get("availableReplicas", 0)
        and status.get("replicas", 0) == wanted
    )
    if complete:
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return ("Progressing", "True", "NewReplicaSetAvailable", text)
    # The message holds the counts, so that the time of the last update is that of real progress.
    before = condition(deployment, "Progressing")
    counts = f"{status.get('updatedReplicas', 0)} updated, {status.get('readyReplicas', 0)} ready"
    text = f'ReplicaSet "{name}" is progressing: {counts} of {wanted}.'
    if before is not None and before["reason"] != "NewReplicaSetAvailable":
        late = (
            before["message"].removesuffix(" Timed out.") == text
            and (now - parse_time(before["lastUpdateTime"])).total_seconds()
            >= deployment["spec"]["progressDeadlineSeconds"]
        )
        if late or before["message"] == f"{text} Timed out.":
            return ("Progressing", "False", "ProgressDeadlineExceeded", f"{text} Timed out.")
    return ("Progressing", "True", "ReplicaSetUpdated", text)
