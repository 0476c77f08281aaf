"""Convolutions, pools, norms and resizing in TensorFlow: they work with channels last."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from slipway_optimizer.arrays import Array
from slipway_optimizer.export import host
from slipway_optimizer.export.arguments import Arguments, at, known_numbers
from slipway_optimizer.export.program import Node, Unsupported
from slipway_optimizer.export.spatial import (
    Window,
    nearest_is_floor,
    transposed_padding,
    window,
)
from slipway_optimizer.export.tensorflow_values import (
    Last,
    Weight,
    array_of,
    dimensions,
    last,
    tensor,
)


def conv(node: Node, arguments: Arguments) -> Last:
    """Conv, depthwise and grouped ones included."""
    data, groups = last(arguments[0]), node.get("group", 1)
    rank = len(data.shape) - 2
    kernel = arguments[1]
    shape = window(node, kernel.shape[2:], dimensions(data)[1:-1])
    data, padding = _padded(node, data, shape, fill=0)
    outputs, inputs = kernel.shape[:2]
    depthwise = groups > 1 and inputs == 1 and rank == 2 and data.shape[-1] == groups
    if depthwise and len(set(shape.strides)) == 1:
        answer = _depthwise(data, kernel, shape, padding, outputs // groups)
    else:
        laid = _laid(kernel, (*range(2, rank + 2), 1, 0))
        answer = _grouped(
            data, laid, groups, lambda part, weights: _convolve(part, weights, shape, padding)
        )
    bias = at(arguments, 2)
    return Last(answer if bias is None else answer + tensor(bias))


def _laid(kernel: Any, order: tuple[int, ...]) -> Any:
    return kernel.laid(order) if isinstance(kernel, Weight) else tf.transpose(tensor(kernel), order)


def _depthwise(data: Any, kernel: Any, shape: Window, padding: str, each: int) -> Any:
    """``[groups * each, 1, h, w]`` -> ``[h, w, groups, each]``."""
    array = array_of(kernel)
    height, width = shape.kernel
    if array is not None and each == 1:
        laid = _laid(kernel, (2, 3, 0, 1))
    else:
        whole = _laid(kernel, (2, 3, 1, 0))
        laid = tf.reshape(whole, (height, width, -1, each))
    return tf.nn.depthwise_conv2d(
        data, laid, (1, *shape.strides, 1), padding, dilations=shape.dilations
    )


def _convolve(data: Any, kernel: Any, shape: Window, padding: str) -> Any:
    match len(shape.kernel):
        case 1:
            return tf.nn.conv1d(
                data, kernel, shape.strides[0], padding, dilations=shape.dilations[0]
            )
        case 2:
            return tf.nn.conv2d(data, kernel, shape.strides, padding, dilations=shape.dilations)
        case _:
            strides, dilations = (1, *shape.strides, 1), (1, *shape.dilations, 1)
            return tf.nn.conv3d(data, kernel, strides, padding, dilations=dilations)


def _grouped(data: Any, kernel: Any, groups: int, work: Callable[[Any, Any], Any]) -> Any:
    if groups == 1:
        return work(data, kernel)
    parts = zip(tf.split(data, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
    return tf.concat([work(part, weights) for part, weights in parts], axis=-1)


def _padded(node: Node, data: Any, shape: Window, *, fill: Any) -> tuple[Any, str]:
    """Data with its padding, and the name of what is left to the operator."""
    if node.get("auto_pad") == "SAME_UPPER":
        return data, "SAME"
    half = tuple((k - 1) * d for k, d in zip(shape.kernel, shape.dilations, strict=True))
    unit = all(stride == 1 for stride in shape.strides)
    if shape.symmetric and unit and tuple(2 * p for p in shape.before) == half:
        return data, "SAME"
    return _pad(data, shape.before, shape.after, fill), "VALID"


def _pad(data: Any, before: Any, after: Any, fill: Any) -> Any:
    if not any(not isinstance(p, int) or p for p in (*before, *after)):
        return data
    pairs = [(0, 0), *zip(before, after, strict=True), (0, 0)]
    return tf.pad(data, pairs, constant_values=tf.cast(fill, data.dtype))


def conv_transpose(node: Node, arguments: Arguments) -> Last:
    """ConvTranspose without dilations."""
    data, kernel, groups = last(arguments[0]), arguments[1], node.get("group", 1)
    rank = len(data.shape) - 2
    if rank > 2 or any(d != 1 for d in node.get("dilations", (1,))):
        raise Unsupported(node.name, "ConvTranspose with dilations, or of three axes")
    sizes = dimensions(data)[1:-1]
    kernel_shape = kernel.shape[2:]
    before, after, added = transposed_padding(node, kernel_shape, sizes)
    strides = node.get("strides", (1,) * rank)
    whole = [(size - 1) * s + k for size, s, k in zip(sizes, strides, kernel_shape, strict=True)]
    laid = _laid(kernel, (*range(2, rank + 2), 1, 0))
    run = tf.nn.conv1d_transpose if rank == 1 else tf.nn.conv2d_transpose
    rows, each = dimensions(data)[0], kernel.shape[1]

    def work(part: Any, weights: Any) -> Any:
        shape = tf.stack([tf.cast(n, tf.int32) for n in (rows, *whole, each)])
        return run(part, weights, shape, strides, "VALID")

    answer = _grouped(data, laid, groups, work)
    answer = _pad(
        answer, (0,) * rank, [max(0, e - a) for e, a in zip(added, after, strict=True)], 0
    )
    cuts = [slice(None)]
    for less, more, extra, size in zip(before, after, added, whole, strict=True):
        cuts.append(slice(less, size + extra - more))
    answer = answer[tuple(cuts)]
    bias = at(arguments, 2)
    return Last(answer if bias is None else answer + tensor(bias))


def max_pool(node: Node, arguments: Arguments) -> Last:
    """MaxPool without indices and dilations."""
    data = last(arguments[0])
    shape = _pool_window(node, data)
    data, padding = _padded(node, data, shape, fill=data.dtype.min)
    return Last(_pool(tf.nn.max_pool, data, shape, padding))


def average_pool(node: Node, arguments: Arguments) -> Last:
    """AveragePool; the padding counts only if it is asked to."""
    data = last(arguments[0])
    shape = _pool_window(node, data)
    if shape.ceil:
        raise Unsupported(node.name, "AveragePool with ceil_mode")
    padded, padding = _padded(node, data, shape, fill=0)
    include = bool(node.get("count_include_pad"))
    if padding == "SAME" and include:
        padded, padding = _pad(data, shape.before, shape.after, 0), "VALID"
    answer = _pool(tf.nn.avg_pool, padded, shape, padding)
    if padding == "SAME" or include or not shape.padded:
        return Last(answer)
    counted = _pad(tf.ones_like(data), shape.before, shape.after, 0)
    return Last(answer / _pool(tf.nn.avg_pool, counted, shape, padding))


def _pool_window(node: Node, data: Any) -> Window:
    if len(node.outputs) > 1 or any(d != 1 for d in node.get("dilations", (1,))):
        raise Unsupported(node.name, f"{node.operator} with indices or dilations")
    sizes = dimensions(data)[1:-1]
    shape = window(node, node.get("kernel_shape"), sizes)
    if not shape.ceil:
        return shape
    if any(not isinstance(size, int) for size in sizes):
        raise Unsupported(node.name, f"{node.operator} with ceil_mode on open sizes")
    after = []
    for size, k, s, b, a in zip(
        sizes, shape.kernel, shape.strides, shape.before, shape.after, strict=True
    ):
        outputs = -(-(size + b + a - k) // s) + 1
        if (outputs - 1) * s >= size + b:
            outputs -= 1  # a window that would start in the padding does not count
        after.append(max(a, (outputs - 1) * s + k - size - b))
    partly = node.operator == "AveragePool"
    return Window(shape.kernel, shape.strides, shape.dilations, shape.before, tuple(after), partly)


def _pool(work: Callable[..., Any], data: Any, shape: Window, padding: str) -> Any:
    if len(shape.kernel) != 1:
        return work(data, shape.kernel, shape.strides, padding)
    flat = tf.expand_dims(data, 1)  # TFLite pools pictures only
    return tf.squeeze(work(flat, (1, *shape.kernel), (1, *shape.strides), padding), 1)


def over_pixels(work: Callable[..., Any]) -> Callable[[Node, Arguments], Last]:
    """Global pools."""

    def run(_node: Node, arguments: Arguments) -> Last:
        data = last(arguments[0])
        return Last(work(data, axis=list(range(1, len(data.shape) - 1)), keepdims=True))

    return run


def batch_norm(node: Node, arguments: Arguments) -> Any:
    """A factor and a summand per channel, computed here."""
    held = [array_of(value) for value in arguments[1:5]]
    if any(array is None for array in held):
        raise Unsupported(node.name, "BatchNormalization with computed statistics")
    scale, bias, mean, variance = (np.asarray(array, np.float64) for array in held)
    factor = scale / np.sqrt(variance + node.get("epsilon", 1e-5))
    data = arguments[0]
    rank = data.ndim if isinstance(data, Last) else len(tensor(data).shape)
    kind = np.float32
    if rank < 3:
        return tensor(data) * factor.astype(kind) + (bias - mean * factor).astype(kind)
    return Last(last(data) * factor.astype(kind) + (bias - mean * factor).astype(kind))


def instance_norm(node: Node, arguments: Arguments) -> Last:
    """Each picture's channels normalised alone."""
    data = last(arguments[0])
    axes = list(range(1, len(data.shape) - 1))
    mean = tf.reduce_mean(data, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(data - mean), axes, keepdims=True)
    normal = (data - mean) * tf.math.rsqrt(variance + node.get("epsilon", 1e-5))
    return Last(normal * tensor(arguments[1]) + tensor(arguments[2]))


def layer_norm(node: Node, arguments: Arguments) -> Any:
    """Over the axes from ``axis`` on."""
    data, axis = tensor(arguments[0]), node.get("axis", -1)
    rank = len(data.shape)
    axes = list(range(axis % rank, rank))
    mean = tf.reduce_mean(data, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(data - mean), axes, keepdims=True)
    answer = (data - mean) * tf.math.rsqrt(variance + node.get("epsilon", 1e-5))
    answer *= tensor(arguments[1])
    return answer if at(arguments, 2) is None else answer + tensor(arguments[2])


def resize(node: Node, arguments: Arguments) -> Last:
    """Resize of pictures: nearest by whole factors, bilinear."""
    data = last(arguments[0])
    if len(data.shape) != 4:
        raise Unsupported(node.name, "Resize of other than pictures")
    sizes, whole = _resized(node, arguments, dimensions(data)[1:3])
    default = "asymmetric" if node.operator == "Upsample" else "half_pixel"
    mode = node.get("mode", "nearest")
    where = node.get("coordinate_transformation_mode", default)
    shape = tf.stack([tf.cast(size, tf.int32) for size in sizes])
    if mode == "nearest":
        if not nearest_is_floor(node, whole=whole):
            raise Unsupported(node.name, f"Resize to nearest, {where}, by fractions")
        return Last(tf.raw_ops.ResizeNearestNeighbor(images=data, size=shape))
    flags = {
        "half_pixel": {"half_pixel_centers": True},
        "pytorch_half_pixel": {"half_pixel_centers": True},
        "align_corners": {"align_corners": True},
        "asymmetric": {},
    }.get(where)
    one = where == "pytorch_half_pixel" and 1 in sizes
    fraction = where != "half_pixel" and not whole and at(arguments, 3) is None
    if mode != "linear" or flags is None or node.get("antialias") or one or fraction:
        raise Unsupported(node.name, f"Resize {mode}, {where}")
    return Last(tf.cast(tf.raw_ops.ResizeBilinear(images=data, size=shape, **flags), data.dtype))


def _resized(node: Node, arguments: Arguments, old: list[Any]) -> tuple[list[Any], bool]:
    """New height and width, and whether they are whole multiples of the old ones."""
    if node.get("axes") or node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported(node.name, "Resize of chosen axes")
    sizes = known_numbers(node, arguments, 3)
    if sizes:
        new = sizes[2:]
        pairs = list(zip(new, old, strict=True))
        return new, all(isinstance(a, int) and isinstance(b, int) and a % b == 0 for a, b in pairs)
    place = 1 if node.operator == "Upsample" else 2
    scales = node.get("scales") or known_numbers(node, arguments, place)
    if not scales or any(float(s) != 1.0 for s in scales[:2]):
        raise Unsupported(node.name, "Resize of other than the last axes")
    whole = all(float(s).is_integer() for s in scales)
    if whole:
        return [n * int(s) for n, s in zip(old, scales[2:], strict=True)], True
    if any(not isinstance(n, int) for n in old):
        raise Unsupported(node.name, "Resize of open sizes by fractions")
    exact = [n * s for n, s in zip(old, scales[2:], strict=True)]
    if any(size != int(size) for size in exact):
        raise Unsupported(node.name, "Resize by a scale that its sizes do not divide")
    return [int(size) for size in exact], False


def depth_to_space(node: Node, arguments: Arguments) -> Last:
    """DepthToSpace; TensorFlow's own order is DCR."""
    data, block = last(arguments[0]), node.get("blocksize")
    if node.get("mode", "DCR") == "DCR":
        return Last(tf.nn.depth_to_space(data, block))
    rows, height, width, channels = dimensions(data)
    inner = channels // block**2
    parts = tf.reshape(data, _shape(rows, height, width, inner, block, block))
    parts = tf.transpose(parts, (0, 1, 4, 2, 5, 3))
    return Last(tf.reshape(parts, _shape(rows, height * block, width * block, inner)))


def space_to_depth(node: Node, arguments: Arguments) -> Last:
    """SpaceToDepth, DCR."""
    if node.get("mode", "DCR") != "DCR":
        raise Unsupported(node.name, "SpaceToDepth CRD")
    return Last(tf.nn.space_to_depth(last(arguments[0]), node.get("blocksize")))


def _shape(*sizes: Any) -> Any:
    return tf.stack([tf.cast(size, tf.int32) for size in sizes])


def constant(value: Any) -> Array | None:
    """Numbers of a small host value."""
    return value if host.is_host(value) and host.known(value) else None
