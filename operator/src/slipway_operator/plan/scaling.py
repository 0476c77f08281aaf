"""Replica arithmetic. Pure."""

from slipway.api.v1alpha1.resource import Spec
from slipway_operator.plan.objects import Object


def canary_replicas(weight: int, stable: int) -> int:
    """Pods that give a canary ``weight`` percent beside ``stable`` pods, by replica ratio.

    ``canary / (canary + stable) = weight / 100``, rounded to the nearest pod, at least one.
    Worked examples with 4 stable pods: 20 % -> 1 (1 of 5), 50 % -> 4 (4 of 8), 100 % -> 4 (it
    takes over). With 1 stable pod 20 % -> 1, which is really 50 %: 20 % needs five pods.
    """
    if stable <= 0:
        return 0
    if weight >= 100:
        return stable
    exact = weight * stable / (100 - weight)
    return max(1, int(exact + 0.5))


def desired_stable(spec: Spec, deployment: Object | None) -> int:
    """Pods that the stable revision should have now.

    With autoscaling it is what the scaler set, kept within its bounds; else ``spec.replicas``.
    """
    if spec.autoscaling is None:
        return spec.replicas
    bounds = spec.autoscaling
    current = deployment["spec"].get("replicas", 1) if deployment else bounds.min_replicas
    return min(max(int(current), bounds.min_replicas), bounds.max_replicas)


def measured_weight(canary: int, stable: int) -> int | None:
    """Percent of requests that the canary answered; ``None`` when there were none."""
    total = canary + stable
    return round(100 * canary / total) if total else None
