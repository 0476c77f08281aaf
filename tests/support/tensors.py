"""Signatures, arrays and sessions for tests of the server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slipway_server.protocol.tensors import BF16, BYTES, DTYPES, Array, Signature, TensorSpec
from slipway_server.state import Identity

IDENTITY = Identity("iris", "r1", "sha256:" + "0" * 64)


def signature(
    *, inputs: tuple[TensorSpec, ...] | None = None, outputs: tuple[TensorSpec, ...] = ()
) -> Signature:
    """A model ``iris`` version ``r1``; without arguments FP32 [-1, 4] to FP32 [-1, 3]."""
    return Signature(
        IDENTITY,
        (TensorSpec("x", "FP32", (-1, 4)),) if inputs is None else inputs,
        outputs or (TensorSpec("y", "FP32", (-1, 3)),),
    )


def echo(datatype: str, rank: int) -> Signature:
    """A model that takes and gives one tensor of any shape of that rank."""
    spec = TensorSpec("t", datatype, (-1,) * rank)
    return signature(inputs=(spec,), outputs=(spec,))


def finite_arrays(datatype: str) -> st.SearchStrategy[Array]:
    """Arrays of rank 1 to 3 without NaN, infinity or empty dimensions."""
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)
    if datatype == BYTES:
        texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
        return hnp.arrays(np.object_, shapes, elements=texts, fill=st.nothing())
    dtype = DTYPES[datatype]
    if datatype == BF16:
        finite = st.integers(0, 0xFFFF).filter(lambda bits: bits & 0x7F80 != 0x7F80)
        return hnp.arrays(dtype, shapes, elements=finite)
    if dtype.kind != "f":
        return hnp.arrays(dtype, shapes)
    width = dtype.itemsize * 8
    elements = st.floats(width=width, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type] # 16, 32, 64
    return hnp.arrays(dtype, shapes, elements=elements)


@dataclass(slots=True)
class FakeSession:
    """A model that is a function; notes how many rows each run had."""

    function: Callable[[Mapping[str, Array]], list[Array]]
    inputs: tuple[TensorSpec, ...] = (TensorSpec("x", "FP32", (-1, 2)),)
    outputs: tuple[TensorSpec, ...] = (TensorSpec("y", "FP32", (-1, 2)),)
    runs: list[int] = field(default_factory=list)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Run the function."""
        self.runs.append(int(next(iter(feeds.values())).shape[0]))
        return self.function(feeds)


def double(feeds: Mapping[str, Array]) -> list[Array]:
    """y = 2 x."""
    return [feeds["x"] * 2]


def rows(*values: float) -> Array:
    """Rows of two equal numbers."""
    return np.array([[value, value] for value in values], np.float32)
