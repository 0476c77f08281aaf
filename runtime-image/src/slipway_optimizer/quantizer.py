"""Weights as whole numbers of a few bits: Q(x) = round(x s) / s, and what that costs. Pure numpy.

8 and 4 bits: symmetric, s = (2^(bits-1) - 1) / max|x|, for each output channel (8) or each group of
its weights (4). 2 bits: ternary, as in Ternary Weight Networks (Li et al., 2016): x is -a, 0 or a
with the threshold at 0.7 mean|x| and a the mean magnitude above it. 1 bit: binary, as in
XNOR-Net (Rastegari et al., 2016): sign(x) mean|x|.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slipway_optimizer.arrays import Array

_PIECE: Final = 1 << 20  # elements
GROUP: Final = 64  # weights that share a scale, below 8 bits
_TERNARY_THRESHOLD: Final = 0.7
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A tensor in few bits.

    Attributes:
        packed: ``8 / bits`` codes a byte, the lowest bits first; rows padded to whole groups.
        scales: float32 [channels, groups]; ``x = (code - zero) * scale``.
        codes: how many, padding included.
        matrix: (channels, weights of one channel), before padding.
        moved_shape: of the tensor with its channel axis first; ``back`` permutes it home.
        decoded: what a reader will see, in the original's shape.
    """

    bits: int
    packed: NDArray[np.uint8]
    scales: Floats
    zero: float
    codes: int
    matrix: tuple[int, int]
    moved_shape: tuple[int, ...]
    back: tuple[int, ...]
    decoded: Floats


def encode(values: Floats, *, axis: int, bits: int) -> Coded:
    """Code a tensor of 2 or more dimensions; ``axis`` holds its output channels."""
    axis %= values.ndim
    order = (axis, *(a for a in range(values.ndim) if a != axis))
    moved = np.transpose(values, order)
    matrix = moved.reshape(moved.shape[0], -1)
    channels, width = matrix.shape
    group = width if bits == 8 else GROUP
    blocks = -(-width // group)
    padded = np.zeros((channels, blocks * group), np.float32)
    padded[:, :width] = matrix
    filled = np.zeros_like(padded, dtype=np.bool_)
    filled[:, :width] = True
    shape = (channels, blocks, group)
    codes, scales, zero = _codes(padded.reshape(shape), filled.reshape(shape), bits)
    answer = ((codes - zero) * scales[:, :, None]).astype(np.float32)
    decoded = answer.reshape(channels, -1)[:, :width].reshape(moved.shape)
    back = tuple(int(place) for place in np.argsort(order))
    return Coded(
        bits=bits,
        packed=_pack(codes.astype(np.uint8).ravel(), bits),
        scales=scales,
        zero=zero,
        codes=codes.size,
        matrix=(channels, width),
        moved_shape=tuple(moved.shape),
        back=back,
        decoded=np.ascontiguousarray(np.transpose(decoded, back)),
    )


def _codes(grouped: Floats, real: NDArray[np.bool_], bits: int) -> tuple[Array, Floats, float]:
    """Codes from 0, scales [channels, groups], and the code of zero."""
    size = np.abs(grouped)
    count = np.maximum(real.sum(axis=2), 1)
    mean = size.sum(axis=2) / count
    if bits == 1:
        return grouped >= 0, (2 * mean).astype(np.float32), 0.5
    if bits == 2:
        far = size > _TERNARY_THRESHOLD * mean[:, :, None]
        scale = (size * far).sum(axis=2) / np.maximum(far.sum(axis=2), 1)
        return np.sign(grouped) * far + 1, scale.astype(np.float32), 1.0
    top = float((1 << (bits - 1)) - 1)
    largest = size.max(axis=2)
    scale = np.where(largest > 0, largest / top, 1.0).astype(np.float32)
    return np.rint(grouped / scale[:, :, None]) + top + 1, scale, top + 1


def _pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    if bits == 8:
        return codes
    each = 8 // bits
    padded = np.concatenate((codes, np.zeros(-len(codes) % each, np.uint8))).reshape(-1, each)
    shifted = padded << np.arange(0, 8, bits, dtype=np.uint8)
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(shifted, axis=1)
    return packed


def rounded(values: Floats, *, axis: int) -> Floats:
    """The tensor as INT8 quantisers see it: 8 bits, one scale per channel."""
    return encode(values, axis=axis, bits=8).decoded if values.ndim > 1 else values


def sqnr_of(values: Array, stored: Array) -> float:
    """Signal to noise in dB of what is stored; 200 when nothing was lost, so that JSON holds it."""
    flat, coded = values.ravel(), stored.ravel()
    noise = signal = 0.0
    for start in range(0, flat.size, _PIECE):  # a copy in double precision of all would not fit
        part = flat[start : start + _PIECE].astype(np.float64)
        noise += float(np.square(part - coded[start : start + _PIECE]).sum())
        signal += float(np.square(part).sum())
    if noise == 0 or signal == 0:
        return 200.0
    return min(200.0, 10 * math.log10(signal / noise))
