"""Makes a graph ready for quantisation: newer opset, folded constants, named nodes.

Every stage is optional: what fails or changes an answer is left out, and said.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import onnx
from onnx import version_converter

from slipway_optimizer import outside
from slipway_optimizer.arrays import Arrays
from slipway_optimizer.failures import Refused
from slipway_optimizer.graph import opset_of, signature_of
from slipway_optimizer.metrics import sqnr_db
from slipway_optimizer.passes import resize
from slipway_optimizer.passes.fuse import fuse
from slipway_optimizer.session import Model, optimise_basic

TARGET_OPSET: Final = 17
_EQUAL_DB: Final = 100.0
_Stage = Callable[[onnx.ModelProto], onnx.ModelProto]
_CHOSEN_COORDINATES: Final = 11  # the opset from which a Resize says which it means
_BIASED: Final = ("Conv", "ConvTranspose", "Gemm")
_WITH_BIAS: Final = 3  # inputs
_LEAST_IR: Final = 4  # before it, initialisers had to be inputs too


def normalise(
    source: Path, target: Path, feeds: Arrays, *, reference: Arrays | None = None
) -> tuple[str, ...]:
    """Write the normalised model.

    Args:
        source: a checked ONNX file.
        target: a new file; its folder is used as scratch.
        feeds: rows on which every stage must answer as the source does.
        reference: what the source answers to them; absent: it is asked.

    Returns:
        Notes on stages that were left out.

    Raises:
        Refused: the source itself does not load or run.
    """
    if reference is None:
        reference = answers_of(source, feeds)
    outside.copy(source, target)
    stages = [stage for _, stage in _STAGES]
    if _attempt(target, stages, reference, feeds) is None:
        return ()
    notes = []  # one of them fails: each alone, so that the others stay
    for name, stage in _STAGES:
        failure = _attempt(target, [stage], reference, feeds)
        if failure is not None:
            notes.append(f"{name} left out: {failure}")
    return tuple(notes)


def answers_of(model: Path, feeds: Arrays) -> Arrays:
    """What a model answers, row by row.

    Raises:
        Refused: it does not load or run.
    """
    return Model(model, threads=1).run_rows(feeds)


def _attempt(
    target: Path, stages: Sequence[_Stage], reference: Arrays, feeds: Arrays
) -> str | None:
    """Rewrite the file by these stages if it then answers alike; else say why not."""
    attempt = target.with_suffix(".attempt.onnx")
    try:
        model = onnx.load_model(target, load_external_data=False)
        for stage in stages:
            model = stage(model)
        attempt.write_bytes(model.SerializeToString())
        _require_equal(attempt, reference, feeds)
    except Exception as error:  # noqa: BLE001 - third-party rewriters raise anything; optional
        attempt.unlink(missing_ok=True)
        return _first_line(error)
    attempt.replace(target)
    return None


def write_fused(
    source: Path, target: Path, feeds: Arrays, *, reference: Arrays | None = None
) -> tuple[tuple[str, ...], str | None]:
    """Write a fused version of a normalised model, if there is anything to fuse.

    Args:
        source: the normalised model.
        target: a new file, written only when something was fused and answers stayed equal.
        feeds: rows to compare on.
        reference: what must be answered to them; absent: ``source`` is asked.

    Returns:
        What was fused, and why it was left out, if so.

    Raises:
        Refused: the source itself does not load or run.
    """
    if reference is None:
        reference = answers_of(source, feeds)
    try:
        fused, found = fuse(onnx.load_model(source, load_external_data=False))
        if not any(found.values()):
            return (), None
        target.write_bytes(fused.SerializeToString())
        _require_equal(target, reference, feeds)
    except Exception as error:  # noqa: BLE001 - an optional rewrite of a graph nobody vouches for
        target.unlink(missing_ok=True)
        return (), f"fusion left out: {_first_line(error)}"
    return tuple(f"{count} {name}" for name, count in found.items() if count), None


def _upgrade(model: onnx.ModelProto) -> onnx.ModelProto:
    if opset_of(model) >= TARGET_OPSET:
        return model
    upgraded = version_converter.convert_version(model, TARGET_OPSET)
    if opset_of(model) < _CHOSEN_COORDINATES:
        resize.as_upsample_meant(upgraded)
    return upgraded


def _fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX Runtime's basic level: constants folded, BatchNorm and bias merged, no-ops gone.

    Still standard operators, and the same file for every machine, unlike its higher levels.
    """
    if next(outside.tensors_outside(model), None) is not None:
        raise Refused("FoldingFailed", "the model is too large for one file")
    folded = onnx.ModelProto.FromString(optimise_basic(model.SerializeToString()))
    _declare_as(model, folded)
    if signature_of(folded) != signature_of(model):
        raise Refused("FoldingFailed", "it changed the inputs or outputs")
    return _tidy(folded)


def _declare_as(model: onnx.ModelProto, folded: onnx.ModelProto) -> None:
    """Outputs keep the shapes that were declared; the runtime writes what it inferred of them."""
    declared = {value.name: value for value in model.graph.output}
    for value in folded.graph.output:
        known = declared.get(value.name)
        if known and known.type.tensor_type.elem_type == value.type.tensor_type.elem_type:
            value.CopyFrom(known)


def _tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name every node (quantisers address them by name); initialisers are initialisers only."""
    model.ir_version = max(model.ir_version, _LEAST_IR)
    taken = {node.name for node in model.graph.node}
    for number, node in enumerate(model.graph.node):
        if not node.name:
            name = f"{node.op_type}_{number}"
            node.name = name if name not in taken else f"{name}_slipway"
    held = {tensor.name for tensor in model.graph.initializer}
    # Also their declared shapes go: quantisers transpose weights, and would contradict them.
    for values in (model.graph.input, model.graph.value_info):
        kept = [value for value in values if value.name not in held]
        del values[:]
        values.extend(kept)
    _own_biases(model.graph)
    return model


def _own_biases(graph: onnx.GraphProto) -> None:
    """A bias that several nodes add becomes one each: its INT8 scale depends on its node.

    ONNX Runtime's quantiser copies such, under names that other tensors may have already.
    """
    held = {tensor.name: tensor for tensor in graph.initializer}
    taken = held.keys() | {name for node in graph.node for name in (*node.input, *node.output)}
    seen: set[str] = set()
    for node in graph.node:
        if node.op_type not in _BIASED or len(node.input) < _WITH_BIAS:
            continue
        name = node.input[_WITH_BIAS - 1]
        if name in held and name in seen:
            copy = onnx.TensorProto()
            copy.CopyFrom(held[name])
            while copy.name in taken:
                copy.name += f"/{node.name}"
            taken.add(copy.name)
            graph.initializer.append(copy)
            node.input[_WITH_BIAS - 1] = copy.name
        seen.add(name)


_STAGES: Final[tuple[tuple[str, _Stage], ...]] = (
    ("naming of nodes", _tidy),
    (f"upgrade to opset {TARGET_OPSET}", _upgrade),
    ("constant folding", _fold),
    ("scales of enlargements", resize.by_scales),
)


def _require_equal(path: Path, reference: Arrays, feeds: Arrays) -> None:
    outputs = Model(path, threads=1).run_rows(feeds)
    for name, value in reference.items():
        distance = sqnr_db(value, outputs[name])
        if distance < _EQUAL_DB:
            raise Refused("NotEqual", f"output '{name}' changed (SQNR {distance:.0f} dB)")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:200]
