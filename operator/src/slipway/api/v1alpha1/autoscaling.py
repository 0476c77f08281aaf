"""``spec.autoscaling``: a HorizontalPodAutoscaler (autoscaling/v2) on the stable revision."""

from typing import Literal

from pydantic import Field

from slipway.api.v1alpha1.base import ApiModel, Rule, RuledModel


class MetricTarget(ApiModel):
    """Utilisation in percent of the request."""

    type: Literal["Utilization"] = Field(default="Utilization", description="As in autoscaling/v2.")
    average_utilization: int = Field(
        ge=1, le=1000, description="Percent of the request, averaged over the pods."
    )


class ResourceMetric(ApiModel):
    """CPU or memory of the pods."""

    name: Literal["cpu", "memory"] = Field(description="Which resource.")
    target: MetricTarget


class Metric(ApiModel):
    """One autoscaling/v2 metric."""

    type: Literal["Resource"] = Field(default="Resource", description="As in autoscaling/v2.")
    resource: ResourceMetric


class ScalingRules(ApiModel):
    """How fast one direction goes."""

    stabilization_window_seconds: int | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="Look back this far. Absent: 0 for up, 300 for down (Kubernetes' defaults).",
    )


class Behavior(ApiModel):
    """As in autoscaling/v2."""

    scale_up: ScalingRules | None = None
    scale_down: ScalingRules | None = None


class Autoscaling(RuledModel):
    """Replicas between two bounds. The operator never writes replicas that the scaler owns."""

    min_replicas: int = Field(default=1, ge=1, le=1000, description="Never fewer pods.")
    max_replicas: int = Field(ge=1, le=1000, description="Never more pods.")
    metrics: tuple[Metric, ...] = Field(
        default=(), max_length=8, description="Absent: CPU at 75 %."
    )
    behavior: Behavior | None = None
    rules = (
        Rule(
            cel="self.minReplicas <= self.maxReplicas",
            message="minReplicas {minReplicas} is above maxReplicas {maxReplicas}: lower it, or "
            "raise maxReplicas",
            check=lambda a: a.min_replicas <= a.max_replicas,
        ),
    )
