"""Open Inference Protocol v2 datatypes and numpy's, and a model's signature. Pure."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from slipway.artifacts.manifest import Tensor

DYNAMIC: Final = -1
NUMPY_OF: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.str_),
}
FLOATS: Final = frozenset({"FP16", "FP32", "FP64"})


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def batchable(self) -> bool:
        """Whether every tensor declares a dynamic first dimension."""
        return all(t.shape and t.shape[0] == DYNAMIC for t in (*self.inputs, *self.outputs))

    def output(self, name: str | None) -> Tensor | None:
        """The output of that name; without a name the first floating-point one, else the first."""
        if name is not None:
            return next((t for t in self.outputs if t.name == name), None)
        floats = [t for t in self.outputs if t.datatype in FLOATS]
        return (floats or list(self.outputs))[0]
