"""Deterministic names, labels and owner references. Pure.

A name never depends on when or how often it is made: a repeated write meets its own object.
"""

import hashlib

from slipway import contract
from slipway.artifacts.layout import canonical
from slipway.contract import Component, Label
from slipway_operator.plan.objects import Object, Ref

_HASH_LENGTH = 10


def short_hash(value: object) -> str:
    """Ten hex digits over the canonical JSON of a value."""
    return hashlib.sha256(canonical(value)).hexdigest()[:_HASH_LENGTH]


def revision_name(resource: str, user_fields: object) -> str:
    """``<resource>-<hash10>``; at most 51 characters."""
    return f"{resource}-{short_hash(user_fields)}"


def job_name(revision: str) -> str:
    """The optimization Job of a revision."""
    return f"{revision}-opt"


def replay_name(revision: str) -> str:
    """The replay Job of a canary."""
    return f"{revision}-replay"


def event_name(resource: str, *facts: object) -> str:
    """Equal facts give one Event, however often they are told."""
    return f"{resource}.{short_hash(facts)}"


def identity(resource: Object) -> Ref:
    """The resource's own reference."""
    meta = resource["metadata"]
    return Ref(contract.KIND, meta["namespace"], meta["name"])


def selector(resource: str, revision: str | None = None) -> dict[str, str]:
    """Labels that select a resource's server pods, or one revision's. Never change them."""
    found = {
        str(Label.MODEL_DEPLOYMENT): resource,
        str(Label.APP_COMPONENT): str(Component.PREDICTOR),
    }
    if revision is not None:
        found[str(Label.REVISION)] = revision
    return found


def selector_text(resource: str, revision: str) -> str:
    """The same as ``key=value,key=value``."""
    return ",".join(f"{key}={value}" for key, value in selector(resource, revision).items())


def child_labels(
    resource: str, *, component: Component | None = None, revision: str | None = None
) -> dict[str, str]:
    """Labels of every child. The instance label is ours: the resource's own is never inherited."""
    found = {
        str(Label.APP_NAME): resource,
        str(Label.APP_INSTANCE): resource,
        str(Label.APP_PART_OF): "slipway",
        str(Label.APP_MANAGED_BY): contract.MANAGED_BY,
        str(Label.MODEL_DEPLOYMENT): resource,
    }
    if revision is not None:
        found[str(Label.REVISION)] = revision
    if component is not None:
        found[str(Label.APP_COMPONENT)] = str(component)
    return found


def owner_reference(resource: Object) -> Object:
    """The controlling owner: children go when the resource goes."""
    meta = resource["metadata"]
    return {
        "apiVersion": contract.API_VERSION,
        "kind": contract.KIND,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
