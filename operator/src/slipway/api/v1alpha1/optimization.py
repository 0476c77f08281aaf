"""``spec.optimization``: which variants to build, and which one to prefer."""

from enum import StrEnum

from pydantic import Field

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.base import Decimal, Duration, Name, Rule, RuledModel, Text
from slipway.api.v1alpha1.training import Distillation, StudentLoader, Training
from slipway.artifacts.words import ExecutionProvider


class OptimizationMode(StrEnum):
    """Who chooses the candidates."""

    AUTO = "Auto"
    EXPLICIT = "Explicit"
    CONVERT_ONLY = "ConvertOnly"


class Objective(StrEnum):
    """What the pick among the passing candidates is best at."""

    MIN_LATENCY_P95 = "MinLatencyP95"
    MAX_THROUGHPUT = "MaxThroughput"
    MIN_COST = "MinCost"
    MIN_SIZE = "MinSize"


class OnOptimizationFailure(StrEnum):
    """What to serve when no optimised candidate passes."""

    USE_BASELINE = "UseBaseline"
    FAIL = "Fail"


class QuantizationMode(StrEnum):
    """What is quantised, and when activations get their scale."""

    DYNAMIC = "Dynamic"
    STATIC = "Static"
    HYBRID = "Hybrid"
    WEIGHT_ONLY = "WeightOnly"


class Calibration(StrEnum):
    """How static quantisation finds the range of an activation."""

    MIN_MAX = "MinMax"
    PERCENTILE = "Percentile"
    ENTROPY = "Entropy"


class QuantizedOperator(StrEnum):
    """Operators that static quantisation may turn to INT8."""

    CONV = "Conv"
    MATMUL = "MatMul"
    GEMM = "Gemm"


class Quantization(RuledModel):
    """Quantisation of one variant."""

    mode: QuantizationMode = Field(
        description="Dynamic: MatMul and Gemm, scaled at run time. Static: QDQ, calibrated. "
        "Hybrid: Conv static, MatMul and Gemm dynamic. WeightOnly: small on disk, unpacked to "
        "fp32 when it is loaded."
    )
    per_channel: bool = Field(default=True, description="One scale per output channel.")
    bits: int = Field(
        default=8,
        ge=1,
        le=8,
        description="Per weight, for WeightOnly: 8, 4, 2 (ternary) or 1 (binary).",
    )
    calibration: Calibration = Field(
        default=Calibration.MIN_MAX, description="Range of activations, for Static and Hybrid."
    )
    op_types: tuple[QuantizedOperator, ...] = Field(
        default=(), max_length=3, description="For Static; absent means all three."
    )
    embeddings: bool = Field(
        default=True, description="Also lookup tables (Gather) become INT8, for Dynamic and Hybrid."
    )
    exclude_nodes: tuple[Text, ...] = Field(
        default=(),
        max_length=256,
        description="Nodes that stay fp32, by name (the report lists their sensitivity).",
    )
    rules = (
        Rule(
            cel="!has(self.bits) || self.bits in [1, 2, 4, 8]",
            message="bits is {bits}: use 8, 4, 2 or 1",
            check=lambda q: q.bits in (1, 2, 4, 8),
        ),
        Rule(
            cel="!has(self.bits) || self.bits == 8 || self.mode == 'WeightOnly'",
            message="bits {bits} needs mode WeightOnly, but mode is {mode}",
            check=lambda q: q.bits == 8 or q.mode is QuantizationMode.WEIGHT_ONLY,
        ),
    )


class Precision(StrEnum):
    """Floating-point format of the weights."""

    FP16 = "FP16"
    BF16 = "BF16"


class PruningMethod(StrEnum):
    """Which weights become zero."""

    THRESHOLD = "Threshold"
    PERCENTILE = "Percentile"
    STRUCTURED = "Structured"


class Importance(StrEnum):
    """What a weight is worth when it is ranked."""

    MAGNITUDE = "Magnitude"
    GRADIENT = "Gradient"
    ENTROPY = "Entropy"


class PruningScope(StrEnum):
    """Over what weights are ranked."""

    GLOBAL = "Global"
    PER_LAYER = "PerLayer"


class Pruning(RuledModel):
    """Fewer weights. Zeroes are smaller to store and not faster; fewer channels are both."""

    method: PruningMethod = Field(
        description="Threshold: w = 0 where |w| < value. Percentile: the smallest value % of them. "
        "Structured: removes value % of the channels, in blocks of 16, and fine-tunes (PyTorch)."
    )
    value: Decimal = Field(description="A magnitude, or a percentage from 0 to 100.")
    scope: PruningScope = Field(
        default=PruningScope.GLOBAL, description="For Percentile: rank over all layers or in each."
    )
    max_per_layer: Decimal = Field(
        default="0.9", description="Share of one layer's weights that may go, 0 to 1."
    )
    importance: Importance = Field(
        default=Importance.MAGNITUDE,
        description="How weights are ranked. Magnitude: |w|. Gradient: |w dL/dw| on training rows. "
        "Entropy: |w| times the entropy of its channel's answers (the last two need PyTorch).",
    )
    rules = (
        Rule(
            cel="!has(self.importance) || self.importance == 'Magnitude' || "
            "self.method != 'Threshold'",
            message="importance {importance} ranks weights, but method is {method}: use Percentile "
            "or Structured",
            check=lambda p: (
                p.importance is Importance.MAGNITUDE or p.method is not PruningMethod.THRESHOLD
            ),
        ),
        Rule(
            cel="double(self.value) > 0.0 && (self.method == 'Threshold' || "
            "double(self.value) < 100.0)",
            message="value is {value}: use more than 0, and for a percentage less than 100",
            check=lambda p: (
                parse_decimal(p.value) > 0
                and (p.method is PruningMethod.THRESHOLD or parse_decimal(p.value) < 100)
            ),
        ),
        Rule(
            cel="!has(self.maxPerLayer) || (double(self.maxPerLayer) > 0.0 "
            "&& double(self.maxPerLayer) <= 1.0)",
            message="maxPerLayer is {maxPerLayer}: use more than 0 and at most 1",
            check=lambda p: 0 < parse_decimal(p.max_per_layer) <= 1,
        ),
    )


class Candidate(RuledModel):
    """One variant to build: any of its parts, applied in this order."""

    name: Name = Field(description="Shown as the variant in status and labels.")
    distillation: Distillation | None = Field(default=None, description="A student of this model.")
    pruning: Pruning | None = Field(default=None, description="Fewer weights.")
    quantization: Quantization | None = Field(default=None, description="Fewer bits.")
    precision: Precision | None = Field(
        default=None,
        description="FP16: half the size, unpacked to fp32 when it is loaded. BF16: arm64 only.",
    )
    training: Training | None = Field(
        default=None,
        description="Train what the other parts did: the student, what pruning left, and with mode "
        "Static also through the rounding (quantisation-aware).",
    )
    execution_provider: ExecutionProvider = Field(
        default=ExecutionProvider.CPU,
        description="What computes it. OpenVINO and CUDA have optimizer and server images of their "
        "own, in which fp32 on the CPU is measured, too; CUDA's pods ask for one nvidia.com/gpu.",
    )
    rules = (
        Rule(
            cel="has(self.distillation) || has(self.pruning) || has(self.quantization) || "
            "has(self.precision) || "
            "has(self.executionProvider) && self.executionProvider != 'CPU'",
            message="candidate {name} changes nothing: set distillation, pruning, quantization, "
            "precision or executionProvider",
            check=lambda c: (
                c.execution_provider is not ExecutionProvider.CPU
                or any(
                    p is not None for p in (c.distillation, c.pruning, c.quantization, c.precision)
                )
            ),
        ),
        Rule(
            cel="!has(self.precision) || !has(self.quantization)",
            message="candidate {name} has both precision and quantization: set one of them",
            check=lambda c: c.precision is None or c.quantization is None,
        ),
        Rule(
            cel="!has(self.training) || has(self.distillation) || has(self.pruning) || "
            "has(self.quantization) && self.quantization.mode == 'Static'",
            message="candidate {name} has nothing that training could train: add distillation, "
            "pruning, or quantization with mode Static",
            check=lambda c: (
                c.training is None
                or c.distillation is not None
                or c.pruning is not None
                or (c.quantization is not None and c.quantization.mode is QuantizationMode.STATIC)
            ),
        ),
    )

    @property
    def trains(self) -> bool:
        """Whether making it needs PyTorch and training rows."""
        return (
            self.distillation is not None
            or self.training is not None
            or (
                self.pruning is not None
                and (
                    self.pruning.method is PruningMethod.STRUCTURED
                    or self.pruning.importance is not Importance.MAGNITUDE
                )
            )
        )


class ExportFormat(StrEnum):
    """Further formats to write the model in."""

    TFLITE = "TFLite"
    SAVED_MODEL = "SavedModel"
    PT2 = "PT2"
    MINDSPORE = "MindSpore"


_OWN = ExecutionProvider.CPU
TENSORFLOW_EXPORTS = (ExportFormat.TFLITE, ExportFormat.SAVED_MODEL)


def _one_provider(optimization: "Optimization") -> bool:
    return len({c.execution_provider for c in optimization.candidates} - {_OWN}) <= 1


def _one_framework(optimization: "Optimization") -> bool:
    tensorflow = any(e in TENSORFLOW_EXPORTS for e in optimization.exports)
    return not tensorflow or ExportFormat.PT2 not in optimization.exports


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
    budget: Duration = Field(
        default="10m",
        description="Time for building and comparing variants; what does not fit is left out and "
        "said. fp32 is always measured.",
    )
    stages: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Also cut the pick into so many pipeline stages of equal measured time, each a "
        "file of the artifact; 1 means no.",
    )
    exports: tuple[ExportFormat, ...] = Field(
        default=(),
        max_length=3,
        description="Also write the fp32 model as TFLite, SavedModel (zipped) or PT2 beside the "
        "ONNX file, each compared with it. Written in the framework's own image.",
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
        Rule(
            cel="!has(self.exports) || !('MindSpore' in self.exports)",
            message="exports has MindSpore, and no tool turns ONNX into MindSpore on the Python "
            "versions that are supported today: leave it out",
            check=lambda o: ExportFormat.MINDSPORE not in o.exports,
        ),
        Rule(
            cel="!has(self.exports) || !('PT2' in self.exports && "
            "('TFLite' in self.exports || 'SavedModel' in self.exports))",
            message="exports has PT2 and a format of TensorFlow, and no image holds both "
            "frameworks: use one resource for each",
            check=_one_framework,
        ),
        Rule(
            cel="!has(self.candidates) || !(self.candidates.exists(c, has(c.executionProvider) && "
            "c.executionProvider == 'OpenVINO') && self.candidates.exists(c, "
            "has(c.executionProvider) && c.executionProvider == 'CUDA'))",
            message="candidates name OpenVINO and CUDA, and no image holds both: use one resource "
            "for each",
            check=_one_provider,
        ),
    )

    @property
    def execution_provider(self) -> ExecutionProvider:
        """What the images must have beside the CPU's kernels; CPU when that is all."""
        wanted = (candidate.execution_provider for candidate in self.candidates)
        return next((provider for provider in wanted if provider is not _OWN), _OWN)

    @property
    def trains(self) -> bool:
        """Whether any candidate needs PyTorch and training rows."""
        return any(candidate.trains for candidate in self.candidates)

    @property
    def student_loaders(self) -> dict[str, StudentLoader]:
        """Code that makes students, by the candidates' names."""
        students = {c.name: c.distillation for c in self.candidates}
        return {n: s.loader for n, s in students.items() if s is not None and s.loader is not None}
