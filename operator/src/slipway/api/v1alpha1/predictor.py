"""``spec.predictor`` and ``spec.job``: the pods that serve and the pods that optimise."""

from pydantic import Field

from slipway.api.quantity import parse_quantity
from slipway.api.v1alpha1.base import ApiModel, Quantity, Rule, RuledModel, Text


class ResourceList(ApiModel):
    """CPU and memory."""

    cpu: Quantity | None = Field(default=None, description="CPUs, such as 500m or 2.")
    memory: Quantity | None = Field(default=None, description="Bytes, such as 512Mi or 2Gi.")


def _is_within(request: str | None, limit: str | None) -> bool:
    return request is None or limit is None or parse_quantity(request) <= parse_quantity(limit)


def _cel_within(name: str) -> str:
    return (
        f"!has(self.requests) || !has(self.limits) || !has(self.requests.{name}) || "
        f"!has(self.limits.{name}) || "
        f"quantity(self.requests.{name}).compareTo(quantity(self.limits.{name})) <= 0"
    )


class Resources(RuledModel):
    """Requests and limits of a container, as in a pod."""

    requests: ResourceList = Field(default_factory=ResourceList)
    limits: ResourceList = Field(default_factory=ResourceList)
    rules = (
        Rule(
            cel=_cel_within("cpu"),
            message="requests.cpu {requests.cpu} is above limits.cpu {limits.cpu}: lower it, or "
            "raise the limit",
            check=lambda r: _is_within(r.requests.cpu, r.limits.cpu),
        ),
        Rule(
            cel=_cel_within("memory"),
            message="requests.memory {requests.memory} is above limits.memory {limits.memory}: "
            "lower it, or raise the limit",
            check=lambda r: _is_within(r.requests.memory, r.limits.memory),
        ),
    )


class Session(ApiModel):
    """ONNX Runtime session options."""

    intra_op_num_threads: int | None = Field(
        default=None, ge=1, le=256, description="Absent: learnt from the CPU limit."
    )


class Concurrency(ApiModel):
    """How much a server takes on before it answers 429."""

    max_queued: int = Field(default=256, ge=1, le=100_000, description="Requests waiting.")
    timeout_seconds: int = Field(default=30, ge=1, le=3600, description="Per request.")
    max_connection_age_seconds: int = Field(
        default=60,
        ge=1,
        le=86_400,
        description="Kept connections end after this time, so that a canary gets its share.",
    )


class Warmup(ApiModel):
    """What a server does before it is ready."""

    iterations: int = Field(default=10, ge=1, le=1000, description="Runs before the pod is ready.")
    golden_samples: int = Field(
        default=8, ge=0, le=64, description="Stored samples whose outputs must be reproduced."
    )


class Predictor(ApiModel):
    """The inference server's pods."""

    runtime_image: Text | None = Field(
        default=None,
        description="Absent: the operator's default, resolved once when the revision is made.",
    )
    resources: Resources = Field(default_factory=Resources)
    session: Session = Field(default_factory=Session)
    concurrency: Concurrency = Field(default_factory=Concurrency)
    warmup: Warmup = Field(default_factory=Warmup)


class Job(ApiModel):
    """The optimization Job."""

    backoff_limit: int = Field(
        default=2,
        ge=0,
        le=10,
        description="Pods that may fail for now; what is sure to fail again gets no second one.",
    )
    active_deadline_seconds: int = Field(
        default=3600, ge=60, le=86_400, description="Time for all steps together."
    )
    ttl_seconds_after_finished: int = Field(
        default=3600, ge=60, le=604_800, description="How long a finished Job and its logs stay."
    )
    resources: Resources = Field(default_factory=Resources)
