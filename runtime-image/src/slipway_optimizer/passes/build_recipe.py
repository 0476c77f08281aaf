"""From a recipe to a file: the passes that it names, in order. An owner file of onnx."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from slipway.api.v1alpha1.optimization import QuantizationMode
from slipway_optimizer import outside
from slipway_optimizer.arrays import load_npz
from slipway_optimizer.datasets import MAX_BYTES
from slipway_optimizer.failures import Refused
from slipway_optimizer.graph import load_outline
from slipway_optimizer.passes.unused import sort_nodes
from slipway_optimizer.passes.weights import TensorError, int8_errors
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.refine import NOTHING
from slipway_optimizer.training.order import TrainOrder

_OPERATORS: Final = ("Conv", "MatMul", "Gemm")
_INT8: Final = (QuantizationMode.DYNAMIC, QuantizationMode.STATIC, QuantizationMode.HYBRID)
_QUANTISED: Final = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeMatMul"})


@dataclass(frozen=True, slots=True)
class Rows:
    """Files with rows: those that calibrate, and those that teach."""

    calibration: str | None
    lessons: TrainOrder | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What a build did.

    Attributes:
        tensors: to each tensor that one of our own passes rewrote.
        notes: what was trained, on what.
    """

    tensors: tuple[TensorError, ...]
    notes: tuple[str, ...] = ()


def build(recipe: Recipe, source: Path, target: Path, rows: Rows) -> Made:
    """Write the variant.

    Raises:
        Refused: ``BuildFailed`` with the quantiser's words, ``NothingToQuantize``, and what
            training refuses.
    """
    notes: tuple[str, ...] = ()
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            scratch = _Scratch(Path(folder), rows.calibration)
            learnt: tuple[TensorError, ...] = ()
            if recipe.trained:
                learnt, notes = _train(recipe, source, scratch, rows.lessons)
                source = scratch.trained
            errors = learnt + _build(recipe, source, target, scratch)
            if recipe.quantization in _INT8:
                _put_in_order(target)
                outside.pack(target)
                operators = recipe.operators or _OPERATORS
                errors += int8_errors(onnx.load_model(source), operators, recipe.exclude)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # ONNX Runtime's quantisers raise anything from AssertionError on
        words = str(error).strip().splitlines()
        message = f"the quantiser failed: {type(error).__name__}: {words[0] if words else ''}"
        raise Refused("BuildFailed", message[:300]) from error
    if (
        recipe.rewrites_weights
        and not errors
        and not any(node.op_type in _QUANTISED for node in load_outline(target).graph.node)
    ):
        raise Refused(NOTHING, f"{recipe.text} found no operator with fixed weights in FP32")
    return Made(errors, notes)


def _put_in_order(target: Path) -> None:
    """Quantisers sort nodes, and forget what graphs inside nodes read."""
    model = load_outline(target)
    if any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        sort_nodes(model.graph)
        target.write_bytes(model.SerializeToString())


def _train(
    recipe: Recipe, source: Path, scratch: "_Scratch", lessons: TrainOrder | None
) -> tuple[tuple[TensorError, ...], tuple[str, ...]]:
    from slipway_optimizer.training.train import train

    if lessons is None:
        raise Refused("BuildFailed", "the task names no rows to learn from")
    target, calibration = scratch.trained, scratch.calibration
    try:
        made = train(recipe, source, target, order=lessons, calibration=calibration)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # PyTorch raises RuntimeError for whatever does not fit
        words = (str(error).strip().splitlines() or [""])[0]
        raise Refused(
            "TrainingFailed",
            f"training failed: {type(error).__name__}: {words}"[:300],
        ) from error
    return made.tensors, made.notes


class _Scratch:
    def __init__(self, folder: Path, calibration: str | None) -> None:
        self.trained = folder / "trained.onnx"
        self.pruned, self.middle = folder / "pruned.onnx", folder / "middle.onnx"
        self.calibration = Path(calibration or "")


def _build(
    recipe: Recipe, source: Path, target: Path, scratch: _Scratch
) -> tuple[TensorError, ...]:
    errors: tuple[TensorError, ...] = ()
    if recipe.pruning is not None and not recipe.trained:
        from slipway_optimizer.passes.prune import prune

        model = onnx.load_model(source)
        errors = prune(model, recipe.pruning)
        source = scratch.pruned
        outside.save(model, source)
    match recipe.quantization:
        case QuantizationMode.DYNAMIC:
            return errors + _dynamic(recipe, source, target)
        case QuantizationMode.STATIC:
            _static(recipe, source, target, scratch)
            return errors
        case QuantizationMode.HYBRID:
            convolutions = recipe.model_copy(update={"operators": ("Conv",)})
            _static(convolutions, source, scratch.middle, scratch)
            return errors + _dynamic(recipe, scratch.middle, target)
        case QuantizationMode.WEIGHT_ONLY | None:
            return errors + _stored(recipe, source, target)


def _static(recipe: Recipe, source: Path, target: Path, scratch: _Scratch) -> None:
    from slipway_optimizer.passes.float_results import keep_results
    from slipway_optimizer.passes.pools import pool_first
    from slipway_optimizer.passes.quantize_static import StaticOptions, quantize_static

    options = StaticOptions(
        per_channel=recipe.per_channel,
        reduce_range=recipe.reduce_range,
        calibration=recipe.calibration,
        operators=recipe.operators,
        carried=recipe.carried,
        exclude=recipe.exclude,
    )
    quantize_static(source, target, load_npz(scratch.calibration, limit=MAX_BYTES), options)
    model = load_outline(target)
    if keep_results(model, load_outline(source)) + pool_first(model):
        target.write_bytes(model.SerializeToString())


def _dynamic(recipe: Recipe, source: Path, target: Path) -> tuple[TensorError, ...]:
    from slipway_optimizer.passes.embedding import quantize_embeddings
    from slipway_optimizer.passes.quantize_dynamic import quantize_dynamic

    quantize_dynamic(
        source,
        target,
        per_channel=recipe.per_channel,
        reduce_range=recipe.reduce_range,
        exclude=recipe.exclude,
    )
    if not recipe.embeddings:
        return ()
    model = onnx.load_model(target)
    errors = quantize_embeddings(model)
    if errors:
        outside.save(model, target)
    return errors


def _stored(recipe: Recipe, source: Path, target: Path) -> tuple[TensorError, ...]:
    from slipway_optimizer.passes.weights import store_in_bits, store_sparse

    if recipe.bits is None and recipe.pruning is None:
        outside.copy(source, target)
        return ()
    model = onnx.load_model(source)
    if recipe.bits is not None:
        errors = store_in_bits(model, recipe.bits)
    else:
        zeroed = recipe.pruning is not None and not recipe.structured
        errors = store_sparse(model) if zeroed else ()
    outside.save(model, target)
    return errors
