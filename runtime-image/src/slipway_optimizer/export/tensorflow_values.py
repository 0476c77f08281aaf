"""Values on their way into a TensorFlow graph: weights, and pictures with their channels last.

ONNX has channels second, TensorFlow's CPU kernels and TFLite want them last. A convolution's answer
therefore stays channels-last (``Last``) for as long as its readers take it so, and is transposed
once when one does not. Weights become variables in the layout that their reader wants.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import tensorflow as tf

from slipway_optimizer.arrays import Array
from slipway_optimizer.export import host

_SYMBOL: Final = tf.int64


class Weights:
    """Every variable of the exported model."""

    def __init__(self) -> None:
        self.variables: list[Any] = []

    def variable(self, array: Array) -> Any:
        """A variable, made outside of the function that is being traced."""
        with tf.init_scope():
            made = tf.Variable(array, trainable=array.dtype.kind == "f")
        self.variables.append(made)
        return made


class Weight:
    """A constant that is too large to be part of the graph."""

    def __init__(self, array: Array, weights: Weights) -> None:
        self.array, self.ndim, self.shape = array, array.ndim, array.shape
        self._weights = weights
        self._laid: dict[tuple[int, ...], Any] = {}

    def laid(self, order: Sequence[int] | None = None) -> Any:
        """As a variable with its axes in that order."""
        key = tuple(range(self.ndim)) if order is None else tuple(order)
        if key not in self._laid:
            array = np.ascontiguousarray(self.array.transpose(key))
            self._laid[key] = self._weights.variable(array)
        return tf.convert_to_tensor(self._laid[key])


class Last:
    """A tensor whose channels, second in ONNX, lie last."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.ndim = len(value.shape)


def tensor(value: Any) -> Any:
    """Any value as ONNX means it."""
    if isinstance(value, Last):
        return tf.transpose(value.value, channels_second(value.ndim))
    if isinstance(value, Weight):
        return value.laid()
    if not host.is_host(value):
        return value
    if host.known(value):
        return tf.constant(value)
    flat = [tf.cast(part, _SYMBOL) for part in host.integers(value)]
    return tf.reshape(tf.stack(flat), value.shape)


def last(value: Any) -> Any:
    """A tensor of three axes or more with its channels last."""
    if isinstance(value, Last):
        return value.value
    if isinstance(value, Weight):
        return value.laid(channels_last(value.ndim))
    plain = tensor(value)
    return tf.transpose(plain, channels_last(len(plain.shape)))


def array_of(value: Any) -> Array | None:
    """The numbers of a constant."""
    if isinstance(value, Weight):
        return value.array
    return value if host.is_host(value) and host.known(value) else None


def channels_last(rank: int) -> tuple[int, ...]:
    """Axes in the order that has the second one last."""
    return (0, *range(2, rank), 1)


def channels_second(rank: int) -> tuple[int, ...]:
    """The way back."""
    return (0, rank - 1, *range(1, rank - 1))


def dimensions(value: Any) -> list[Any]:
    """Sizes of a TensorFlow tensor: numbers, and scalars where they are open."""
    sizes = value.shape.as_list()
    if None not in sizes:
        return list(sizes)
    found = tf.shape(value)
    return [found[n] if size is None else size for n, size in enumerate(sizes)]


def shape_of(value: Any) -> list[Any]:
    """Sizes as ONNX means them."""
    if isinstance(value, Last):
        held = dimensions(value.value)
        return [held[n] for n in channels_second(value.ndim)]
    return list(value.shape) if isinstance(value, Weight) else dimensions(value)


def sizes_as_shape(sizes: Sequence[Any]) -> Any:
    """What ``tf.reshape`` takes; a single open size is left to it, so that others stay known."""
    open_places = [n for n, size in enumerate(sizes) if not isinstance(size, int)]
    if not open_places:
        return list(sizes)
    if len(open_places) == 1 and -1 not in [s for s in sizes if isinstance(s, int)]:
        return [-1 if n == open_places[0] else size for n, size in enumerate(sizes)]
    return tf.stack([tf.cast(size, tf.int32) for size in sizes])
