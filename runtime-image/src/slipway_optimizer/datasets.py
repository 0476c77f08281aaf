"""Data sets: an ``.npz`` with one array per model input, labels, and expected outputs if any.

Whatever is wrong is said with array, row and column; nothing is dropped in silence.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slipway.api.v1alpha1.validation import Task
from slipway.artifacts.manifest import Tensor
from slipway.errors import Invalid
from slipway_optimizer.arrays import Array, Arrays, load_npz, rows_of, take
from slipway_optimizer.failures import Refused
from slipway_optimizer.tensors import DYNAMIC, FLOATS, NUMPY_OF, Signature

EXPECTED_PREFIX: Final = "expected:"
TRAIN_PREFIX: Final = "train:"  # of rows with labels that only teach
UNLABELLED_PREFIX: Final = "unlabelled:"  # of rows without
MAX_BYTES: Final = 4 << 30
MAX_CALIBRATION_ROWS: Final = 256
REASON: Final = "DatasetInvalid"


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Rows that all arrays share, in the file's order.

    Attributes:
        inputs: by input name, of the input's own dtype.
        labels: as in the file, ``None`` for task ``None``.
        expected: by output name.
        slices: each row's slice, by name.
    """

    inputs: Arrays
    labels: Array | None
    expected: Arrays
    slices: Array | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return rows_of(self.inputs)

    def take(self, rows: NDArray[np.int64]) -> "Dataset":
        """Those rows, in that order."""
        labels = None if self.labels is None else self.labels[rows]
        slices = None if self.slices is None else self.slices[rows]
        return Dataset(take(self.inputs, rows), labels, take(self.expected, rows), slices)


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the spec says of the data set.

    Attributes:
        classes: label of each index of the judged output, where it is not 0..k-1.
        slices: array with the name of each row's slice.
    """

    task: Task
    labels: str
    output: Tensor
    classes: tuple[int | str, ...] | None = None
    slices: str | None = None


def load(path: Path, signature: Signature, expectations: Expectations) -> Dataset:
    """Read and check a data set.

    Raises:
        Refused: ``DatasetInvalid``, naming array, row and column.
    """
    try:
        arrays = load_npz(path, limit=MAX_BYTES)
        return check(arrays, signature, expectations)
    except Refused:
        raise
    except Invalid as error:
        raise Refused(REASON, f"data set: {error}") from error


def check(arrays: Arrays, signature: Signature, expectations: Expectations) -> Dataset:
    """Turn the file's arrays into a ``Dataset``.

    Raises:
        Invalid: naming array, row and column.
    """
    inputs = {tensor.name: _input(arrays, tensor) for tensor in signature.inputs}
    expected = {
        tensor.name: _finite(arrays[EXPECTED_PREFIX + tensor.name], EXPECTED_PREFIX + tensor.name)
        for tensor in signature.outputs
        if EXPECTED_PREFIX + tensor.name in arrays
    }
    labels = None
    if expectations.task is not Task.NONE:
        labels = _labels(arrays, expectations)
    _same_rows(inputs, labels, expected, label_name=expectations.labels)
    return Dataset(inputs, labels, expected, _slices(arrays, expectations.slices, inputs))


def _slices(arrays: Arrays, name: str | None, inputs: Arrays) -> Array | None:
    if name is None:
        return None
    if name not in arrays:
        there = ", ".join(sorted(arrays)[:12])
        raise Invalid(f"there is no array '{name}' (validation.slices); it has {there}")
    slices = arrays[name]
    if slices.shape != (rows_of(inputs),):
        raise Invalid(
            f"array '{name}' has shape {list(slices.shape)}: one slice's name for each of the "
            f"{rows_of(inputs)} rows is needed"
        )
    return slices.astype(np.str_)


@dataclass(frozen=True, slots=True, eq=False)
class Teaching:
    """Rows of the data set that only teach; either kind may be absent."""

    labelled: Dataset | None
    unlabelled: Dataset | None


def load_teaching(path: Path, signature: Signature, expectations: Expectations) -> Teaching:
    """Read ``train:<array>`` and ``unlabelled:<input>``, each kind whole or not at all.

    Raises:
        Refused: ``DatasetInvalid``, naming array, row and column.
    """
    try:
        arrays = load_npz(path, limit=MAX_BYTES)
        bare = replace(expectations, slices=None)
        return Teaching(
            _teaching(arrays, TRAIN_PREFIX, signature, bare),
            _teaching(arrays, UNLABELLED_PREFIX, signature, replace(bare, task=Task.NONE)),
        )
    except Refused:
        raise
    except Invalid as error:
        raise Refused(REASON, f"data set: {error}") from error


def _teaching(
    arrays: Arrays, prefix: str, signature: Signature, expectations: Expectations
) -> Dataset | None:
    named = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
    if not named:
        return None
    try:
        return check(named, signature, expectations)
    except Invalid as error:
        raise Invalid(f"of the arrays that begin with '{prefix}': {error}") from error


def split(
    rows: int, fraction: float, digest: str, *, most: int = MAX_CALIBRATION_ROWS
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers that calibrate and row numbers that judge: disjoint, together all.

    The choice depends on the data set's digest alone, so that a re-run and a cache agree, and is
    spread over the file, which may be sorted by label. At most ``most`` calibrate: more rows tell a
    range nothing, and judging can use them.

    Raises:
        Refused: fewer than 2 rows.
    """
    if rows < 2:
        raise Refused(REASON, f"data set: {rows} row is too few: at least 2, better hundreds")
    seed = int.from_bytes(hashlib.sha256(digest.encode()).digest()[:8], "big")
    order = np.random.default_rng(seed).permutation(rows)
    count = min(max(1, round(rows * fraction)), rows - 1, most)
    return np.sort(order[:count]), np.sort(order[count:])


def evenly(dataset: Dataset, count: int) -> Dataset:
    """At most that many rows, spread evenly over all."""
    if dataset.rows <= count:
        return dataset
    return dataset.take(np.linspace(0, dataset.rows - 1, count).astype(np.int64))


def index_labels(dataset: Dataset, classes: tuple[int | str, ...] | None) -> Dataset:
    """Labels as indices of ``classes``, which is how an argmax answers."""
    if dataset.labels is None or classes is None:
        return dataset
    index = {str(name): number for number, name in enumerate(classes)}
    labels = np.array([index[str(label)] for label in dataset.labels], dtype=np.int64)
    return replace(dataset, labels=labels)


def _input(arrays: Arrays, tensor: Tensor) -> Array:
    if tensor.name not in arrays:
        there = ", ".join(sorted(arrays)[:12]) or "nothing"
        raise Invalid(f"there is no array '{tensor.name}' for the model's input; it has {there}")
    array = arrays[tensor.name]
    _shape(array, tensor)
    return _cast(_finite(array, tensor.name), tensor)


def _shape(array: Array, tensor: Tensor) -> None:
    shape, wanted = list(array.shape), [DYNAMIC, *tensor.shape[1:]]
    if not shape or shape[0] == 0:
        raise Invalid(f"array '{tensor.name}' has no rows")
    if len(shape) != len(wanted):
        raise Invalid(
            f"array '{tensor.name}' has shape {shape}, but the input has {len(wanted)} dimensions: "
            f"expected {wanted}, rows first"
        )
    if 0 in shape:
        raise Invalid(
            f"array '{tensor.name}' has shape {shape}: requests with an empty dimension are not "
            "served, so give rows of at least 1 there, or export the model without this input"
        )
    for axis, (have, want) in enumerate(zip(shape, wanted, strict=True)):
        if want not in (DYNAMIC, have):
            raise Invalid(
                f"array '{tensor.name}' has shape {shape}: dimension {axis} must be {want}"
            )


def _cast(array: Array, tensor: Tensor) -> Array:
    wanted = NUMPY_OF[tensor.datatype]
    if array.dtype == wanted or (wanted.kind == "U" and array.dtype.kind == "U"):
        return array
    same_kind = array.dtype.kind != "b" and np.can_cast(array.dtype, wanted, "same_kind")
    if not same_kind and not (array.dtype.kind in "iu" and wanted.kind in "iu"):
        raise Invalid(
            f"array '{tensor.name}' is {array.dtype}, but the input is {tensor.datatype}: "
            f"convert it to {wanted}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        cast: Array = array.astype(wanted)
    lost = cast != array if wanted.kind in "iu" else ~np.isfinite(cast)
    if lost.any():
        raise Invalid(f"array '{tensor.name}' {_place(lost)}: the value does not fit {wanted}")
    return cast


def _finite(array: Array, name: str) -> Array:
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array)
        if bad.any():
            raise Invalid(f"array '{name}' {_place(bad)}: the value is NaN or infinite")
    return array


def _place(bad: Array) -> str:
    """Where the first bad value is: ``row 3, column 7``."""
    first = np.argwhere(bad)[0].tolist()
    column = ", column " + ",".join(map(str, first[1:])) if len(first) > 1 else ""
    return f"row {first[0]}{column}"


def _labels(arrays: Arrays, expectations: Expectations) -> Array:
    name = expectations.labels
    if name not in arrays:
        there = ", ".join(sorted(arrays)[:12]) or "nothing"
        raise Invalid(
            f"there is no array '{name}' with labels; it has {there}: set validation.labels, or "
            "validation.task: None"
        )
    labels = _finite(arrays[name], name)
    if labels.ndim == 0:
        raise Invalid(f"array '{name}' is a single value: expected one label per row")
    if expectations.task is Task.REGRESSION:
        return _targets(labels, name)
    return _classes(labels, expectations)


def _targets(labels: Array, name: str) -> Array:
    if labels.dtype.kind not in "fiu":
        raise Invalid(f"array '{name}' is {labels.dtype}: regression needs numbers")
    targets: Array = labels.astype(np.float64)
    return targets


def _classes(labels: Array, expectations: Expectations) -> Array:
    name = expectations.labels
    if expectations.classes is not None:
        known = {str(value) for value in expectations.classes}
        bad = np.array([str(value) not in known for value in labels.ravel()]).reshape(labels.shape)
        if bad.any():
            raise Invalid(
                f"array '{name}' {_place(bad)}: the model knows no class "
                f"'{labels[bad][0]}', but {', '.join(sorted(known)[:12])}"
            )
        return labels
    if labels.dtype.kind == "f":
        broken = labels != np.floor(labels)
        if broken.any():
            raise Invalid(f"array '{name}' {_place(broken)}: {labels[broken][0]} is no class index")
    elif labels.dtype.kind not in "iub":
        raise Invalid(f"array '{name}' is {labels.dtype}: expected class indices from 0")
    whole: Array = labels.astype(np.int64)
    shape = expectations.output.shape
    classes = shape[-1] if len(shape) > 1 and shape[-1] > 1 else DYNAMIC
    if expectations.output.datatype not in FLOATS:
        return whole  # the output is the class itself: any integer may be one
    upper = classes if classes != DYNAMIC else np.iinfo(np.int64).max
    outside = (whole < 0) | (whole >= upper)
    if outside.any():
        raise Invalid(
            f"array '{name}' {_place(outside)}: label {whole[outside][0]} is outside 0.."
            f"{upper - 1}, the classes of output '{expectations.output.name}'"
        )
    return whole


def _same_rows(inputs: Arrays, labels: Array | None, expected: Arrays, *, label_name: str) -> None:
    named = dict(inputs) | {EXPECTED_PREFIX + name: array for name, array in expected.items()}
    if labels is not None:
        named[label_name] = labels
    lengths = {name: len(array) for name, array in named.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {rows}" for name, rows in lengths.items())
        raise Invalid(f"arrays differ in rows ({listed}): every row needs all of them")
