"""From a recipe to a file: which pass builds it, and whether that quantised anything."""

import shutil
from pathlib import Path

from slipway.api.v1alpha1.optimization import QuantizationMode
from slipway_optimizer.arrays import load_npz
from slipway_optimizer.datasets import MAX_BYTES
from slipway_optimizer.failures import Refused
from slipway_optimizer.graph import load
from slipway_optimizer.recipe import Recipe

_QUANTISED = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeMatMul"})


def build(recipe: Recipe, source: Path, target: Path, calibration: str | None) -> None:
    """Write the variant.

    Raises:
        Refused: ``BuildFailed`` with the quantiser's words, ``NothingToQuantize``.
    """
    try:
        _quantize(recipe, source, target, calibration)
    except Exception as error:  # ONNX Runtime's quantisers raise anything from AssertionError on
        words = str(error).strip().splitlines()
        message = f"the quantiser failed: {type(error).__name__}: {words[0] if words else ''}"
        raise Refused("BuildFailed", message[:300]) from error
    if recipe.quantization is not None and not any(
        node.op_type in _QUANTISED for node in load(target).graph.node
    ):
        raise Refused("NothingToQuantize", f"{recipe.text} found no operator with fixed weights")


def _quantize(recipe: Recipe, source: Path, target: Path, calibration: str | None) -> None:
    match recipe.quantization:
        case QuantizationMode.DYNAMIC:
            from slipway_optimizer.passes.quantize_dynamic import quantize_dynamic

            quantize_dynamic(source, target, per_channel=recipe.per_channel)
        case QuantizationMode.STATIC:
            from slipway_optimizer.passes.quantize_static import quantize_static

            rows = load_npz(Path(calibration or ""), limit=MAX_BYTES)
            quantize_static(
                source,
                target,
                rows,
                per_channel=recipe.per_channel,
                reduce_range=recipe.reduce_range,
            )
        case None:
            shutil.copyfile(source, target)
