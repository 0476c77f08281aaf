"""ONNX operators in PyTorch's words, as far as gradients go through them. An owner file of torch.

Each takes the operator's inputs (``None`` for one that is left out) and its attributes. Whatever
is understood wrongly here is found before training: the net's answers are compared with ONNX
Runtime's, and a difference is a failure.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional as nn

Tensor = Any
Attributes = Mapping[str, Any]
Given = Sequence[Tensor]
_TYPES: Final = {  # by the numbers of onnx.TensorProto
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
}
_CONVOLUTIONS: Final = {1: nn.conv1d, 2: nn.conv2d, 3: nn.conv3d}
_MAXIMA: Final = {1: nn.max_pool1d, 2: nn.max_pool2d, 3: nn.max_pool3d}
_MEANS: Final = {1: nn.avg_pool1d, 2: nn.avg_pool2d, 3: nn.avg_pool3d}


def _whole(value: Tensor) -> list[int]:
    return [int(number) for number in value.reshape(-1).tolist()]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _padding(a: Attributes, sizes: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """Starts, then ends, as ONNX writes them."""
    count = len(kernel)
    automatic = _text(a.get("auto_pad", "NOTSET"))
    if automatic in ("NOTSET", "VALID"):
        return list(a.get("pads", [0] * 2 * count)) if automatic == "NOTSET" else [0] * 2 * count
    strides, dilations = a.get("strides", [1] * count), a.get("dilations", [1] * count)
    starts, ends = [], []
    for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max(0, (math.ceil(size / stride) - 1) * stride + (k - 1) * dilation + 1 - size)
        less, more = total // 2, total - total // 2
        upper = automatic == "SAME_UPPER"
        starts.append(less if upper else more)
        ends.append(more if upper else less)
    return starts + ends


def _padded(x: Tensor, pads: Sequence[int], value: float = 0.0) -> Tensor:
    if not any(pads):
        return x
    half = len(pads) // 2
    pairs = [p for axis in reversed(range(half)) for p in (pads[axis], pads[axis + half])]
    return nn.pad(x, pairs, value=value)


def _conv(given: Given, a: Attributes) -> Tensor:
    x, weight, bias = (*given, None)[:3]
    count = weight.ndim - 2
    x = _padded(x, _padding(a, x.shape[2:], weight.shape[2:]))
    return _CONVOLUTIONS[count](
        x, weight, bias, stride=tuple(a.get("strides", [1] * count)),
        dilation=tuple(a.get("dilations", [1] * count)), groups=int(a.get("group", 1)),
    )  # fmt: skip


def _max_pool(given: Given, a: Attributes) -> Tensor:
    (x,), kernel = given[:1], tuple(a["kernel_shape"])
    count = len(kernel)
    x = _padded(x, _padding(a, x.shape[2:], kernel), -math.inf)
    return _MAXIMA[count](
        x, kernel, stride=tuple(a.get("strides", [1] * count)),
        dilation=tuple(a.get("dilations", [1] * count)), ceil_mode=bool(a.get("ceil_mode", 0)),
    )  # fmt: skip


def _average_pool(given: Given, a: Attributes) -> Tensor:
    (x,), kernel = given[:1], tuple(a["kernel_shape"])
    count = len(kernel)
    pads = _padding(a, x.shape[2:], kernel)
    words = {
        "kernel_size": kernel,
        "stride": tuple(a.get("strides", [1] * count)),
        "ceil_mode": bool(a.get("ceil_mode", 0)),
    }
    mean = _MEANS[count](_padded(x, pads), **words)
    if a.get("count_include_pad", 0) or not any(pads):
        return mean
    return mean / _MEANS[count](_padded(torch.ones_like(x), pads), **words)


def _gemm(given: Given, a: Attributes) -> Tensor:
    x, weight, bias = (*given, None)[:3]
    x = x.T if a.get("transA", 0) else x
    weight = weight.T if a.get("transB", 0) else weight
    product = a.get("alpha", 1.0) * (x @ weight)
    return product if bias is None else product + a.get("beta", 1.0) * bias


def _batch_norm(given: Given, a: Attributes) -> Tensor:
    x, scale, bias, mean, variance = given
    return nn.batch_norm(x, mean, variance, scale, bias, eps=a.get("epsilon", 1e-5))


def _layer_norm(given: Given, a: Attributes) -> Tensor:
    x, scale, bias = (*given, None)[:3]
    axis = a.get("axis", -1) % x.ndim
    normal = nn.layer_norm(x, x.shape[axis:], eps=a.get("epsilon", 1e-5)) * scale
    return normal if bias is None else normal + bias


def _reshape(given: Given, a: Attributes) -> Tensor:
    x, shape = given[0], _whole(given[1])
    if not a.get("allowzero", 0):
        shape = [x.shape[n] if size == 0 else size for n, size in enumerate(shape)]
    return x.reshape(shape)


def _flatten(given: Given, a: Attributes) -> Tensor:
    (x,), axis = given, a.get("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _axes(given: Given, a: Attributes) -> tuple[int, ...]:
    if len(given) > 1 and given[1] is not None:
        return tuple(_whole(given[1]))
    return tuple(a.get("axes", ()))


def _reduced(how: Callable[..., Tensor]) -> Callable[[Given, Attributes], Tensor]:
    def run(given: Given, a: Attributes) -> Tensor:
        axes = _axes(given, a) or tuple(range(given[0].ndim))
        return how(given[0], dim=axes, keepdim=bool(a.get("keepdims", 1)))

    return run


def _slice(given: Given, _: Attributes) -> Tensor:
    x, starts, ends = given[0], _whole(given[1]), _whole(given[2])
    axes = _whole(given[3]) if len(given) > 3 and given[3] is not None else range(len(starts))
    steps = _whole(given[4]) if len(given) > 4 and given[4] is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        places = range(
            *slice(start, end if end > -(1 << 60) else None, step).indices(x.shape[axis])
        )
        x = x.index_select(axis, torch.tensor(list(places), dtype=torch.int64))
    return x


def _gather(given: Given, a: Attributes) -> Tensor:
    x, places = given[0], given[1].long()
    axis = a.get("axis", 0) % x.ndim
    places = torch.where(places < 0, places + x.shape[axis], places)
    taken = x.index_select(axis, places.reshape(-1))
    return taken.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


def _unsqueeze(given: Given, a: Attributes) -> Tensor:
    x, axes = given[0], _axes(given, a)
    rank = x.ndim + len(axes)
    for axis in sorted(n % rank for n in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(given: Given, a: Attributes) -> Tensor:
    x, axes = given[0], _axes(given, a)
    return x.squeeze(tuple(axes)) if axes else x.squeeze()


def _split(given: Given, a: Attributes) -> tuple[Tensor, ...]:
    x, axis = given[0], a.get("axis", 0)
    if len(given) > 1 and given[1] is not None:
        return tuple(x.split(_whole(given[1]), dim=axis))
    sizes = a.get("split") or [-(-x.shape[axis] // a["num_outputs"])]
    return tuple(x.split(sizes if len(sizes) > 1 else sizes[0], dim=axis))


def _clip(given: Given, a: Attributes) -> Tensor:
    x, low, high = (*given, None, None)[:3]
    return torch.clamp(
        x, a.get("min") if low is None else low, a.get("max") if high is None else high
    )


def _pad(given: Given, a: Attributes) -> Tensor:
    x, pads = given[0], _whole(given[1])
    value = 0.0 if len(given) < 3 or given[2] is None else float(given[2])
    if _text(a.get("mode", "constant")) != "constant" or len(given) > 3:
        raise NotImplementedError
    return _padded(x, pads, value)


def _filled(given: Given, a: Attributes) -> Tensor:
    value = a.get("value", np.zeros(1, np.float32))
    return torch.from_numpy(value.copy()).expand(_whole(given[0])).clone()


def _expand(given: Given, _: Attributes) -> Tensor:
    shape = torch.broadcast_shapes(tuple(given[0].shape), tuple(_whole(given[1])))
    return given[0].expand(shape)


def _divide(given: Given, _: Attributes) -> Tensor:
    a, b = given
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _softmax(given: Given, a: Attributes) -> Tensor:
    return torch.softmax(given[0], dim=a.get("axis", -1))


def _hard_sigmoid(given: Given, a: Attributes) -> Tensor:
    return torch.clamp(a.get("alpha", 0.2) * given[0] + a.get("beta", 0.5), 0, 1)


def _gelu(given: Given, a: Attributes) -> Tensor:
    return nn.gelu(given[0], approximate=_text(a.get("approximate", "none")))


def _spatial(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


OPERATORS: Final[dict[str, Callable[[Given, Attributes], Any]]] = {
    "Abs": lambda g, _: g[0].abs(),
    "Add": lambda g, _: g[0] + g[1],
    "And": lambda g, _: g[0] & g[1],
    "ArgMax": lambda g, a: g[0].argmax(a.get("axis", 0), keepdim=bool(a.get("keepdims", 1))),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": lambda g, a: g[0].to(_TYPES[a["to"]]),
    "Clip": _clip,
    "Concat": lambda g, a: torch.cat(list(g), dim=a["axis"]),
    "ConstantOfShape": _filled,
    "Conv": _conv,
    "Cos": lambda g, _: g[0].cos(),
    "Div": _divide,
    "Dropout": lambda g, _: g[0],
    "Elu": lambda g, a: nn.elu(g[0], a.get("alpha", 1.0)),
    "Equal": lambda g, _: g[0] == g[1],
    "Erf": lambda g, _: g[0].erf(),
    "Exp": lambda g, _: g[0].exp(),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda g, _: g[0].mean(_spatial(g[0]), keepdim=True),
    "GlobalMaxPool": lambda g, _: g[0].amax(_spatial(g[0]), keepdim=True),
    "Greater": lambda g, _: g[0] > g[1],
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda g, _: nn.hardswish(g[0]),
    "Identity": lambda g, _: g[0],
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda g, a: nn.leaky_relu(g[0], a.get("alpha", 0.01)),
    "Less": lambda g, _: g[0] < g[1],
    "Log": lambda g, _: g[0].log(),
    "LogSoftmax": lambda g, a: torch.log_softmax(g[0], dim=a.get("axis", -1)),
    "MatMul": lambda g, _: torch.matmul(g[0], g[1]),
    "MaxPool": _max_pool,
    "Mish": lambda g, _: nn.mish(g[0]),
    "Mul": lambda g, _: g[0] * g[1],
    "Neg": lambda g, _: -g[0],
    "Not": lambda g, _: ~g[0],
    "PRelu": lambda g, _: torch.where(g[0] < 0, g[0] * g[1], g[0]),
    "Pad": _pad,
    "Pow": lambda g, _: g[0] ** g[1],
    "Range": lambda g, _: torch.arange(*(n.item() for n in g)),
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "Relu": lambda g, _: torch.relu(g[0]),
    "Reshape": _reshape,
    "Selu": lambda g, _: nn.selu(g[0]),
    "Shape": lambda g, a: torch.tensor(list(g[0].shape)[a.get("start", 0) : a.get("end")]),
    "Sigmoid": lambda g, _: torch.sigmoid(g[0]),
    "Sin": lambda g, _: g[0].sin(),
    "Slice": _slice,
    "Softmax": _softmax,
    "Softplus": lambda g, _: nn.softplus(g[0]),
    "Split": _split,
    "Sqrt": lambda g, _: g[0].sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda g, _: g[0] - g[1],
    "Tanh": lambda g, _: torch.tanh(g[0]),
    "Transpose": lambda g, a: g[0].permute(a.get("perm") or list(reversed(range(g[0].ndim)))),
    "Unsqueeze": _unsqueeze,
    "Where": lambda g, _: torch.where(g[0], g[1], g[2]),
}
