"""What our creation set counts as applied, so that a later apply may take it away. Pure.

POST is about half the API server's work of an apply that creates, but records its fields as an
``Update``, and an apply never removes what an ``Update`` owns. Before the first apply that entry
becomes ``Apply``, as client-go's ``csaupgrade`` does for kubectl.
"""

from typing import Any

from slipway.contract import FIELD_MANAGER
from slipway_operator.plan.objects import Object


def as_applied(managed: list[Object]) -> list[Object] | None:
    """``metadata.managedFields`` with our creation as an apply; ``None`` if it is so already."""
    created = next((entry for entry in managed if _is_ours(entry, "Update")), None)
    if created is None:
        return None
    applied = next((entry for entry in managed if _is_ours(entry, "Apply")), None)
    fields = created.get("fieldsV1") or {}
    if applied is not None:
        fields = _union(fields, applied.get("fieldsV1") or {})
    others = [entry for entry in managed if entry is not created and entry is not applied]
    return [{**created, "operation": "Apply", "fieldsV1": fields}, *others]


def _is_ours(entry: Object, operation: str) -> bool:
    return (
        entry.get("manager") == FIELD_MANAGER
        and entry.get("operation") == operation
        and not entry.get("subresource")
    )


def _union(one: Any, other: Any) -> Any:
    """Two sets of fields as one: both are trees of maps whose leaves are empty maps."""
    return {key: _union(one.get(key, {}), other.get(key, {})) for key in {**one, **other}}
