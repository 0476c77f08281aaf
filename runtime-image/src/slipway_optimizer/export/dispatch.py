"""Writes exports and holds each to the ONNX file. Runs in the child process."""

import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from slipway.api.v1alpha1.optimization import ExportFormat
from slipway_optimizer.arrays import Arrays, load_npz, rows_of, take
from slipway_optimizer.convert.compare import TOLERANCE, distance
from slipway_optimizer.datasets import MAX_BYTES
from slipway_optimizer.export import program as programs
from slipway_optimizer.export.order import FILES, ExportOrder
from slipway_optimizer.export.program import Program
from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model
from slipway_optimizer.tensors import DYNAMIC

_BOUNDS: Final = (0, 1, 4, 12)  # batches of different sizes show a batch that was frozen
_MOST_UNSTABLE: Final = 10 * TOLERANCE
# Package that must be there, the image that has it, and the formats that this image reads.
NEEDS: Final[dict[ExportFormat, tuple[str, str, str]]] = {
    ExportFormat.TFLITE: ("tensorflow", "optimizer-tensorflow", "onnx or tensorflow"),
    ExportFormat.SAVED_MODEL: ("tensorflow", "optimizer-tensorflow", "onnx or tensorflow"),
    ExportFormat.PT2: ("torch", "optimizer-torch", "onnx or pytorch"),
}


@dataclass(frozen=True, slots=True)
class Exports:
    """What was written.

    Attributes:
        figures: of each comparison.
        notes: on sizes that had to be fixed.
    """

    figures: dict[str, float | int | str]
    notes: tuple[str, ...]


def require_packages(formats: tuple[ExportFormat, ...]) -> None:
    """Refuse what this image cannot write, before anything else is done.

    Raises:
        Refused: ``ExporterMissing``.
    """
    for wanted in formats:
        if wanted not in NEEDS:
            raise Refused(
                "ExporterMissing",
                f"spec.optimization.exports has {wanted}: no tool writes it on the Python versions "
                "that are supported today, so leave it out",
            )
        package, extra, readers = NEEDS[wanted]
        if importlib.util.find_spec(package) is None:
            raise Refused(
                "ExporterMissing",
                f"{wanted} is written in the image slipway-{extra} (modelFormat {readers}), and "
                f"{package} is not installed here: pip install 'slipway-operator[{extra}]', or "
                "leave it out of spec.optimization.exports",
            )


def export(order: ExportOrder) -> Exports:
    """Write and compare every format.

    Raises:
        Refused: ``ExporterMissing``, ``ExportUnsupported``, ``ExportFailed``; ``ExportDiffers``
            with the figures.
    """
    require_packages(order.formats)
    read = programs.read(order.source)
    rows = load_npz(order.rows, limit=MAX_BYTES)
    model = Model(order.source, threads=1)
    figures: dict[str, float | int | str] = {}
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        for wanted in order.formats:
            target = order.folder / FILES[wanted]
            said, ask = _write(wanted, read, target, rows, Path(folder))
            pieces = _pieces(rows, read, single=bool(said))
            worst, bound = _hold(wanted, pieces, model, ask)
            figures |= {f"{wanted}_max_difference": worst, f"{wanted}_tolerance": bound}
            notes += said
    return Exports(figures, tuple(notes))


_Ask = Callable[[Arrays], Arrays]


def _write(
    wanted: ExportFormat, read: Program, target: Path, rows: Arrays, scratch: Path
) -> tuple[tuple[str, ...], _Ask]:
    if wanted is ExportFormat.PT2:
        from slipway_optimizer.export import torch_target

        notes = torch_target.write(read, target, rows)
        return notes, torch_target.asker(target, read)
    from slipway_optimizer.export import tensorflow_target

    if wanted is ExportFormat.TFLITE:
        notes = tensorflow_target.write_tflite(read, target, rows)
        return notes, lambda piece: tensorflow_target.ask_tflite(target, read, piece)
    notes = tensorflow_target.write_saved_model(read, target, scratch)
    return notes, tensorflow_target.saved_model_asker(target, read, scratch)


def _pieces(rows: Arrays, read: Program, *, single: bool) -> list[Arrays]:
    """Rows in batches of several sizes, where the model and the export take them."""
    sizes = {tensor.shape[0] for tensor in read.signature.inputs}
    if single or sizes == {1}:
        return [take(rows, slice(n, n + 1)) for n in range(min(4, rows_of(rows)))]
    fixed = max(sizes - {DYNAMIC}, default=0)
    if fixed:
        return [take(rows, slice(0, fixed))]
    bounds = sorted({min(bound, rows_of(rows)) for bound in _BOUNDS})
    return [take(rows, slice(a, b)) for a, b in pairwise(bounds)]


def _hold(
    wanted: ExportFormat, pieces: list[Arrays], model: Model, ask: _Ask
) -> tuple[float, float]:
    """The worst difference, and what was allowed.

    A model may answer one row differently when it is asked together with others, by more than any
    rounding: no export can be closer to it than it is to itself.
    """
    unstable = max((_own_difference(model, piece) for piece in pieces), default=0.0)
    bound = max(TOLERANCE, min(2 * unstable, _MOST_UNSTABLE))
    worst = 0.0
    for piece in pieces:
        expected, answers = model.run(piece), ask(piece)
        for name, value in expected.items():
            if value.shape != answers[name].shape:
                raise Refused(
                    "ExportDiffers",
                    f"output '{name}' of the {wanted} has shape {list(answers[name].shape)}, but "
                    f"the ONNX model's has {list(value.shape)}: it is not published",
                )
            worst = max(worst, distance(value, answers[name]))
    if worst > bound:
        raise Refused(
            "ExportDiffers",
            f"the {wanted} is off the ONNX model by {worst:.2g} of the largest value, at most "
            f"{bound:.2g} is accepted: it is not published, so leave it out of "
            "spec.optimization.exports",
        )
    return worst, bound


def _own_difference(model: Model, piece: Arrays) -> float:
    if rows_of(piece) < 2:
        return 0.0
    try:
        alone = model.run_rows(piece)
    except Refused:
        return 0.0  # a batch that is fixed
    together = model.run(piece)
    return max(
        (
            distance(value, alone[name])
            for name, value in together.items()
            if value.shape == alone[name].shape
        ),
        default=0.0,
    )
