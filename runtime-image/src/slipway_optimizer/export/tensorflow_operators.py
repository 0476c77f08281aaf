"""ONNX operators in TensorFlow: the table, and arithmetic element by element."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import tensorflow as tf

from slipway_optimizer.export import host
from slipway_optimizer.export import tensorflow_layers as layers
from slipway_optimizer.export import tensorflow_moves as moves
from slipway_optimizer.export.arguments import Arguments, Operator, at
from slipway_optimizer.export.program import Node, Unsupported, dtype_of
from slipway_optimizer.export.tensorflow_values import (
    Last,
    Weight,
    channels_last,
    last,
    tensor,
)


def _unary(work: Callable[[Any], Any]) -> Operator:
    return lambda _node, arguments: _each(arguments[0], work)


def _each(value: Any, work: Callable[[Any], Any]) -> Any:
    return Last(work(value.value)) if isinstance(value, Last) else work(tensor(value))


def _binary(work: Callable[[Any, Any], Any]) -> Operator:
    return lambda _node, arguments: _both(arguments[0], arguments[1], work)


def _both(a: Any, b: Any, work: Callable[[Any, Any], Any]) -> Any:
    """Broadcast as ONNX does, in the layout that either has."""
    pictures = [value.ndim for value in (a, b) if isinstance(value, Last)]
    if pictures and max(_rank(a), _rank(b)) == max(pictures):
        rank = max(pictures)
        return Last(work(_beside(a, rank), _beside(b, rank)))
    return work(tensor(a), tensor(b))


def _rank(value: Any) -> int:
    return int(value.ndim) if isinstance(value, Last | Weight) else len(value.shape)


def _beside(value: Any, rank: int) -> Any:
    """A summand or factor of a channels-last picture."""
    if isinstance(value, Last) or _rank(value) == rank:
        return last(value)
    missing = rank - _rank(value)
    if _rank(value) == 0:
        return tensor(value)
    plain = tensor(value)
    for _ in range(missing):
        plain = tf.expand_dims(plain, 0)
    return tf.transpose(plain, channels_last(rank))


def _variadic(work: Callable[[Any, Any], Any]) -> Operator:
    def run(_node: Node, arguments: Arguments) -> Any:
        first, *others = arguments
        for other in others:
            first = _both(first, other, work)
        return first if others else tensor(first)

    return run


def _divide(a: Any, b: Any) -> Any:
    return tf.divide(a, b) if a.dtype.is_floating else tf.truncatediv(a, b)


def _mod(node: Node, arguments: Arguments) -> Any:
    work = tf.truncatemod if node.get("fmod") else tf.math.floormod
    return _both(arguments[0], arguments[1], work)


def _pow(a: Any, b: Any) -> Any:
    if b.dtype == a.dtype:
        return tf.pow(a, b)
    wide = b.dtype if b.dtype.is_floating else a.dtype
    return tf.cast(tf.pow(tf.cast(a, wide), tf.cast(b, wide)), a.dtype)


def _clip(node: Node, arguments: Arguments) -> Any:
    value = arguments[0]
    for place, name, work in ((1, "min", tf.maximum), (2, "max", tf.minimum)):
        limit = at(arguments, place)
        held = node.get(name) if limit is None else tensor(limit)
        if held is not None:
            value = _each(value, partial(_bounded, work, held))
    return value if isinstance(value, Last) else tensor(value)


def _bounded(work: Callable[[Any, Any], Any], limit: Any, value: Any) -> Any:
    return work(value, tf.cast(limit, value.dtype))


def _cast(node: Node, arguments: Arguments) -> Any:
    kind = dtype_of(node.get("to"))
    return _each(arguments[0], lambda value: tf.cast(value, kind))


def _matmul(a: Any, b: Any) -> Any:
    if len(a.shape) == 1 or len(b.shape) == 1:
        left = a[None, :] if len(a.shape) == 1 else a
        right = b[:, None] if len(b.shape) == 1 else b
        product = tf.matmul(left, right)
        product = tf.squeeze(product, -1) if len(b.shape) == 1 else product
        axis = -1 if len(b.shape) == 1 else -2
        return tf.squeeze(product, axis) if len(a.shape) == 1 else product
    return tf.matmul(a, b)


def _gemm(node: Node, arguments: Arguments) -> Any:
    a, b = tensor(arguments[0]), arguments[1]
    turned = bool(node.get("transB"))
    if isinstance(b, Weight):
        b, turned = b.laid((1, 0) if turned else None), False
    product = tf.matmul(a, tensor(b), bool(node.get("transA")), turned)
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    product = product if alpha == 1.0 else product * alpha
    bias = moves.bias_of(arguments, 2)
    return product if bias is None else product + (bias if beta == 1.0 else bias * beta)


def _reduce(work: Callable[..., Any]) -> Operator:
    def run(node: Node, arguments: Arguments) -> Any:
        axes, keep = host.axes_of(node, arguments), bool(node.get("keepdims", 1))
        value = arguments[0]
        if not axes and node.get("noop_with_empty_axes"):
            return tensor(value)
        if isinstance(value, Last) and axes and keep:
            order = channels_last(value.ndim)
            places = [order.index(axis % value.ndim) for axis in axes]
            return Last(work(value.value, axis=places, keepdims=True))
        return work(tensor(value), axis=list(axes) if axes else None, keepdims=keep)

    return run


def _arg(work: Callable[..., Any]) -> Operator:
    def run(node: Node, arguments: Arguments) -> Any:
        if node.get("select_last_index"):
            raise Unsupported(node.name, f"{node.operator} of the last index")
        axis = node.get("axis", 0)
        found = work(tensor(arguments[0]), axis=axis, output_type=tf.int64)
        return tf.expand_dims(found, axis) if node.get("keepdims", 1) else found

    return run


def _softmax(work: Callable[..., Any]) -> Operator:
    def run(node: Node, arguments: Arguments) -> Any:
        value, axis = arguments[0], node.get("axis", -1)
        if isinstance(value, Last) and axis % value.ndim == 1:
            return Last(work(value.value, axis=-1))
        return work(tensor(value), axis=axis)

    return run


def _prelu(_node: Node, arguments: Arguments) -> Any:
    return _both(arguments[0], arguments[1], lambda v, slope: tf.where(v < 0, v * slope, v))


def _elu(node: Node, arguments: Arguments) -> Any:
    alpha = node.get("alpha", 1.0)
    return _each(arguments[0], lambda v: tf.where(v > 0, v, alpha * (tf.exp(tf.minimum(v, 0)) - 1)))


def _selu(node: Node, arguments: Arguments) -> Any:
    alpha, gamma = node.get("alpha", 1.67326319), node.get("gamma", 1.05070102)
    return _each(
        arguments[0],
        lambda v: gamma * tf.where(v > 0, v, alpha * (tf.exp(tf.minimum(v, 0)) - 1)),
    )


def _leaky(node: Node, arguments: Arguments) -> Any:
    alpha = node.get("alpha", 0.01)
    return _each(arguments[0], lambda v: tf.nn.leaky_relu(v, alpha))


def _gelu(node: Node, arguments: Arguments) -> Any:
    about = node.get("approximate", "none") == "tanh"
    return _each(arguments[0], lambda v: tf.nn.gelu(v, approximate=about))


def _hard_sigmoid(node: Node, arguments: Arguments) -> Any:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    return _each(arguments[0], lambda v: tf.clip_by_value(v * alpha + beta, 0.0, 1.0))


def _is_inf(node: Node, arguments: Arguments) -> Any:
    def work(value: Any) -> Any:
        found = tf.math.is_inf(value)
        if not node.get("detect_positive", 1):
            found = tf.logical_and(found, value < 0)
        return found if node.get("detect_negative", 1) else tf.logical_and(found, value > 0)

    return _each(arguments[0], work)


def _where(_node: Node, arguments: Arguments) -> Any:
    condition, yes, no = (tensor(value) for value in arguments)
    return tf.where(condition, yes, no)


def _einsum(node: Node, arguments: Arguments) -> Any:
    return tf.einsum(node.get("equation").replace(" ", ""), *(tensor(v) for v in arguments))


def _l2(value: Any, *, axis: Any, keepdims: bool) -> Any:
    return tf.sqrt(tf.reduce_sum(tf.square(value), axis=axis, keepdims=keepdims))


def erf_by_exp(_node: Node, arguments: Arguments) -> Any:
    """Erf by Abramowitz and Stegun 7.1.26, off by at most 1.5e-7: TFLite has no operator for it."""

    def work(value: Any) -> Any:
        size = tf.abs(value)
        t = 1.0 / (1.0 + 0.3275911 * size)
        sum_of_powers = t * (
            0.254829592
            + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
        )
        return tf.sign(value) * (1.0 - sum_of_powers * tf.exp(-size * size))

    return _each(arguments[0], work)


OPERATORS: Final[dict[str, Operator]] = {
    "Abs": _unary(tf.abs),
    "Add": _binary(tf.add),
    "And": _binary(tf.logical_and),
    "ArgMax": _arg(tf.argmax),
    "ArgMin": _arg(tf.argmin),
    "AveragePool": layers.average_pool,
    "BatchNormalization": layers.batch_norm,
    "Cast": _cast,
    "CastLike": lambda _n, a: tf.cast(tensor(a[0]), tensor(a[1]).dtype),
    "Ceil": _unary(tf.math.ceil),
    "Clip": _clip,
    "Concat": moves.concat,
    "ConstantOfShape": moves.constant_of_shape,
    "Conv": layers.conv,
    "ConvTranspose": layers.conv_transpose,
    "Cos": _unary(tf.cos),
    "CumSum": moves.cumulative_sum,
    "DepthToSpace": layers.depth_to_space,
    "Div": _binary(_divide),
    "Dropout": _unary(tf.identity),
    "Einsum": _einsum,
    "Elu": _elu,
    "Equal": _binary(tf.equal),
    "Erf": _unary(tf.math.erf),
    "Exp": _unary(tf.exp),
    "Expand": moves.expand,
    "Flatten": moves.flatten,
    "Floor": _unary(tf.floor),
    "Gather": moves.gather,
    "GatherElements": moves.gather_elements,
    "GatherND": moves.gather_nd,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": layers.over_pixels(tf.reduce_mean),
    "GlobalMaxPool": layers.over_pixels(tf.reduce_max),
    "Greater": _binary(tf.greater),
    "GreaterOrEqual": _binary(tf.greater_equal),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(lambda v: v * tf.nn.relu6(v + 3.0) * np.float32(1 / 6)),
    "Identity": _unary(tf.identity),
    "InstanceNormalization": layers.instance_norm,
    "IsInf": _is_inf,
    "IsNaN": _unary(tf.math.is_nan),
    "LayerNormalization": layers.layer_norm,
    "LeakyRelu": _leaky,
    "Less": _binary(tf.less),
    "LessOrEqual": _binary(tf.less_equal),
    "Log": _unary(tf.math.log),
    "LogSoftmax": _softmax(tf.nn.log_softmax),
    "MatMul": lambda _n, a: _matmul(tensor(a[0]), tensor(a[1])),
    "Max": _variadic(tf.maximum),
    "MaxPool": layers.max_pool,
    "Min": _variadic(tf.minimum),
    "Mish": _unary(lambda v: v * tf.tanh(tf.math.softplus(v))),
    "Mod": _mod,
    "Mul": _binary(tf.multiply),
    "Neg": _unary(tf.negative),
    "Not": _unary(tf.logical_not),
    "OneHot": moves.one_hot,
    "Or": _binary(tf.logical_or),
    "PRelu": _prelu,
    "Pad": moves.pad,
    "Pow": _binary(_pow),
    "Range": moves.number_range,
    "Reciprocal": _unary(lambda v: 1.0 / v),
    "ReduceL1": _reduce(lambda v, axis, keepdims: tf.reduce_sum(tf.abs(v), axis, keepdims)),
    "ReduceL2": _reduce(_l2),
    "ReduceLogSumExp": _reduce(tf.reduce_logsumexp),
    "ReduceMax": _reduce(tf.reduce_max),
    "ReduceMean": _reduce(tf.reduce_mean),
    "ReduceMin": _reduce(tf.reduce_min),
    "ReduceProd": _reduce(tf.reduce_prod),
    "ReduceSum": _reduce(tf.reduce_sum),
    "ReduceSumSquare": _reduce(
        lambda v, axis, keepdims: tf.reduce_sum(tf.square(v), axis, keepdims)
    ),
    "Relu": _unary(tf.nn.relu),
    "Reshape": moves.reshape,
    "Resize": layers.resize,
    "Round": _unary(tf.round),
    "ScatterND": moves.scatter_nd,
    "Selu": _selu,
    "Sigmoid": _unary(tf.sigmoid),
    "Sign": _unary(tf.sign),
    "Sin": _unary(tf.sin),
    "Size": moves.size,
    "Slice": moves.cut,
    "Softmax": _softmax(tf.nn.softmax),
    "Softplus": _unary(tf.math.softplus),
    "Softsign": _unary(tf.nn.softsign),
    "SpaceToDepth": layers.space_to_depth,
    "Split": moves.split,
    "Sqrt": _unary(tf.sqrt),
    "Squeeze": moves.squeeze,
    "Sub": _binary(tf.subtract),
    "Sum": _variadic(tf.add),
    "Tanh": _unary(tf.tanh),
    "Tile": moves.tile,
    "TopK": moves.top_k,
    "Transpose": moves.transpose,
    "Trilu": moves.triangle,
    "Unsqueeze": moves.unsqueeze,
    "Upsample": layers.resize,
    "Where": _where,
    "Xor": _binary(tf.math.logical_xor),
}
TFLITE_OPERATORS: Final[dict[str, Operator]] = {**OPERATORS, "Erf": erf_by_exp}
