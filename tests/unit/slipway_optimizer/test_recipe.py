"""Which variants are planned."""

from dataclasses import replace

import pytest

from slipway.api.v1alpha1.optimization import (
    Candidate,
    Importance,
    Optimization,
    OptimizationMode,
    Pruning,
    PruningMethod,
    Quantization,
    QuantizationMode,
)
from slipway.api.v1alpha1.training import Distillation, StudentLoader, Training
from slipway.artifacts.words import ExecutionProvider
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


RESIDUAL = {"Add": 3, "Conv": 7, "Relu": 5, "Softmax": 1}


def mix(conv_time: float = 0.8, **operators: int) -> Profile:
    return Profile(conv_time, 0.0, 0.0, 0.0, operators=operators)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(mix(**RESIDUAL), {"int8-static": ("Relu",),
                                       "int8-static-wide": ("Add", "Relu")}, id="residual"),
        pytest.param(mix(Conv=2, MaxPool=2, Flatten=1),
                     {"int8-static": ("Flatten", "MaxPool")}, id="nothing to add up"),
        pytest.param(mix(Conv=1, Add=6), {"int8-static": ()}, id="one convolution"),
        pytest.param(mix(0.4, **RESIDUAL), {"int8-static": ("Relu",)}, id="mostly other things"),
    ],
)  # fmt: skip
def test_int8_is_carried_between_convolutions(
    of: Profile, expected: dict[str, tuple[str, ...]]
) -> None:
    static = [recipe for recipe in auto(of).recipes if recipe.name.startswith("int8-static")]
    assert {recipe.name: recipe.carried for recipe in static} == expected


def test_convolutions_that_gain_nothing_in_int8_stay_in_fp32_among_others() -> None:
    narrow = ("stem",)
    of = replace(mix(Conv=3, Add=1, Relu=2), narrow=narrow, matmul_time=0.2)
    left = {recipe.name: recipe.exclude for recipe in auto(of).recipes}
    assert left == {
        BASELINE: (),
        "int8-dynamic": (),
        "int8-static": narrow,
        "int8-static-wide": narrow,
        "int8-hybrid": narrow,
    }
    alone = auto(replace(mix(Conv=1), narrow=narrow))
    assert [recipe.exclude for recipe in alone.recipes] == [(), ()]


def test_a_static_variant_says_what_int8_passes_through() -> None:
    *_, wide = auto(mix(**RESIDUAL)).recipes
    assert wide.text == "static QDQ U8S8 per channel on Conv, MatMul, Gemm, INT8 through Add, Relu"
    hybrid = wide.model_copy(update={"quantization": QuantizationMode.HYBRID})
    assert hybrid.text == (
        "static QDQ U8S8 per channel on Conv, INT8 through Add, Relu, dynamic INT8 on MatMul, Gemm"
    )


@pytest.mark.parametrize(
    ("wish", "carried"),
    [
        pytest.param({}, ("Relu",), id="as it comes"),
        pytest.param({"opTypes": ["Conv"]}, (), id="operators by name"),
        pytest.param({"mode": "Dynamic"}, (), id="nothing is calibrated"),
    ],
)
def test_explicit_static_carries_what_the_user_did_not_choose(
    wish: dict[str, object], carried: tuple[str, ...]
) -> None:
    quantization = {"mode": "Static"} | wish
    candidate = Candidate.model_validate({"name": "mine", "quantization": quantization})
    optimization = Optimization(mode=OptimizationMode.EXPLICIT, candidates=(candidate,))
    _, recipe = plan(mix(**RESIDUAL), optimization, calibration_rows=50, vnni=True).recipes
    assert recipe.carried == carried


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


def test_another_provider_builds_on_the_graph_as_it_came() -> None:
    fast = Candidate(name="fast", execution_provider=ExecutionProvider.OPENVINO)
    wishes = Optimization(mode=OptimizationMode.EXPLICIT, candidates=(fast,))
    fused = replace(profile(matmul_time=1.0), fused=("2 gelu",))
    _, recipe = plan(fused, wishes, calibration_rows=0, vnni=True).recipes
    assert recipe == Recipe(name="fast", provider=ExecutionProvider.OPENVINO)
    assert (recipe.text, recipe.file, recipe.plain) == (
        "fp32, on OpenVINO", "fast.OpenVINO.onnx", True
    )  # fmt: skip
    assert not FP32.plain


def test_convert_only_builds_nothing_else() -> None:
    optimization = Optimization(mode=OptimizationMode.CONVERT_ONLY)
    planned = plan(profile(conv_time=1), optimization, calibration_rows=9, vnni=True)
    assert planned.recipes == (FP32,)


HALF = Pruning(method=PruningMethod.STRUCTURED, value="50")
STATIC = Quantization(mode=QuantizationMode.STATIC)


def trained(*candidates: Candidate, rows: int = 50, torch: bool = True) -> tuple[Recipe, ...]:
    optimization = Optimization(mode=OptimizationMode.EXPLICIT, candidates=candidates)
    of = Profile(0.8, 0.0, 0.0, 0.0, fused=("2 gelu",))
    return plan(of, optimization, calibration_rows=rows, vnni=True, torch=torch).recipes[1:]


def test_what_trains_builds_on_the_plain_graph_and_says_what_it_does() -> None:
    wished = Distillation(width="0.5", depth="0.5")
    ranked = Pruning(method=PruningMethod.PERCENTILE, value="80", importance=Importance.GRADIENT)
    made = trained(
        Candidate(name="student", distillation=wished),
        Candidate(name="thin", pruning=HALF),
        Candidate(name="zeroes", pruning=ranked),
        Candidate(name="learnt", quantization=STATIC, training=Training(epochs=3)),
        Candidate(name="both", distillation=wished, quantization=STATIC),
    )
    assert [(r.trained, r.fused, r.blocked) for r in made] == [(True, (), None)] * 5
    assert [(r.training, r.rounded) for r in made] == [
        (Training(epochs=100), False),
        (Training(), False),
        (None, False),
        (Training(epochs=3), True),
        (Training(epochs=100), False),
    ]
    static = "static QDQ U8S8 per channel on Conv, MatMul, Gemm"
    student = "student with 0.5 of the channels and 0.5 of the layers"
    assert [r.text for r in made] == [
        f"{student}, fp32",
        "50 % of the channels removed, fine-tuned, fp32",
        "smallest 80 % of all weights zeroed by gradient, fp32",
        f"{static}, trained through the rounding",
        f"{student}, {static}",
    ]


def test_a_student_of_a_loader_is_said_and_learns_as_long_as_is_wished() -> None:
    wish = Distillation(loader=StudentLoader(storage_uri="s3://b/s.py", function="make"))
    made, wished = trained(
        Candidate(name="own", distillation=wish),
        Candidate(name="short", distillation=wish, training=Training(epochs=3)),
    )
    assert (made.training, wished.training) == (Training(epochs=100), Training(epochs=3))
    assert made.text == "own student (make), fp32"


def test_a_student_of_no_width_in_particular_is_as_narrow_as_is_fast() -> None:
    (made,) = trained(Candidate(name="fast", distillation=Distillation()))
    assert made.text == "student with few of the channels, fp32"


@pytest.mark.parametrize(
    ("rows", "torch", "words"),
    [(0, True, "set validation.dataset"), (50, False, "training needs PyTorch")],
)
def test_training_without_rows_or_pytorch_is_blocked_with_the_remedy(
    rows: int, torch: bool, words: str
) -> None:
    (recipe,) = trained(Candidate(name="thin", pruning=HALF), rows=rows, torch=torch)
    assert recipe.blocked is not None
    assert words in recipe.blocked


def test_only_zeroes_are_said_to_gain_no_time() -> None:
    zeroes = Pruning(method=PruningMethod.PERCENTILE, value="80", importance=Importance.ENTROPY)
    listed = (Candidate(name="thin", pruning=HALF), Candidate(name="zeroes", pruning=zeroes))
    optimization = Optimization(mode=OptimizationMode.EXPLICIT, candidates=listed)
    notes = plan(profile(), optimization, calibration_rows=9, vnni=True, torch=True).notes
    assert [note.partition(":")[0] for note in notes] == ["zeroes"]
