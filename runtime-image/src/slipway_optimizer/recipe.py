"""Which variants to build. Pure.

Rules by operator mix (measured in docs/decisions/0010): INT8 at run time for MatMul and
Gemm, calibrated QDQ for Conv, MatMul and Gemm and for nothing else. Dynamic INT8 of Conv is several
times slower than fp32, and QDQ around every operator loses accuracy: neither is ever planned.
"""

from dataclasses import dataclass
from typing import Final

from slipway.api.v1alpha1.optimization import (
    Candidate,
    Optimization,
    OptimizationMode,
    QuantizationMode,
)
from slipway.wire import WireModel

BASELINE: Final = "fp32"
MIN_SHARE: Final = 0.03  # of time or of weights: below it INT8 changes nothing that one can measure


@dataclass(frozen=True, slots=True)
class Profile:
    """Where a model spends time and bytes, as shares from 0 to 1.

    Attributes:
        conv_time, matmul_time: of one fp32 run, by ONNX Runtime's profiler.
        conv_weights, matmul_weights: of all initialisers' bytes, as direct inputs of the operator.
        fused: rewrites that were found, for instance ``2 gelu``; variants build on them.
    """

    conv_time: float
    matmul_time: float
    conv_weights: float
    matmul_weights: float
    fused: tuple[str, ...] = ()


class Recipe(WireModel):
    """One variant to build.

    Attributes:
        reduce_range: 7-bit weights, for CPUs without VNNI where 8-bit products saturate.
        fused: rewrites of the graph on which it builds.
        blocked: why it cannot be built here, if so.
    """

    name: str
    quantization: QuantizationMode | None = None
    per_channel: bool = True
    reduce_range: bool = False
    fused: tuple[str, ...] = ()
    blocked: str | None = None

    @property
    def text(self) -> str:
        """The recipe in words."""
        grain = "per channel" if self.per_channel else "per tensor"
        match self.quantization:
            case None:
                words = "fp32"
            case QuantizationMode.DYNAMIC:
                words = f"dynamic INT8 {grain} on MatMul, Gemm"
            case QuantizationMode.STATIC:
                words = f"static QDQ U8S8 {grain} on Conv, MatMul, Gemm"
        if self.reduce_range:
            words += ", 7-bit weights"
        return words + (f", fused ({', '.join(self.fused)})" if self.fused else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """Variants in the order in which they are built, fp32 first, and what was left out."""

    recipes: tuple[Recipe, ...]
    notes: tuple[str, ...]


def plan(
    profile: Profile, optimization: Optimization, *, calibration_rows: int, vnni: bool
) -> Plan:
    """Decide what to build.

    Args:
        profile: of the converted model.
        optimization: the user's wishes.
        calibration_rows: rows of the data set set aside; 0 without a data set.
        vnni: whether the CPU multiplies 8-bit integers without saturating.
    """
    baseline = Recipe(name=BASELINE)
    match optimization.mode:
        case OptimizationMode.CONVERT_ONLY:
            return Plan((baseline,), ("mode is ConvertOnly: no variant was built",))
        case OptimizationMode.EXPLICIT:
            wished = tuple(
                _explicit(candidate, profile.fused, calibration_rows, vnni=vnni)
                for candidate in optimization.candidates
                if candidate.name != BASELINE
            )
            return Plan((baseline, *wished), ())
        case OptimizationMode.AUTO:
            return _auto(baseline, profile, calibration_rows, vnni=vnni)


def _explicit(
    candidate: Candidate, fused: tuple[str, ...], calibration_rows: int, *, vnni: bool
) -> Recipe:
    static = candidate.quantization.mode is QuantizationMode.STATIC
    return Recipe(
        name=candidate.name,
        quantization=candidate.quantization.mode,
        per_channel=candidate.quantization.per_channel,
        reduce_range=static and not vnni,
        fused=fused,
        blocked=_NO_ROWS if static and calibration_rows == 0 else None,
    )


def _auto(baseline: Recipe, profile: Profile, calibration_rows: int, *, vnni: bool) -> Plan:
    recipes, notes = [baseline], []
    if profile.fused:
        recipes.append(Recipe(name="fp32-fused", fused=profile.fused))
    matmul = max(profile.matmul_time, profile.matmul_weights)
    conv = max(profile.conv_time, profile.conv_weights)
    if matmul >= MIN_SHARE:
        recipes.append(_int8("int8-dynamic", QuantizationMode.DYNAMIC, profile))
    else:
        notes.append(f"int8-dynamic not built: {_mix('MatMul and Gemm', matmul)}")
    if max(conv, matmul) < MIN_SHARE:
        notes.append(f"int8-static not built: {_mix('Conv, MatMul and Gemm', max(conv, matmul))}")
    elif calibration_rows == 0:
        notes.append(f"int8-static not built: {_NO_ROWS}")
    else:
        static = _int8("int8-static", QuantizationMode.STATIC, profile)
        recipes.append(static.model_copy(update={"reduce_range": not vnni}))
    return Plan(tuple(recipes), tuple(notes))


def _int8(name: str, mode: QuantizationMode, profile: Profile) -> Recipe:
    return Recipe(name=name, quantization=mode, fused=profile.fused)


_NO_ROWS: Final = "static quantisation needs real rows to calibrate with: set validation.dataset"


def _mix(operators: str, share: float) -> str:
    return f"{operators} have {share:.0%} of time and weights, at least {MIN_SHARE:.0%} is worth it"
