"""ONNX files: read with their external data, checked, and made fit for rows and batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from slipway_optimizer import graph
from slipway_optimizer import outside as outside_file
from slipway_optimizer.arrays import Arrays, concatenate, rows_of, take
from slipway_optimizer.convert import adapt
from slipway_optimizer.convert.compare import answered_rows, difference, distance, pieces
from slipway_optimizer.convert.order import Conversion
from slipway_optimizer.convert.widen import half_bytes, widen
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model
from slipway_optimizer.tensors import DYNAMIC, Signature

_WHAT: Final = "model"
_EXACT: Final = 1e-5
_OF_HALF: Final = 2e-2  # FP16 has 11 bits, and a deep network rounds often
_MOST_HALF: Final = 512 << 20  # bytes
_Figures = dict[str, float | int | str]


def convert(
    source: Path, target: Path, dataset: Path | None, *, keep_half: bool = False
) -> Conversion:
    """Write one checked file whose tensors all have the batch first, open where that is right.

    Args:
        source: an ONNX file; its external data lies beside it.
        target: a new file.
        dataset: ``.npz`` to compare on, if there is one.
        keep_half: leave FP16 as it is, for processors that compute it.

    Raises:
        Refused: as ``graph.load_with_data`` and ``graph.signature_of``; ``ConversionDiffers``.
    """
    made = _with_open_batch(source, target, dataset)
    widened = None if keep_half else _widened(target, dataset)
    if widened is None:
        return made
    notes, figures = widened
    return replace(made, notes=(*made.notes, *notes), figures=made.figures | figures)


def _with_open_batch(source: Path, target: Path, dataset: Path | None) -> Conversion:
    taken = _take(source, target)
    size, notes = taken.size, taken.notes
    known = Conversion({}, taken.classes, taken.output, notes)
    if size is None:
        return known
    freed = _free(target, size, dataset)
    if freed is None and size > 1 and not taken.by_rows:
        raise Refused(
            "SignatureUnsupported",
            f"all inputs begin with a dimension of {size} and no output does, so that it is no "
            "batch: export the model with one in front of it",
        )
    if freed is None and size > 1:
        raise Refused(
            "SignatureUnsupported",
            f"the model takes exactly {size} rows at a time, and its answers change when that is "
            "opened: export it with a dynamic first dimension",
        )
    if freed is None:
        return known
    opened = f"batch size {size} opened: equal answers for batches of 1 and more"
    return replace(known, figures=freed, notes=(*notes, opened))


@dataclass(frozen=True, slots=True)
class _Taken:
    """What was changed, the fixed batch size, if it has one, and what a ZipMap told.

    Attributes:
        by_rows: whether an output has as many rows as that, too.
    """

    notes: tuple[str, ...]
    size: int | None
    by_rows: bool
    classes: tuple[int | str, ...] | None = None
    output: str | None = None


def _take(source: Path, target: Path) -> _Taken:
    """Write the adapted model.

    The model leaves memory on return: what follows runs it twice.
    """
    model, outside = graph.load_with_data(source)
    notes = [_told(outside, list(outside_file.tensors_outside(model)))] if outside else []
    notes += adapt.portable_text(model)
    scores = adapt.plain_scores(model)
    if scores is not None:
        notes.append(scores.note)
    notes += adapt.label_rows(model)
    notes += adapt.batch_first(model)
    size = adapt.fixed_batch(model)
    if size is None:
        graph.signature_of(model)
    by_rows = size is not None and adapt.answers_rows(model, size)
    outside_file.write(model, target, folder=source.parent)
    if scores is None:
        return _Taken(tuple(notes), size, by_rows)
    return _Taken(tuple(notes), size, by_rows, scores.unusual, scores.output)


def _widened(target: Path, dataset: Path | None) -> tuple[tuple[str, ...], _Figures] | None:
    """Compute an FP16 model in FP32 if it then answers alike; ``None`` for any other model."""
    size = half_bytes(graph.load_outline(target))
    if not size:
        return None
    if size > _MOST_HALF:
        return (f"{size} bytes of FP16 left: in FP32 they would not fit one file",), {}
    wide = target.with_suffix(".wide.onnx")
    try:
        model = graph.load(target)
        widen(model)
        outside_file.write(model, wide, folder=target.parent)
        worst, rows = _distance(target, wide, dataset)
    except Refused as error:
        wide.unlink(missing_ok=True)
        return (f"FP16 left: {error}",), {}
    wide.replace(target)
    note = f"{size} bytes of FP16 are computed as FP32: CPUs have few kernels for FP16"
    return (note,), {"widened_rows": rows, "widened_max_difference": worst}


def _distance(half: Path, wide: Path, dataset: Path | None) -> tuple[float, int]:
    """How far answers are apart, and on how many rows.

    Raises:
        Refused: ``NotEqual``; a model does not load or run.
    """
    signature = graph.signature_of(graph.load_outline(wide), any_batch=True)
    model, held = Model(half, threads=1), Model(wide, threads=1)
    rows, expected = answered_rows(signature, model.run, dataset=dataset, what=_WHAT)
    worst = 0.0
    for piece, answers in zip(pieces(rows, signature), expected, strict=True):
        given = held.run(piece)
        worst = max(worst, *(distance(value, given[name]) for name, value in answers.items()))
    if worst > _OF_HALF:
        raise Refused("NotEqual", f"in FP32 its answers are off by {worst:.2g}")
    return worst, rows_of(rows)


def _told(outside: int, left: Sequence[object]) -> str:
    if left:
        return f"{outside} bytes of external data in one file beside the graph"
    return f"{outside} bytes of external data taken into the file"


def _free(target: Path, size: int, dataset: Path | None) -> _Figures | None:
    """Open the first dimension if no answer changes; ``None`` leaves the file as it was."""
    opened = target.with_suffix(".open.onnx")
    try:
        signature = _write_open(target, opened, size)
        worst, rows = _compare(Model(target, threads=1), opened, signature, size, dataset)
    except Refused:
        opened.unlink(missing_ok=True)
        return None
    opened.replace(target)
    return {"opened_batch": size, "rows": rows, "max_difference": worst}


def _write_open(source: Path, target: Path, size: int) -> Signature:
    model = graph.load_outline(source)
    adapt.open_batch(model, size)
    outside_file.write(model, target, folder=source.parent)
    return graph.signature_of(model)


def _compare(
    fixed: Model, opened: Path, signature: Signature, size: int, dataset: Path | None
) -> tuple[float, int]:
    """Both on the same rows: the fixed one in its batches, the open one whole and row by row.

    Raises:
        Refused: an answer changed, or no rows can be had.
    """

    def in_batches(rows: Arrays) -> Arrays:
        count = rows_of(rows)
        padding = np.arange(-(-count // size) * size) % count
        parts = [
            fixed.run(take(rows, padding[start : start + size]))
            for start in range(0, len(padding), size)
        ]
        return take(concatenate(parts), slice(0, count))

    if any(tensor.shape and tensor.shape[0] != DYNAMIC for tensor in signature.outputs):
        raise Refused("NotEqual", "an output has no row per row")
    rows, expected = answered_rows(signature, in_batches, dataset=dataset, what=_WHAT)
    held, whole = Model(opened, threads=1), concatenate(expected)
    singles = concatenate([held.run(take(rows, slice(n, n + 1))) for n in range(rows_of(rows))])
    worst = 0.0
    for answers in (held.run(rows), singles):
        for name, value in whole.items():
            found = difference(value, answers[name], name=name, what=_WHAT)
            if found > _EXACT:
                raise Refused("NotEqual", f"output '{name}' changed by {found:.2g}")
            worst = max(worst, found)
    return worst, rows_of(rows)
