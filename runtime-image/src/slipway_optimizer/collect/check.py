"""Says whether a data set is whole, and whether it fits a model."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from slipway.api.v1alpha1.validation import Task
from slipway.errors import Invalid
from slipway_optimizer import datasets, graph
from slipway_optimizer.arrays import Array, Arrays, load_npz
from slipway_optimizer.convert import adapt
from slipway_optimizer.datasets import MAX_BYTES, Expectations

_FEW: Final = 100
_KINDS: Final = 12


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the data set is for; without a model only its own consistency is checked."""

    model: Path | None
    task: Task
    labels: str
    output: str | None


def check(path: Path, wanted: Wanted) -> list[str]:
    """What there is, or the first thing that is wrong.

    Raises:
        Invalid: naming array, row and column.
    """
    arrays = load_npz(path, limit=MAX_BYTES)
    if not arrays:
        raise Invalid(f"{path.name} holds no array")
    for name, array in arrays.items():
        _require_finite(array, name)
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {rows}" for name, rows in lengths.items())
        raise Invalid(f"arrays differ in rows ({listed}): every row needs all of them")
    lines = described(arrays)
    if wanted.model is not None:
        lines += _fits(path, arrays, wanted)
    return lines


def _fits(path: Path, arrays: Arrays, wanted: Wanted) -> list[str]:
    assert wanted.model is not None
    model, _ = graph.load_with_data(wanted.model)
    scores = adapt.plain_scores(model)  # what the conversion does before it reads the rows
    adapt.label_rows(model)
    adapt.batch_first(model)
    signature = graph.signature_of(model, any_batch=True)
    output = signature.output(wanted.output or (scores.output if scores else None))
    if output is None:
        there = ", ".join(tensor.name for tensor in signature.outputs)
        raise Invalid(f"the model has no output '{wanted.output}' (--judge), but {there}")
    classes = None if scores is None else scores.unusual
    datasets.load(path, signature, Expectations(wanted.task, wanted.labels, output, classes))
    asked = {tensor.name for tensor in signature.inputs}
    known = asked | {wanted.labels} | {f"expected:{tensor.name}" for tensor in signature.outputs}
    unused = sorted(set(arrays) - known)
    extra = [f"not used: {', '.join(unused)}"] if unused else []
    return [*extra, f"fits {wanted.model.name}: inputs {', '.join(sorted(asked))}"]


def described(arrays: Arrays) -> list[str]:
    """One line an array, and what is worth knowing of the whole."""
    lines = [_line(name, array) for name, array in sorted(arrays.items())]
    rows = max((len(array) for array in arrays.values() if array.ndim), default=0)
    if rows < _FEW:
        lines.append(f"{rows} rows judge roughly: a few hundred tell a point of accuracy")
    return lines


def _line(name: str, array: Array) -> str:
    text = f"{name}: {array.dtype} {list(array.shape)}"
    if array.ndim == 1 and array.dtype.kind in "iubU":
        counts = Counter(array.tolist()).most_common()
        if len(counts) <= _KINDS:
            return text + ", " + ", ".join(f"{count} of {value}" for value, count in counts)
    if array.dtype.kind in "iuf" and array.size:
        return text + f", from {array.min():.6g} to {array.max():.6g}"
    return text


def _require_finite(array: Array, name: str) -> None:
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array)
        if bad.any():
            first = np.argwhere(bad)[0].tolist()
            column = ", column " + ",".join(map(str, first[1:])) if len(first) > 1 else ""
            raise Invalid(f"array '{name}' row {first[0]}{column}: the value is NaN or infinite")
