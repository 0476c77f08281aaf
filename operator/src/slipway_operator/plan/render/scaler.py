"""HorizontalPodAutoscaler and PodDisruptionBudget. Pure."""

from slipway.api.v1alpha1.autoscaling import Autoscaling, Metric
from slipway_operator.plan.names import child_labels, owner_reference, selector
from slipway_operator.plan.objects import Object

_DEFAULT_METRICS = (
    Metric.model_validate(
        {
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 75},
            }
        }
    ),
)


def autoscaler(resource: Object, revision: str, wanted: Autoscaling) -> Object:
    """Scales one revision's Deployment; there is one for the stable revision only."""
    meta = resource["metadata"]
    spec: Object = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": revision},
        "minReplicas": wanted.min_replicas,
        "maxReplicas": wanted.max_replicas,
        "metrics": [
            metric.model_dump(mode="json", by_alias=True)
            for metric in wanted.metrics or _DEFAULT_METRICS
        ],
    }
    if wanted.behavior is not None:
        spec["behavior"] = wanted.behavior.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": revision,
            "namespace": meta["namespace"],
            "labels": child_labels(meta["name"], revision=revision),
            "ownerReferences": [owner_reference(resource)],
        },
        "spec": spec,
    }


def disruption_budget(resource: Object) -> Object:
    """Voluntary evictions take one server pod at a time, whatever its revision."""
    meta = resource["metadata"]
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": child_labels(meta["name"]),
            "ownerReferences": [owner_reference(resource)],
        },
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(meta["name"])},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
