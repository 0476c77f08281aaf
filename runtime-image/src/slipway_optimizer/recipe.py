"""Which variants to build. Pure.

Rules by operator mix (measured in docs/decisions/0010): INT8 at run time for MatMul and
Gemm, calibrated QDQ for Conv, MatMul and Gemm, and INT8 carried through operators between them
(docs/decisions/0025). Dynamic INT8 of Conv is several times slower than fp32, and QDQ around every
operator loses accuracy: neither is ever planned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.optimization import (
    Calibration,
    Candidate,
    Importance,
    Objective,
    Optimization,
    OptimizationMode,
    Precision,
    Pruning,
    PruningMethod,
    QuantizationMode,
)
from slipway.api.v1alpha1.training import Distillation, Training
from slipway.artifacts.words import ExecutionProvider
from slipway.wire import WireModel
from slipway_optimizer.carried import ARITHMETIC, MOVES
from slipway_optimizer.providers import file_name

BASELINE: Final = "fp32"
MIN_SHARE: Final = 0.03  # of time or of weights: below it INT8 changes nothing that one can measure
_MIXED_SHARE: Final = 0.2  # of time, both of Conv and of MatMul: below it a hybrid is its neighbour
_MOSTLY: Final = 0.5  # of time: above it convolutions decide
_HALF_BITS: Final = 16
_FOR_INT8: Final = ("residual", "attention")  # rewrites that gain little or nothing in fp32
_OF_A_STUDENT: Final = 100  # epochs at most: it has the most to learn, and the budget ends it
_RUN_TIME: Final = (QuantizationMode.DYNAMIC, QuantizationMode.HYBRID)
_CALIBRATED: Final = (QuantizationMode.STATIC, QuantizationMode.HYBRID)


@dataclass(frozen=True, slots=True)
class Profile:
    """Where a model spends time and bytes, as shares from 0 to 1.

    Attributes:
        conv_time, matmul_time: of one fp32 run, by ONNX Runtime's profiler.
        conv_weights, matmul_weights: of all initialisers' bytes, as direct inputs of the operator.
        fused: rewrites that were found, for instance ``2 gelu``; variants build on them.
        activation_bytes: that one row's run writes, all operators together.
        operators: operator -> how many nodes of the graph.
        narrow: convolutions that gain nothing in INT8, by name.
    """

    conv_time: float
    matmul_time: float
    conv_weights: float
    matmul_weights: float
    fused: tuple[str, ...] = ()
    activation_bytes: int = 0
    operators: Mapping[str, int] = field(default_factory=dict)
    narrow: tuple[str, ...] = ()

    def held(self, operators: frozenset[str]) -> tuple[str, ...]:
        """Those of these operators that the graph has, by name."""
        return tuple(sorted(operators & self.operators.keys()))


class Recipe(WireModel):
    """One variant to build: a student, pruning, then quantisation or fewer bits in storage.

    Attributes:
        reduce_range: 7-bit weights, for CPUs without VNNI where 8-bit products saturate.
        bits: per stored weight, unpacked to fp32 at load: 16 (half precision), 8, 4, 2 or 1.
        operators: of static quantisation; empty means Conv, MatMul and Gemm.
        carried: operators between those that stay INT8 where their inputs are.
        embeddings: whether lookup tables become INT8 too.
        exclude: nodes that stay fp32.
        fused: rewrites of the graph on which it builds.
        trained: whether PyTorch makes its weights, and so needs rows to learn from.
        rounded: whether it trains through the rounding of static INT8, too.
        provider: what computes it.
        blocked: why it cannot be built here, if so.
    """

    name: str
    quantization: QuantizationMode | None = None
    per_channel: bool = True
    reduce_range: bool = False
    calibration: Calibration = Calibration.MIN_MAX
    bits: int | None = None
    operators: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    embeddings: bool = False
    exclude: tuple[str, ...] = ()
    pruning: Pruning | None = None
    distillation: Distillation | None = None
    training: Training | None = None
    trained: bool = False
    rounded: bool = False
    fused: tuple[str, ...] = ()
    provider: ExecutionProvider = ExecutionProvider.CPU
    blocked: str | None = None

    @property
    def file(self) -> str:
        """Name of the variant's file."""
        return file_name(self.name, self.provider)

    @property
    def plain(self) -> bool:
        """Whether it builds on the graph as it came: our fusions are for ONNX Runtime's kernels."""
        return self.trained or self.provider is not ExecutionProvider.CPU

    @property
    def text(self) -> str:
        """The recipe in words."""
        words = self._quantized()
        if self.reduce_range:
            words += ", 7-bit weights"
        if self.exclude:
            words += f", {len(self.exclude)} node{'s' * (len(self.exclude) > 1)} in fp32"
        if self.rounded:
            words = f"{words}, trained through the rounding"
        elif self.pruning is not None and self.training is not None:
            words = f"fine-tuned, {words}"
        if self.pruning is not None:
            words = f"{_pruned(self.pruning)}, {words}"
        if self.distillation is not None:
            words = f"{_distilled(self.distillation)}, {words}"
        if self.provider is not ExecutionProvider.CPU:
            words += f", on {self.provider}"
        return words + (f", fused ({', '.join(self.fused)})" if self.fused else "")

    @property
    def saturates_without_vnni(self) -> bool:
        """Whether its answers hold only where 8-bit products are summed exactly."""
        return self.quantization in (*_CALIBRATED, *_RUN_TIME) and not self.reduce_range

    @property
    def structured(self) -> bool:
        """Whether channels go, not single weights."""
        return self.pruning is not None and self.pruning.method is PruningMethod.STRUCTURED

    @property
    def rewrites_weights(self) -> bool:
        """Whether it must change something to be what it says."""
        return not self.trained and any(
            part is not None for part in (self.quantization, self.bits, self.pruning)
        )

    def _quantized(self) -> str:
        grain = "per channel" if self.per_channel else "per tensor"
        tables = ", Gather" if self.embeddings else ""
        ranges = "" if self.calibration is Calibration.MIN_MAX else f" {self.calibration}"
        through = f", INT8 through {', '.join(self.carried)}" if self.carried else ""
        match self.quantization:
            case QuantizationMode.DYNAMIC:
                return f"dynamic INT8 {grain} on MatMul, Gemm{tables}"
            case QuantizationMode.STATIC:
                operators = ", ".join(self.operators or ("Conv", "MatMul", "Gemm"))
                return f"static QDQ U8S8{ranges} {grain} on {operators}{through}"
            case QuantizationMode.HYBRID:
                return (
                    f"static QDQ U8S8{ranges} {grain} on Conv{through}, "
                    f"dynamic INT8 on MatMul, Gemm{tables}"
                )
            case QuantizationMode.WEIGHT_ONLY | None:
                return _STORED[self.bits]


_STORED: Final[dict[int | None, str]] = {
    None: "fp32",
    16: "FP16 weights, computed in fp32",
    8: "INT8 weights, computed in fp32",
    4: "INT4 weights, computed in fp32",
    2: "ternary weights, computed in fp32",
    1: "binary weights, computed in fp32",
}


def _pruned(pruning: Pruning) -> str:
    if pruning.method is PruningMethod.THRESHOLD:
        return f"weights below {pruning.value} zeroed"
    by = "" if pruning.importance is Importance.MAGNITUDE else f" by {pruning.importance.lower()}"
    if pruning.method is PruningMethod.STRUCTURED:
        return f"{pruning.value} % of the channels removed{by}"
    scope = "all" if pruning.scope == "Global" else "each layer's"
    return f"smallest {pruning.value} % of {scope} weights zeroed{by}"


def _distilled(wish: Distillation) -> str:
    if wish.loader is not None:
        return f"own student ({wish.loader.function})"
    depth = "" if parse_decimal(wish.depth) == 1 else f" and {wish.depth} of the layers"
    width = "few" if wish.width is None else wish.width
    return f"student with {width} of the channels{depth}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Variants in the order in which they are built, fp32 first, and what was left out."""

    recipes: tuple[Recipe, ...]
    notes: tuple[str, ...]


def plan(
    profile: Profile,
    optimization: Optimization,
    *,
    calibration_rows: int,
    vnni: bool,
    torch: bool = False,
) -> Plan:
    """Decide what to build.

    Args:
        profile: of the converted model.
        optimization: the user's wishes.
        calibration_rows: rows of the data set set aside; 0 without a data set.
        vnni: whether the CPU multiplies 8-bit integers without saturating.
        torch: whether PyTorch is in this image.
    """
    baseline = Recipe(name=BASELINE)
    match optimization.mode:
        case OptimizationMode.CONVERT_ONLY:
            return Plan((baseline,), ("mode is ConvertOnly: no variant was built",))
        case OptimizationMode.EXPLICIT:
            wished = tuple(
                _trained(_explicit(candidate, profile, calibration_rows, vnni=vnni),
                         candidate, rows=calibration_rows, torch=torch)
                for candidate in optimization.candidates
                if candidate.name != BASELINE
            )  # fmt: skip
            return Plan((baseline, *wished), _cannot_help(wished))
        case OptimizationMode.AUTO:
            recipes, notes = _int8_recipes(profile, calibration_rows, vnni=vnni)
            if optimization.objective is Objective.MIN_SIZE:
                recipes += _size_recipes(profile)
            return Plan((baseline, *recipes), tuple(notes))


def _explicit(
    candidate: Candidate, profile: Profile, calibration_rows: int, *, vnni: bool
) -> Recipe:
    provider = candidate.execution_provider
    recipe = Recipe(
        name=candidate.name,
        pruning=candidate.pruning,
        fused=profile.fused if provider is ExecutionProvider.CPU else (),
        provider=provider,
    )
    if candidate.precision is Precision.BF16:
        return recipe.model_copy(update={"blocked": _NO_BF16})
    if candidate.precision is Precision.FP16:
        return recipe.model_copy(update={"bits": _HALF_BITS})
    wish = candidate.quantization
    if wish is None:
        return recipe
    calibrated = wish.mode in _CALIBRATED
    whole = calibrated or wish.mode in _RUN_TIME
    # Whoever names operators means these; another provider fuses pairs as it likes.
    ours = calibrated and not wish.op_types and provider is ExecutionProvider.CPU
    return recipe.model_copy(
        update={
            "quantization": wish.mode,
            "per_channel": wish.per_channel,
            "bits": wish.bits if wish.mode is QuantizationMode.WEIGHT_ONLY else None,
            "calibration": wish.calibration,
            "operators": tuple(str(operator) for operator in wish.op_types),
            "carried": profile.held(MOVES) if ours else (),
            "embeddings": wish.embeddings and wish.mode in _RUN_TIME,
            "exclude": wish.exclude_nodes,
            "reduce_range": whole and not vnni,
            "blocked": _NO_ROWS if calibrated and calibration_rows == 0 else None,
        }
    )


def _trained(recipe: Recipe, candidate: Candidate, *, rows: int, torch: bool) -> Recipe:
    """With what PyTorch does to it, on the plain graph, whose operators can be trained."""
    if not candidate.trains:
        return recipe
    structured = candidate.pruning is not None and recipe.structured
    training = candidate.training
    if training is None and (structured or candidate.distillation is not None):
        student = candidate.distillation is not None
        training = Training(epochs=_OF_A_STUDENT) if student else Training()
    static = recipe.quantization is QuantizationMode.STATIC
    blocked = recipe.blocked or (None if rows else _NO_LESSONS) or (None if torch else _NO_TORCH)
    return recipe.model_copy(
        update={
            "distillation": candidate.distillation,
            "training": training,
            "trained": True,
            "rounded": static and candidate.training is not None,
            "fused": (),
            "blocked": blocked,
        }
    )


def _cannot_help(recipes: tuple[Recipe, ...]) -> tuple[str, ...]:
    """What makes nothing faster on this target, said before it is measured."""
    notes = []
    for recipe in recipes:
        smaller = recipe.structured or recipe.distillation is not None
        int8 = recipe.quantization in (*_RUN_TIME, *_CALIBRATED)
        if recipe.pruning is not None and not smaller and not int8:
            notes.append(
                f"{recipe.name}: unstructured zeros are multiplied like any number, so it gains "
                "bytes in transfer, not time"
            )
        elif recipe.bits is not None:
            notes.append(
                f"{recipe.name}: weights are unpacked to fp32 when the model is loaded, so it "
                "gains bytes in transfer, not time and not memory"
            )
    return tuple(notes)


def _int8_recipes(
    profile: Profile, calibration_rows: int, *, vnni: bool
) -> tuple[tuple[Recipe, ...], list[str]]:
    recipes, notes = [], []
    if any(not rewrite.endswith(_FOR_INT8) for rewrite in profile.fused):
        recipes.append(Recipe(name="fp32-fused", fused=profile.fused))
    matmul = max(profile.matmul_time, profile.matmul_weights)
    conv = max(profile.conv_time, profile.conv_weights)
    if matmul >= MIN_SHARE:
        recipes.append(_int8("int8-dynamic", QuantizationMode.DYNAMIC, profile, vnni=vnni))
    else:
        notes.append(f"int8-dynamic not built: {_mix('MatMul and Gemm', matmul)}")
    if max(conv, matmul) < MIN_SHARE:
        notes.append(f"int8-static not built: {_mix('Conv, MatMul and Gemm', max(conv, matmul))}")
        return tuple(recipes), notes
    if calibration_rows == 0:
        notes.append(f"int8-static not built: {_NO_ROWS}")
        return tuple(recipes), notes
    static = _int8("int8-static", QuantizationMode.STATIC, profile, vnni=vnni)
    recipes.append(static)
    if _chains_convolutions(profile) and profile.held(ARITHMETIC):
        carried = {"carried": profile.held(MOVES | ARITHMETIC)}
        recipes.append(static.model_copy(update={"name": "int8-static-wide"} | carried))
    if min(profile.conv_time, profile.matmul_time) >= _MIXED_SHARE:
        recipes.append(_int8("int8-hybrid", QuantizationMode.HYBRID, profile, vnni=vnni))
    return tuple(recipes), notes


def _chains_convolutions(profile: Profile) -> bool:
    """Whether what lies between convolutions matters: a single one has nothing to hand on to."""
    return profile.conv_time > _MOSTLY and profile.operators.get("Conv", 0) > 1


def _int8(name: str, mode: QuantizationMode, profile: Profile, *, vnni: bool) -> Recipe:
    calibrated = mode in _CALIBRATED
    others = profile.operators.get("Conv", 0) > len(profile.narrow)
    return Recipe(
        name=name,
        quantization=mode,
        reduce_range=not vnni,
        fused=profile.fused,
        carried=profile.held(MOVES) if calibrated else (),
        embeddings=mode in _RUN_TIME,
        exclude=profile.narrow if calibrated and others else (),
    )


def _size_recipes(profile: Profile) -> tuple[Recipe, ...]:
    """From the least lossy on; they compute in fp32, so they also fit models that INT8 slows."""
    return tuple(
        Recipe(
            name=f"{name}-weights",
            quantization=None if bits == _HALF_BITS else QuantizationMode.WEIGHT_ONLY,
            bits=bits,
            fused=profile.fused,
        )
        for name, bits in (("fp16", 16), ("int8", 8), ("int4", 4))
    )


_NO_ROWS: Final = "static quantisation needs real rows to calibrate with: set validation.dataset"
_NO_LESSONS: Final = "training needs real rows to learn from: set validation.dataset"
_NO_TORCH: Final = (
    "training needs PyTorch, which this image lacks: install slipway-operator[optimizer-torch], or "
    "in a cluster let the administrator set runtime.images.optimizerTorch of the Helm chart"
)
_NO_BF16: Final = (
    "ONNX Runtime computes in bfloat16 on arm64 only, and there by a session option, not by the "
    "file: use FP16 for size, or Dynamic for speed"
)


def _mix(operators: str, share: float) -> str:
    return f"{operators} have {share:.0%} of time and weights, at least {MIN_SHARE:.0%} is worth it"
