"""Which variants are planned."""

import pytest

from slipway.api.v1alpha1.optimization import (
    Candidate,
    Optimization,
    OptimizationMode,
    Quantization,
    QuantizationMode,
)
from slipway_optimizer.recipe import BASELINE, Plan, Profile, Recipe, plan

NO_ROWS = "static quantisation needs real rows to calibrate with: set validation.dataset"
NO_PRODUCTS = "MatMul and Gemm have 0% of time and weights, at least 3% is worth it"
FP32 = Recipe(name=BASELINE)


def profile(
    *, conv_time: float = 0.0, matmul_time: float = 0.0, matmul_weights: float = 0.0
) -> Profile:
    return Profile(conv_time, matmul_time, conv_weights=0.0, matmul_weights=matmul_weights)


def auto(of: Profile, *, rows: int = 50, vnni: bool = True) -> Plan:
    return plan(of, Optimization(), calibration_rows=rows, vnni=vnni)


def names(of: Plan) -> list[str]:
    return [recipe.name for recipe in of.recipes]


@pytest.mark.parametrize(
    ("of", "rows", "expected"),
    [
        pytest.param(profile(conv_time=0.8), 50, [BASELINE, "int8-static"], id="convolutions"),
        pytest.param(
            profile(matmul_time=0.9), 50, [BASELINE, "int8-dynamic", "int8-static"], id="products"
        ),
        pytest.param(profile(matmul_time=0.9), 0, [BASELINE, "int8-dynamic"], id="no rows"),
        pytest.param(profile(conv_time=0.8), 0, [BASELINE], id="convolutions without rows"),
        pytest.param(profile(matmul_time=0.01), 50, [BASELINE], id="trees"),
        pytest.param(
            profile(matmul_weights=0.5), 50, [BASELINE, "int8-dynamic", "int8-static"], id="size"
        ),
    ],
)
def test_auto_follows_the_operator_mix(of: Profile, rows: int, expected: list[str]) -> None:
    assert names(auto(of, rows=rows)) == expected


def test_what_auto_leaves_out_is_said() -> None:
    planned = auto(profile(conv_time=0.8), rows=0)
    assert planned.notes == (
        f"int8-dynamic not built: {NO_PRODUCTS}",
        f"int8-static not built: {NO_ROWS}",
    )


def test_static_weights_lose_a_bit_where_8_bit_products_saturate() -> None:
    with_vnni, without = (auto(profile(conv_time=1), vnni=v).recipes[-1] for v in (True, False))
    assert (with_vnni.reduce_range, without.reduce_range) == (False, True)
    assert without.text == ("static QDQ U8S8 per channel on Conv, MatMul, Gemm, 7-bit weights")


def test_variants_build_on_the_fused_graph_which_is_a_variant_itself() -> None:
    fused = ("2 gelu",)
    planned = auto(Profile(0.8, 0.0, 0.0, 0.0, fused=fused))
    assert names(planned) == [BASELINE, "fp32-fused", "int8-static"]
    assert [recipe.fused for recipe in planned.recipes] == [(), fused, fused]


def test_explicit_builds_what_is_listed_and_says_what_it_cannot() -> None:
    listed = tuple(
        Candidate(name=name, quantization=Quantization(mode=mode, per_channel=False))
        for name, mode in (("a", QuantizationMode.STATIC), ("b", QuantizationMode.DYNAMIC))
    )
    optimization = Optimization(mode=OptimizationMode.EXPLICIT, candidates=listed)
    planned = plan(profile(), optimization, calibration_rows=0, vnni=True)
    assert planned.recipes == (
        FP32,
        Recipe(name="a", quantization=QuantizationMode.STATIC, per_channel=False, blocked=NO_ROWS),
        Recipe(name="b", quantization=QuantizationMode.DYNAMIC, per_channel=False, embeddings=True),
    )


def test_convert_only_builds_nothing_else() -> None:
    optimization = Optimization(mode=OptimizationMode.CONVERT_ONLY)
    planned = plan(profile(conv_time=1), optimization, calibration_rows=9, vnni=True)
    assert planned.recipes == (FP32,)
