"""Small words about Kubernetes objects as plain dicts. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]  # a Kubernetes object as JSON


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Which object: kind, namespace (empty for cluster-scoped kinds) and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def ref_of(obj: Object) -> Ref:
    """The reference of an object."""
    meta = obj["metadata"]
    return Ref(obj["kind"], meta.get("namespace", ""), meta["name"])


def labels(obj: Object) -> dict[str, str]:
    """Its labels, empty when it has none."""
    found: dict[str, str] = obj["metadata"].get("labels") or {}
    return found


def annotations(obj: Object) -> dict[str, str]:
    """Its annotations, empty when it has none."""
    found: dict[str, str] = obj["metadata"].get("annotations") or {}
    return found


def condition(obj: Object, kind: str) -> Object | None:
    """The condition of that type in ``status.conditions``, if there."""
    for entry in (obj.get("status") or {}).get("conditions") or []:
        if entry.get("type") == kind:
            found: Object = entry
            return found
    return None


def is_true(obj: Object, kind: str) -> bool:
    """Whether the condition of that type is there and true."""
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def controller_uid(obj: Object) -> str | None:
    """The uid of the controlling owner."""
    for owner in obj["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            uid: str = owner["uid"]
            return uid
    return None


def parse_time(text: str) -> datetime:
    """RFC 3339 with ``Z`` or an offset, with or without fractions."""
    return datetime.fromisoformat(text)


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds, as the API server writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
