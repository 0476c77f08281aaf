"""Tensors as the Open Inference Protocol sees them: datatypes, shapes, signatures. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slipway.errors import Invalid
from slipway_server.protocol import bfloat16
from slipway_server.state import Identity

Array = NDArray[Any]

BYTES: Final = "BYTES"
BF16: Final = "BF16"
DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    BF16: np.dtype(np.uint16),  # bit patterns: see bfloat16
    BYTES: np.dtype(np.object_),  # str elements
}
MAX_ELEMENTS: Final = 1 << 31  # of one tensor; its bytes are bounded by the body limit as well
_QUOTE_LIMIT = 80
_SHOWN: Final = (str, bytes, int, float, list, tuple, dict, type(None))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of the model; -1 in ``shape`` is a dimension of any size from 1."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", DTYPES[self.datatype])

    @property
    def is_float(self) -> bool:
        """Whether it can hold NaN."""
        return self.dtype.kind == "f" or self.datatype == BF16

    def is_finite(self, array: Array) -> bool:
        """Whether ``array``, of this datatype, holds neither NaN nor infinity."""
        if self.dtype.kind == "f":
            return all_finite(array)
        return self.datatype != BF16 or bfloat16.all_finite(array)

    def numbers(self, array: Array) -> Array:
        """``array``, of this datatype, with elements that can be compared and printed."""
        return bfloat16.widen(array) if self.datatype == BF16 else array

    @property
    def has_rows(self) -> bool:
        """Whether its first dimension is dynamic, so that requests may share a run."""
        return bool(self.shape) and self.shape[0] == -1

    def metadata(self) -> dict[str, object]:
        """As ``/v2/models/{model}`` shows it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}

    def check_datatype(self, datatype: object) -> None:
        """Compare what a request declares with the model.

        Raises:
            Invalid: they differ.
        """
        if datatype != self.datatype:
            raise Invalid(
                f"input '{self.name}' has datatype {quoted(datatype)}, but the model takes "
                f"{self.datatype}"
            )

    def check_shape(self, shape: Sequence[object]) -> int:
        """Compare a request's shape with the model's, before anything is allocated.

        Returns:
            The number of elements.

        Raises:
            Invalid: another rank, another fixed dimension, a dimension below 1 (an empty input ends
                the process in some of ONNX Runtime's operators), or too large.
        """
        if len(shape) != len(self.shape):
            raise self._bad_shape(shape)
        count = 1
        for given, wanted in zip(shape, self.shape, strict=True):
            if type(given) is not int or given < 1 or wanted not in (-1, given):
                raise self._bad_shape(shape)
            count *= given
        if count > MAX_ELEMENTS:
            raise Invalid(
                f"input '{self.name}' has shape {quoted(list(shape))}: more than {MAX_ELEMENTS} "
                "elements"
            )
        return count

    def _bad_shape(self, shape: Sequence[object]) -> Invalid:
        return Invalid(
            f"input '{self.name}' has shape {quoted(list(shape[:16]))}, but the model takes "
            f"{list(self.shape)} (-1 stands for any size from 1)"
        )


@dataclass(frozen=True, slots=True)
class Signature:
    """What is served: its identity, and the model's inputs and outputs."""

    identity: Identity
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    _inputs: dict[str, TensorSpec] = field(init=False, compare=False, repr=False)
    _outputs: dict[str, int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_inputs", {spec.name: spec for spec in self.inputs})
        places = {spec.name: place for place, spec in enumerate(self.outputs)}
        object.__setattr__(self, "_outputs", places)

    def input(self, name: object) -> TensorSpec:
        """The input of that name.

        Raises:
            Invalid: there is none.
        """
        spec = self._inputs.get(name) if isinstance(name, str) else None
        if spec is None:
            raise Invalid(
                f"the model has no input {quoted(name)}: its inputs are {listed(self.inputs)}"
            )
        return spec

    def output_place(self, name: object) -> int:
        """The index of the output of that name.

        Raises:
            Invalid: there is none.
        """
        place = self._outputs.get(name) if isinstance(name, str) else None
        if place is None:
            raise Invalid(
                f"the model has no output {quoted(name)}: its outputs are {listed(self.outputs)}"
            )
        return place

    def check_complete(self, feeds: dict[str, Array]) -> None:
        """Check that every input was given.

        Raises:
            Invalid: naming the missing ones.
        """
        if len(feeds) != len(self.inputs):
            missing = tuple(spec for spec in self.inputs if spec.name not in feeds)
            raise Invalid(f"the request lacks {listed(missing)}: every input is needed")


@dataclass(frozen=True, slots=True)
class OutputChoice:
    """An output that the client wants, and whether as raw bytes."""

    place: int
    binary: bool


class InferRequest:
    """A decoded request of any door.

    Attributes:
        feeds: by input name, complete, of the model's datatypes and ranks.
        outputs: what to answer, in order; ``None`` is all of them.
        binary: whether outputs without a choice of their own are raw bytes (REST only).
    """

    __slots__ = ("binary", "feeds", "id", "outputs")

    def __init__(
        self,
        feeds: dict[str, Array],
        id: str = "",  # noqa: A002 - the protocol's word
        outputs: tuple[OutputChoice, ...] | None = None,
        *,
        binary: bool = False,
    ) -> None:
        self.feeds = feeds
        self.id = id
        self.outputs = outputs
        self.binary = binary


def add_feed(feeds: dict[str, Array], name: str, array: Array) -> None:
    """Put an input into ``feeds``.

    Raises:
        Invalid: it is there already.
    """
    if name in feeds:
        raise Invalid(f"input '{name}' is given twice")
    feeds[name] = array


def all_finite(array: Array) -> bool:
    """Whether no element is NaN or infinite.

    The sum of squares is finite only if every element is, and costs one BLAS call; where it is not
    (large but finite values overflow it) the exact test decides.
    """
    if array.dtype.itemsize > 2 and math.isfinite(np.vdot(array, array)):
        return True
    return bool(np.isfinite(array).all())


def quoted(value: object) -> str:
    """A client's value for an error message, cut short."""
    if not isinstance(value, _SHOWN):  # a parser's node: its text is its address in memory
        return f"a JSON {type(value).__name__.lower()}"
    text = repr(value)
    return text if len(text) <= _QUOTE_LIMIT else text[:_QUOTE_LIMIT] + "..."


def listed(specs: tuple[TensorSpec, ...]) -> str:
    """``'a', 'b'``."""
    return ", ".join(f"'{spec.name}'" for spec in specs)
