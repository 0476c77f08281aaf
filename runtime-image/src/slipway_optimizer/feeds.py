"""Generated feeds, for models that come without a data set. Pure: seeded."""

from typing import Final

import numpy as np

from slipway_optimizer.arrays import Array, Arrays
from slipway_optimizer.failures import Refused
from slipway_optimizer.tensors import DYNAMIC, FLOATS, NUMPY_OF, Signature

# Sizes tried, in order, for dimensions that a model leaves open (sequence length, image side).
OPEN_SIZES: Final = (16, 64, 224, 512, 1)
_SEED = 20_240_601


def generate(signature: Signature, *, rows: int, open_size: int) -> Arrays:
    """Rows for every input, rows first.

    Even rows of a floating-point input are normal (0, 1), odd ones uniform in [0, 1), as scaled
    pictures are. Integers are 0 or 1: the only ones that every vocabulary holds.

    Raises:
        Refused: ``DatasetNeeded``, when an input takes text.
    """
    random = np.random.default_rng(_SEED)
    feeds: Arrays = {}
    for tensor in signature.inputs:
        if tensor.datatype == "BYTES":
            raise Refused(
                "DatasetNeeded",
                f"input '{tensor.name}' takes text, which cannot be generated: "
                "set validation.dataset",
            )
        open_filled = (open_size if size == DYNAMIC else size for size in tensor.shape[1:])
        feeds[tensor.name] = _fill(random, (rows, *open_filled), tensor.datatype)
    return feeds


def _fill(random: np.random.Generator, shape: tuple[int, ...], datatype: str) -> Array:
    dtype = NUMPY_OF[datatype]
    if datatype not in FLOATS:
        whole: Array = random.integers(0, 2, size=shape).astype(dtype)
        return whole
    values = random.standard_normal(shape)
    values[1::2] = random.random(values[1::2].shape)
    floats: Array = values.astype(dtype)
    return floats
