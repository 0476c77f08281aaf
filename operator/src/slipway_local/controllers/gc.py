"""Garbage: objects whose owners are gone, and what is in a namespace that is being deleted."""

from datetime import datetime

from slipway_local.controllers.owning import is_ending
from slipway_local.objects import Objects
from slipway_operator.plan.objects import ref_of


def step(objects: Objects, now: datetime) -> list[str]:
    """Delete what nobody owns any more."""
    deeds = []
    for obj in list(objects.every()):
        owners = obj["metadata"].get("ownerReferences") or []
        if owners and not is_ending(obj) and not any(objects.has_uid(o["uid"]) for o in owners):
            objects.delete(ref_of(obj), uid=obj["metadata"]["uid"])
            deeds.append(f"gc: deleted {ref_of(obj)}, whose owner {owners[0]['name']} is gone")
    for namespace in objects.select("Namespace"):
        if is_ending(namespace):
            deeds += _empty(objects, namespace["metadata"]["name"])
    return deeds


def _empty(objects: Objects, name: str) -> list[str]:
    inside = [obj for obj in objects.every() if obj["metadata"].get("namespace") == name]
    going = [obj for obj in inside if not is_ending(obj)]
    for obj in going:
        objects.delete(ref_of(obj), uid=obj["metadata"]["uid"])
    if not inside:
        found = next(n for n in objects.select("Namespace") if n["metadata"]["name"] == name)
        objects.finish(ref_of(found))
        return [f"gc: namespace {name} is gone"]
    return [f"gc: deleted {ref_of(obj)} with its namespace" for obj in going]
