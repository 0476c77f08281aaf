"""``ControllerRevision``: the immutable content of a revision. Pure."""

from slipway_operator.plan.names import child_labels, owner_reference
from slipway_operator.plan.objects import Object
from slipway_operator.plan.revision import Snapshot


def controller_revision(resource: Object, name: str, number: int, content: Snapshot) -> Object:
    """Created once; only its annotation ``Annotation.RESULT`` is ever added."""
    meta = resource["metadata"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": child_labels(meta["name"], revision=name),
            "ownerReferences": [owner_reference(resource)],
        },
        "revision": number,
        "data": content.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
