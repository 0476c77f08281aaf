"""bfloat16 as its bit patterns: numpy has no such type, so these arrays are uint16. Pure.

A bfloat16 is the upper half of the float32 of the same value.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint16]
_INFINITE: Final = np.uint16(0x7F80)  # every bit of the exponent: infinity or NaN


def widen(bits: Bits) -> NDArray[np.float32]:
    """The same values as float32, exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrow(values: NDArray[np.floating]) -> Bits:
    """The nearest bfloat16 of each value, ties to even; what is too large becomes infinity."""
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(values, np.float32)
    wide = single.view(np.uint32)
    rounded = (wide + (((wide >> 16) & 1) + np.uint32(0x7FFF))) >> 16
    quiet = (wide >> 16) | 0x40  # rounding could turn a NaN into infinity
    return np.where(np.isnan(single), quiet, rounded).astype(np.uint16)


def all_finite(bits: Bits) -> bool:
    """Whether no element is NaN or infinite."""
    return not bool(((bits & _INFINITE) == _INFINITE).any())
