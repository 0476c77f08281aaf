"""Holds an ONNX file to the source that it was made from, on real or generated rows."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from slipway.errors import Invalid
from slipway_optimizer import feeds, graph
from slipway_optimizer.arrays import Array, Arrays, load_npz, rows_of, take
from slipway_optimizer.datasets import MAX_BYTES
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model
from slipway_optimizer.tensors import DYNAMIC, NUMPY_OF, Signature

TOLERANCE: Final = 1e-3  # relative to max(1, the largest |value| of the output)
ROWS: Final = 12
_PIECES: Final = (1, 3, ROWS)  # batches of different sizes show a batch that was frozen

Source = Callable[[Arrays], Arrays]


def hold_to_source(
    path: Path, ask: Source, *, dataset: Path | None, what: str
) -> dict[str, float | int | str]:
    """Ask both for the same rows.

    Args:
        path: the ONNX file, with a signature that can be served.
        ask: the source; takes inputs by the ONNX file's names, gives outputs by them.
        dataset: rows to compare on; without fitting ones, generated ones.
        what: the source, for messages.

    Returns:
        Rows, worst relative difference and tolerance.

    Raises:
        Refused: ``ConversionDiffers`` with the figures, or ``DatasetNeeded``.
    """
    model, signature = Model(path, threads=1), graph.signature_of(graph.load(path), any_batch=True)
    rows, expected = answered_rows(signature, ask, dataset=dataset, what=what)
    worst = 0.0
    for piece, answers in zip(pieces(rows, signature), expected, strict=True):
        given = model.run(piece)
        for name, value in answers.items():
            worst = max(worst, difference(value, given[name], name=name, what=what))
    return {"rows": rows_of(rows), "max_difference": worst, "tolerance": TOLERANCE}


def difference(expected: Array, answer: Array, *, name: str, what: str) -> float:
    """The worst relative difference of one output.

    Raises:
        Refused: ``ConversionDiffers``, beyond ``TOLERANCE``.
    """
    if expected.shape != answer.shape:
        raise Refused(
            "ConversionDiffers",
            f"output '{name}' of the converted model has shape {list(answer.shape)}, but the "
            f"{what}'s has {list(expected.shape)}: it is not served",
        )
    if expected.dtype.kind not in "fc":
        differing = int((expected.astype(np.str_) != answer.astype(np.str_)).sum())
        if differing:
            raise Refused(
                "ConversionDiffers",
                f"output '{name}' of the converted model differs from the {what}'s in {differing} "
                f"of {expected.size} values: it is not served",
            )
        return 0.0
    worst = distance(expected, answer)
    if worst > TOLERANCE:
        raise Refused(
            "ConversionDiffers",
            f"output '{name}' of the converted model is off the {what}'s by {worst:.2g} of its "
            f"largest value, at most {TOLERANCE} is accepted: it is not served",
        )
    return worst


def distance(expected: Array, answer: Array) -> float:
    """Worst difference by ``max(1, largest |value|)``; of what is no float, the differing share."""
    if expected.dtype.kind not in "fc":
        differs = expected.astype(np.str_) != answer.astype(np.str_)
        return float(differs.mean()) if differs.size else 0.0
    wide = expected.astype(np.float64)
    both = np.isfinite(wide) & np.isfinite(answer)
    same = (wide == answer) | (np.isnan(wide) & np.isnan(answer))
    scale = max(1.0, float(np.abs(wide[both]).max(initial=0.0)))
    with np.errstate(invalid="ignore"):  # infinity less itself is judged by ``same``
        off = np.where(same, 0.0, np.where(both, np.abs(wide - answer) / scale, np.inf))
    return float(off.max(initial=0.0))


def answered_rows(
    signature: Signature, ask: Source, *, dataset: Path | None, what: str
) -> tuple[Arrays, list[Arrays]]:
    """Rows that the source accepts, and its answers to them in pieces.

    Raises:
        Refused: ``DatasetNeeded``, when it accepts no generated rows.
    """
    failure: Exception | None = None
    for rows in _tries(signature, dataset):
        try:
            return rows, [ask(piece) for piece in pieces(rows, signature)]
        except Refused as error:
            failure = failure or error
        except Exception as error:  # noqa: BLE001 - a framework's model raises anything
            failure = failure or error
    text = str(failure).strip().partition("\n")[0][:200]
    raise Refused(
        "DatasetNeeded",
        f"the {what} refuses generated inputs ({text}): set validation.dataset, so that the "
        "conversion can be compared",
    ) from failure


def _tries(signature: Signature, dataset: Path | None) -> list[Arrays]:
    held = fitting_rows(signature, dataset)
    if held is not None:
        return [held]
    generated = [feeds.generate(signature, rows=ROWS, open_size=size) for size in feeds.OPEN_SIZES]
    open_inside = any(DYNAMIC in tensor.shape[1:] for tensor in signature.inputs)
    return generated if open_inside else generated[:1]


def fitting_rows(signature: Signature, dataset: Path | None) -> Arrays | None:
    """The data set's first rows, if it has fitting ones; else it is refused where it is loaded."""
    if dataset is None:
        return None
    try:
        arrays = load_npz(dataset, limit=MAX_BYTES)
    except Invalid:
        return None
    rows: Arrays = {}
    for tensor in signature.inputs:
        held, wanted = arrays.get(tensor.name), NUMPY_OF[tensor.datatype]
        if held is None or held.ndim != len(tensor.shape) or not len(held):
            return None
        if any(
            w not in (DYNAMIC, h) for h, w in zip(held.shape[1:], tensor.shape[1:], strict=True)
        ):
            return None
        if (held.dtype.kind == "U") != (wanted.kind == "U"):
            return None
        rows[tensor.name] = held[:ROWS] if wanted.kind == "U" else held[:ROWS].astype(wanted)
    return rows if len({len(array) for array in rows.values()}) == 1 else None


def pieces(rows: Arrays, signature: Signature) -> list[Arrays]:
    """In what parts a model is asked: one row; three; the rest. A fixed batch: a few of it."""
    count = rows_of(rows)
    fixed = {tensor.shape[0] for tensor in signature.inputs} - {DYNAMIC}
    if fixed:
        size = max(fixed)
        starts = range(0, min(count, _PIECES[1] * size), size)
        cycle = np.arange(count + size) % count
        return [take(rows, cycle[start : start + size]) for start in starts]
    bounds = [0, *(min(bound, count) for bound in _PIECES)]
    cuts = sorted(set(bounds))
    return [take(rows, slice(a, b)) for a, b in pairwise(cuts)]
