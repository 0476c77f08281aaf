"""``spec.rollout``: how a new revision takes over, in Argo Rollouts' vocabulary."""

from enum import StrEnum

from pydantic import Field

from slipway.api.v1alpha1.base import ApiModel, Decimal, Duration, Rule, RuledModel


class AnalysisMetricName(StrEnum):
    """What a canary is judged on."""

    SUCCESS_RATE = "request-success-rate"  # percent of answered requests without server error
    LATENCY_P95 = "latency-p95"  # milliseconds
    PREDICTION_AGREEMENT = "prediction-agreement"  # percent of replayed feeds answered alike


class NoDataPolicy(StrEnum):
    """What to do while a canary sees fewer than ``minRequests``."""

    WAIT = "Wait"
    REPLAY = "Replay"
    FAIL = "Fail"


class Pause(ApiModel):
    """A wait: for a time, or for ``slipway promote``."""

    duration: Duration | None = Field(default=None, description="Absent: until promoted by hand.")


def _one_action(step: "CanaryStep") -> bool:
    return (step.set_weight is None) != (step.pause is None)


class CanaryStep(RuledModel):
    """Exactly one action."""

    set_weight: int | None = Field(
        default=None, ge=1, le=100, description="Percent of requests that the canary gets."
    )
    pause: Pause | None = None
    rules = (
        Rule(
            cel="has(self.setWeight) != has(self.pause)",
            message="a step has exactly one of setWeight and pause: split it in two, or add one",
            check=_one_action,
        ),
    )


class AnalysisMetric(RuledModel):
    """One bound on the canary."""

    name: AnalysisMetricName
    min: Decimal | None = Field(default=None, description="Least acceptable value.")
    max: Decimal | None = Field(default=None, description="Greatest acceptable value.")
    max_increase_percent_over_stable: int | None = Field(
        default=None, ge=0, le=10_000, description="How much above the stable revision's value."
    )
    rules = (
        Rule(
            cel="has(self.min) || has(self.max) || has(self.maxIncreasePercentOverStable)",
            message="metric {name} bounds nothing: set min, max or maxIncreasePercentOverStable",
            check=lambda m: any(
                b is not None for b in (m.min, m.max, m.max_increase_percent_over_stable)
            ),
        ),
    )


class Analysis(RuledModel):
    """Judged at every step, from measured requests. No data is never a pass."""

    interval: Duration = Field(default="30s", description="Between two judgements.")
    failure_limit: int = Field(
        default=2, ge=0, le=100, description="Failed judgements that are forgiven in a step."
    )
    min_requests: int = Field(default=50, ge=1, le=1_000_000, description="Fewer are no data.")
    no_data_policy: NoDataPolicy = Field(
        default=NoDataPolicy.REPLAY,
        description="Replay counts the replayed stored feeds instead of users' requests.",
    )
    metrics: tuple[AnalysisMetric, ...] = Field(
        default=(),
        max_length=8,
        description="Absent: success rate at least 99, p95 at most 50 % above stable, "
        "agreement at least 95.",
    )
    list_map_keys = {"metrics": "name"}  # noqa: RUF012 - a ClassVar of the base


def _weights(canary: "Canary") -> list[int]:
    return [step.set_weight for step in canary.steps if step.set_weight is not None]


class Canary(RuledModel):
    """Steps by replica ratio: 20 % needs five pods."""

    steps: tuple[CanaryStep, ...] = Field(
        default=(), max_length=32, description="Absent: 20 %, 50 %, then all."
    )
    analysis: Analysis = Field(default_factory=Analysis)
    rules = (
        Rule(
            cel="!has(self.steps) || self.steps.size() == 0 || has(self.steps[0].setWeight)",
            message="the first step must be a setWeight: before it there is no canary to watch",
            check=lambda c: not c.steps or c.steps[0].set_weight is not None,
        ),
        Rule(
            cel="!has(self.steps) || self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight)"
            ".isSorted()",
            message="weights of steps must not fall",
            check=lambda c: _weights(c) == sorted(_weights(c)),
        ),
    )


class Rollout(ApiModel):
    """How a new revision replaces the stable one."""

    canary: Canary = Field(default_factory=Canary)
