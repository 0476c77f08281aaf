"""``spec.optimization``: which variants to build, and which one to prefer."""

from enum import StrEnum

from pydantic import Field

from slipway.api.v1alpha1.base import ApiModel, Name, Rule, RuledModel


class OptimizationMode(StrEnum):
    """Who chooses the candidates."""

    AUTO = "Auto"
    EXPLICIT = "Explicit"
    CONVERT_ONLY = "ConvertOnly"


class Objective(StrEnum):
    """What the pick among the passing candidates is best at."""

    MIN_LATENCY_P95 = "MinLatencyP95"
    MIN_SIZE = "MinSize"


class OnOptimizationFailure(StrEnum):
    """What to serve when no optimised candidate passes."""

    USE_BASELINE = "UseBaseline"
    FAIL = "Fail"


class QuantizationMode(StrEnum):
    """When activations get their scale: at run time, or from calibration data."""

    DYNAMIC = "Dynamic"
    STATIC = "Static"


class Quantization(ApiModel):
    """INT8 quantisation."""

    mode: QuantizationMode = Field(
        description="Dynamic: MatMul and Gemm. Static: QDQ on Conv, MatMul and Gemm, calibrated."
    )
    per_channel: bool = Field(default=True, description="One scale per output channel.")


class Candidate(ApiModel):
    """One variant to build."""

    name: Name = Field(description="Shown as the variant in status and labels.")
    quantization: Quantization


class Optimization(RuledModel):
    """How to look for a faster or smaller equivalent. fp32 is always a candidate."""

    mode: OptimizationMode = Field(
        default=OptimizationMode.AUTO,
        description="Auto builds what suits the model's operators; Explicit builds candidates; "
        "ConvertOnly serves the converted model as it is.",
    )
    objective: Objective = Field(
        default=Objective.MIN_LATENCY_P95,
        description="What to prefer among the candidates that pass every gate.",
    )
    candidates: tuple[Candidate, ...] = Field(
        default=(), max_length=16, description="Variants to build, for mode Explicit."
    )
    on_failure: OnOptimizationFailure = Field(
        default=OnOptimizationFailure.USE_BASELINE,
        description="When no optimised candidate passes: serve fp32, or fail the revision.",
    )
    list_map_keys = {"candidates": "name"}  # noqa: RUF012 - a ClassVar of the base
    rules = (
        Rule(
            cel="self.mode == 'Explicit' || !has(self.candidates) || self.candidates.size() == 0",
            message="candidates need mode Explicit, but mode is {mode}: set it, or leave them out",
            check=lambda o: o.mode is OptimizationMode.EXPLICIT or not o.candidates,
        ),
        Rule(
            cel="self.mode != 'Explicit' || has(self.candidates) && self.candidates.size() > 0",
            message="mode Explicit needs at least one entry in candidates: add one, or use Auto",
            check=lambda o: o.mode is not OptimizationMode.EXPLICIT or len(o.candidates) > 0,
        ),
    )
