"""Reshaping, slicing and gathering in TensorFlow."""

from typing import Any

import numpy as np
import tensorflow as tf

from slipway_optimizer.export import host
from slipway_optimizer.export.arguments import (
    Arguments,
    at,
    expanded,
    known_numbers,
    split_sizes,
    whole_shape,
)
from slipway_optimizer.export.program import Node, Unsupported
from slipway_optimizer.export.tensorflow_values import (
    Last,
    channels_last,
    last,
    shape_of,
    sizes_as_shape,
    tensor,
)


def reshape(node: Node, arguments: Arguments) -> Any:
    """Reshape."""
    data, wanted = tensor(arguments[0]), known_numbers(node, arguments, 1) or []
    zero = bool(node.get("allowzero"))
    return tf.reshape(data, sizes_as_shape(whole_shape(wanted, shape_of(data), zero_is_zero=zero)))


def flatten(node: Node, arguments: Arguments) -> Any:
    """Flatten into two axes."""
    data, axis = tensor(arguments[0]), node.get("axis", 1)
    sizes = shape_of(data)
    axis %= len(sizes) if axis < 0 else len(sizes) + 1
    left, right = _product(sizes[:axis]), _product(sizes[axis:])
    return tf.reshape(data, sizes_as_shape([left, right]))


def _product(sizes: list[Any]) -> Any:
    product: Any = 1
    for size in sizes:
        product = product * size
    return product


def transpose(node: Node, arguments: Arguments) -> Any:
    """Transpose; the one that a picture's layout already is costs nothing."""
    value, order = arguments[0], node.get("perm")
    if isinstance(value, Last) and order == channels_last(value.ndim):
        return value.value
    data = tensor(value)
    return tf.transpose(data, order)


def squeeze(node: Node, arguments: Arguments) -> Any:
    """Squeeze."""
    return tf.squeeze(tensor(arguments[0]), host.axes_of(node, arguments))


def unsqueeze(node: Node, arguments: Arguments) -> Any:
    """Unsqueeze."""
    data, axes = tensor(arguments[0]), host.axes_of(node, arguments) or ()
    rank = len(data.shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        data = tf.expand_dims(data, axis)
    return data


def concat(node: Node, arguments: Arguments) -> Any:
    """Concat; of channels without leaving the layout."""
    axis = node.get("axis")
    pictures = [value for value in arguments if isinstance(value, Last)]
    if pictures:
        rank = pictures[0].ndim
        place = channels_last(rank).index(axis % rank)
        return Last(tf.concat([last(value) for value in arguments], axis=place))
    return tf.concat([tensor(value) for value in arguments], axis=axis)


def split(node: Node, arguments: Arguments) -> list[Any]:
    """Split."""
    value, axis = arguments[0], node.get("axis", 0)
    sizes = split_sizes(
        node, arguments, shape_of(value if not host.is_host(value) else tensor(value))[axis]
    )
    if isinstance(value, Last):
        place = channels_last(value.ndim).index(axis % value.ndim)
        return [Last(part) for part in tf.split(value.value, sizes, axis=place)]
    return list(tf.split(tensor(value), sizes, axis=axis))


def cut(node: Node, arguments: Arguments) -> Any:
    """Slice."""
    data = tensor(arguments[0])
    for place in range(1, 5):
        known_numbers(node, arguments, place)
    rank = len(data.shape)
    cuts: list[Any] = [slice(None)] * rank
    for start, end, axis, step in zip(*host.slice_of(node, arguments), strict=True):
        size = data.shape[axis]
        known = isinstance(end, int)
        to_the_end = known and (end >= host.END or (size is not None and end >= size))
        if step < 0:
            to_the_end = known and (end <= -host.END or (size is not None and end < -size))
        if step < 0 and isinstance(start, int) and (size is None or start >= size):
            if start < host.END and start != -1 and size is None:
                raise Unsupported(node.name, "Slice backwards on an open size")
            start = None if start != -1 else -1  # noqa: PLW2901 - read once
        elif isinstance(start, int) and size is not None:
            start = max(start, -size)  # noqa: PLW2901 - read once
        cuts[axis % rank] = slice(start, None if to_the_end else end, step)
    return data[tuple(cuts)]


def gather(node: Node, arguments: Arguments) -> Any:
    """Gather; negative places count from the end."""
    data, axis = tensor(arguments[0]), node.get("axis", 0)
    places = tensor(arguments[1])
    size = shape_of(data)[axis]
    if host.is_host(arguments[1]) and host.known(arguments[1]) and isinstance(size, int):
        fixed = np.where(arguments[1] < 0, arguments[1] + size, arguments[1])
        return tf.gather(data, tf.constant(fixed.astype(np.int32)), axis=axis)
    places = tf.where(places < 0, places + tf.cast(size, places.dtype), places)
    return tf.gather(data, places, axis=axis)


def gather_elements(node: Node, arguments: Arguments) -> Any:
    """GatherElements."""
    data, places, axis = tensor(arguments[0]), tensor(arguments[1]), node.get("axis", 0)
    rank = len(data.shape)
    axis %= rank
    size = tf.cast(shape_of(data)[axis], places.dtype)
    places = tf.where(places < 0, places + size, places)
    if axis == rank - 1 and data.shape[:-1] == places.shape[:-1] and None not in data.shape[1:-1]:
        return tf.gather(data, places, axis=axis, batch_dims=rank - 1)
    grid = tf.meshgrid(
        *(tf.range(tf.cast(n, places.dtype)) for n in shape_of(places)), indexing="ij"
    )
    grid[axis] = places
    return tf.gather_nd(data, tf.stack(grid, axis=-1))


def gather_nd(node: Node, arguments: Arguments) -> Any:
    """GatherND."""
    data, places = tensor(arguments[0]), tensor(arguments[1])
    return tf.gather_nd(data, places, batch_dims=node.get("batch_dims", 0))


def scatter_nd(node: Node, arguments: Arguments) -> Any:
    """ScatterND that replaces."""
    if node.get("reduction", "none") != "none":
        raise Unsupported(node.name, "ScatterND with a reduction")
    data, places, updates = (tensor(value) for value in arguments)
    return tf.tensor_scatter_nd_update(data, places, updates)


def expand(node: Node, arguments: Arguments) -> Any:
    """Expand."""
    data, wanted = tensor(arguments[0]), known_numbers(node, arguments, 1) or []
    sizes = expanded(wanted, shape_of(data))
    if all(isinstance(size, int) for size in sizes):
        return tf.broadcast_to(data, sizes)
    return tf.broadcast_to(data, tf.stack([tf.cast(size, tf.int32) for size in sizes]))


def tile(node: Node, arguments: Arguments) -> Any:
    """Tile."""
    counts = known_numbers(node, arguments, 1) or []
    return tf.tile(tensor(arguments[0]), tf.stack([tf.cast(n, tf.int32) for n in counts]))


def pad(node: Node, arguments: Arguments) -> Any:
    """Pad, or cut where pads are negative."""
    value = arguments[0]
    rank = value.ndim if isinstance(value, Last) else len(tensor(value).shape)
    pads = list(node.get("pads") or known_numbers(node, arguments, 1) or [])
    axes = known_numbers(node, arguments, 3) or range(len(pads) // 2)
    half, mode = len(pads) // 2, node.get("mode", "constant")
    by_axis = {axis % rank: (pads[n], pads[half + n]) for n, axis in enumerate(axes)}
    pairs = [by_axis.get(axis, (0, 0)) for axis in range(rank)]
    if any(isinstance(p, int) and p < 0 for pair in pairs for p in pair):
        raise Unsupported(node.name, "Pad that cuts")
    if mode not in ("constant", "reflect"):
        raise Unsupported(node.name, f"Pad {mode}")
    held = known_numbers(node, arguments, 2)
    fill = held[0] if held else node.get("value", 0.0)
    if isinstance(value, Last):
        pairs = [pairs[n] for n in channels_last(rank)]
    data = value.value if isinstance(value, Last) else tensor(value)
    constant = tf.cast(fill, data.dtype)
    padded = tf.pad(data, pairs, mode.upper(), constant_values=constant)
    return Last(padded) if isinstance(value, Last) else padded


def constant_of_shape(node: Node, arguments: Arguments) -> Any:
    """ConstantOfShape of more elements than the host holds, or of open sizes."""
    value = np.asarray(node.get("value", np.zeros(1, np.float32))).reshape(-1)
    sizes = known_numbers(node, arguments, 0) or []
    shape = tf.stack([tf.cast(size, tf.int32) for size in sizes])
    return tf.fill(shape, tf.constant(value[0]))


def number_range(node: Node, arguments: Arguments) -> Any:
    """Range."""
    first, last_one, step = ((known_numbers(node, arguments, n) or [0])[0] for n in range(3))
    kind = tensor(arguments[0]).dtype if host.known(arguments[0]) else tf.int64
    return tf.range(tf.cast(first, kind), tf.cast(last_one, kind), tf.cast(step, kind))


def top_k(node: Node, arguments: Arguments) -> list[Any]:
    """TopK of the last axis or another one."""
    data, axis = tensor(arguments[0]), node.get("axis", -1)
    count = node.get("k") or (known_numbers(node, arguments, 1) or [1])[0]
    rank = len(data.shape)
    order = [n for n in range(rank) if n != axis % rank] + [axis % rank]
    turned = tf.transpose(data, order)
    sign = 1 if node.get("largest", 1) else -1
    values, places = tf.math.top_k(turned * tf.cast(sign, data.dtype), tf.cast(count, tf.int32))
    back = [order.index(n) for n in range(rank)]
    values = tf.transpose(values * tf.cast(sign, data.dtype), back)
    return [values, tf.cast(tf.transpose(places, back), tf.int64)]


def cumulative_sum(node: Node, arguments: Arguments) -> Any:
    """CumSum."""
    axis = (known_numbers(node, arguments, 1) or [0])[0]
    return tf.cumsum(
        tensor(arguments[0]), axis,
        exclusive=bool(node.get("exclusive")), reverse=bool(node.get("reverse")),
    )  # fmt: skip


def triangle(node: Node, arguments: Arguments) -> Any:
    """Trilu."""
    data, offset = tensor(arguments[0]), (known_numbers(node, arguments, 1) or [0])[0]
    rows, columns = shape_of(data)[-2:]
    distance = tf.range(columns)[None, :] - tf.range(rows)[:, None]
    keep = distance >= offset if node.get("upper", 1) else distance <= offset
    return tf.where(keep, data, tf.zeros_like(data))


def one_hot(node: Node, arguments: Arguments) -> Any:
    """OneHot."""
    depth = (known_numbers(node, arguments, 1) or [1])[0]
    depth = int(depth) if isinstance(depth, float) else depth
    places, values = tensor(arguments[0]), tensor(arguments[2])
    places = tf.where(places < 0, places + tf.cast(depth, places.dtype), places)
    axis = node.get("axis", -1)
    return tf.one_hot(
        tf.cast(places, tf.int64),
        depth,
        on_value=values[1],
        off_value=values[0],
        axis=axis if axis >= -1 else axis + len(places.shape) + 1,
    )


def size(_node: Node, arguments: Arguments) -> Any:
    """Size."""
    return tf.size(tensor(arguments[0]), out_type=tf.int64)


def bias_of(arguments: Arguments, place: int) -> Any:
    """An optional summand."""
    value = at(arguments, place)
    return None if value is None else tensor(value)
