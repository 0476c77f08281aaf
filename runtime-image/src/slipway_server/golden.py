"""Golden samples: stored inputs and the outputs that every later server must reproduce. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from slipway.errors import Invalid
from slipway_server.protocol import bfloat16
from slipway_server.protocol.tensors import BF16, Array, TensorSpec

INPUT: Final = "input:"
OUTPUT: Final = "output:"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Two values agree when they differ by at most ``absolute + relative * |expected|``."""

    relative: float
    absolute: float

    def of(self, expected: Array) -> Array:
        """The bound for each value."""
        return np.asarray(self.absolute + self.relative * np.abs(expected))


GOLDEN: Final = Tolerance(
    relative=1e-2, absolute=1e-3
)  # another CPU rounds quantised sums otherwise


@dataclass(frozen=True, slots=True)
class Sample:
    """One request and its expected answer, by name; ``outputs`` is empty when there is none."""

    feeds: dict[str, Array]
    outputs: dict[str, Array]


def samples_of(
    arrays: Mapping[str, Array],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    limit: int,
) -> list[Sample]:
    """Split the arrays of a ``.npz`` (``input:<name>``, ``output:<name>``) into samples.

    The first dimension counts samples. An array of the input's own rank gives rows (a slice of one
    row each); an array of one rank more gives whole inputs.

    Raises:
        Invalid: an input is missing, or the arrays differ in length.
    """
    missing = [spec.name for spec in inputs if INPUT + spec.name not in arrays]
    if missing:
        raise Invalid(f"the samples lack the array '{INPUT}{missing[0]}'")
    length = min((len(arrays[INPUT + spec.name]) for spec in inputs), default=0)
    known = [spec for spec in outputs if OUTPUT + spec.name in arrays]
    for prefix, specs in ((INPUT, inputs), (OUTPUT, known)):
        for spec in specs:
            if len(arrays[prefix + spec.name]) != length:
                raise Invalid(f"the array '{prefix}{spec.name}' has another length than the rest")
    return [
        Sample(
            {spec.name: _row(spec, arrays[INPUT + spec.name], place) for spec in inputs},
            {spec.name: _row(spec, arrays[OUTPUT + spec.name], place) for spec in known},
        )
        for place in range(min(limit, length))
    ]


def check(
    samples: Sequence[Sample],
    outputs: Sequence[TensorSpec],
    run: Callable[[Mapping[str, Array]], list[Array]],
) -> None:
    """Reproduce every sample.

    Raises:
        Invalid: naming the sample, the output and the difference.
    """
    for place, sample in enumerate(samples):
        specs = {spec.name: spec for spec in outputs}
        answers = {
            spec.name: spec.numbers(array)
            for spec, array in zip(outputs, run(sample.feeds), strict=True)
        }
        for name, recorded in sample.outputs.items():
            expected = specs[name].numbers(recorded)
            problem = difference(answers[name], expected, GOLDEN)
            if problem and not (expected.dtype.kind in "iu" and _is_tie(answers)):
                raise Invalid(
                    f"golden sample {place}: output '{name}' is not what was recorded: {problem}; "
                    "the model behaves differently on this machine"
                )


def difference(found: Array, expected: Array, tolerance: Tolerance) -> str:
    """What tells ``found`` from ``expected``, or nothing when they agree.

    Floats agree within the tolerance wherever the expected value is finite, all others exactly.
    """
    if found.shape != expected.shape:
        return f"shape {list(found.shape)} instead of {list(expected.shape)}"
    if expected.dtype.kind != "f":
        wrong = np.flatnonzero(found.ravel() != expected.ravel())
        if not wrong.size:
            return ""
        one = slice(wrong[0], wrong[0] + 1)
        return (
            f"{found.ravel()[one].tolist()[0]!r} instead of {expected.ravel()[one].tolist()[0]!r}"
        )
    want = expected.astype(np.float64)
    judged = np.isfinite(want)
    want = want[judged]
    have = found.astype(np.float64)[judged]
    if not want.size:
        return ""
    excess = np.abs(have - want) - tolerance.of(want)
    worst = int(np.argmax(np.where(np.isnan(excess), np.inf, excess)))
    if excess[worst] <= 0:
        return ""
    return f"{have[worst]:.6g} instead of {want[worst]:.6g}"


def _is_tie(answers: Mapping[str, Array]) -> bool:
    """Whether some score output's two best values are equal within the tolerance.

    Then a label taken from them may differ from machine to machine.
    """
    for array in answers.values():
        if array.dtype.kind == "f" and array.ndim and array.shape[-1] > 1:
            two = np.sort(array.astype(np.float64), axis=-1)[..., -2:]
            if np.any(two[..., 1] - two[..., 0] <= GOLDEN.of(two[..., 1])):
                return True
    return False


def _row(spec: TensorSpec, array: Array, place: int) -> Array:
    row = array[place] if array.ndim > len(spec.shape) else array[place : place + 1]
    if spec.dtype.kind == "O":
        return row.astype(np.object_)
    if spec.datatype == BF16 and row.dtype.kind == "f":
        return bfloat16.narrow(row)
    return np.ascontiguousarray(row, spec.dtype)
