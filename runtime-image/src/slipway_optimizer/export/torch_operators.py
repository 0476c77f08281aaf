"""ONNX operators in PyTorch: the table, and arithmetic element by element.

An argument is a tensor, a numpy array that is held by the host (``host.py``), or ``None`` where an
optional input was left out. An operator answers with one value or with a list of them.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it

from slipway_optimizer.export import host
from slipway_optimizer.export import torch_layers as layers
from slipway_optimizer.export import torch_moves as moves
from slipway_optimizer.export.arguments import Arguments, Operator, at
from slipway_optimizer.export.program import Node, Unsupported
from slipway_optimizer.export.torch_values import kind_of, tensor


def _unary(work: Callable[[torch.Tensor], Any]) -> Operator:
    return lambda _node, arguments: work(tensor(arguments[0]))


def _binary(work: Callable[[torch.Tensor, torch.Tensor], Any]) -> Operator:
    return lambda _node, arguments: work(tensor(arguments[0]), tensor(arguments[1]))


def _variadic(work: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Operator:
    def run(_node: Node, arguments: Arguments) -> torch.Tensor:
        first, *others = [tensor(value) for value in arguments]
        for other in others:
            first = work(first, other)
        return first

    return run


def _divide(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _mod(node: Node, arguments: Arguments) -> torch.Tensor:
    work = torch.fmod if node.get("fmod") else torch.remainder
    return work(tensor(arguments[0]), tensor(arguments[1]))


def _clip(_node: Node, arguments: Arguments) -> torch.Tensor:
    value = tensor(arguments[0])
    for place, bound in ((1, torch.maximum), (2, torch.minimum)):
        limit = at(arguments, place)
        if limit is not None:
            value = bound(value, tensor(limit).to(value.dtype))
    return value


def _old_clip(node: Node, arguments: Arguments) -> torch.Tensor:
    if len(arguments) > 1:
        return _clip(node, arguments)
    return torch.clamp(tensor(arguments[0]), node.get("min"), node.get("max"))


def _cast(node: Node, arguments: Arguments) -> torch.Tensor:
    return tensor(arguments[0]).to(kind_of(node.get("to")))


def _gemm(node: Node, arguments: Arguments) -> torch.Tensor:
    a, b = tensor(arguments[0]), tensor(arguments[1])
    a = a.transpose(0, 1) if node.get("transA") else a
    b = b.transpose(0, 1) if node.get("transB") else b
    product = a @ b
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    product = product if alpha == 1.0 else product * alpha
    bias = at(arguments, 2)
    if bias is None:
        return product
    return product + (tensor(bias) if beta == 1.0 else tensor(bias) * beta)


def _reduce(work: Callable[..., torch.Tensor], *, whole: bool = False) -> Operator:
    def run(node: Node, arguments: Arguments) -> torch.Tensor:
        data, keep = tensor(arguments[0]), bool(node.get("keepdims", 1))
        axes = host.axes_of(node, arguments)
        if not axes:
            if node.get("noop_with_empty_axes"):
                return data
            axes = tuple(range(data.dim()))
        if not whole:
            return work(data, dim=axes, keepdim=keep)
        for axis in sorted((a % data.dim() for a in axes), reverse=True):
            data = work(data, dim=axis, keepdim=keep)
        return data

    return run


def _mean(data: torch.Tensor, *, dim: Any, keepdim: bool) -> torch.Tensor:
    return torch.mean(data, dim=dim, keepdim=keepdim)


def _arg(work: Callable[..., torch.Tensor]) -> Operator:
    def run(node: Node, arguments: Arguments) -> torch.Tensor:
        if node.get("select_last_index"):
            raise Unsupported(node.name, f"{node.operator} of the last index")
        axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
        return work(tensor(arguments[0]), dim=axis, keepdim=keep)

    return run


def _softmax(work: Callable[..., torch.Tensor]) -> Operator:
    return lambda node, arguments: work(tensor(arguments[0]), dim=node.get("axis", -1))


def _prelu(_node: Node, arguments: Arguments) -> torch.Tensor:
    data, slope = tensor(arguments[0]), tensor(arguments[1])
    return torch.where(data < 0, data * slope, data)


def _gelu(node: Node, arguments: Arguments) -> torch.Tensor:
    return F.gelu(tensor(arguments[0]), approximate=node.get("approximate", "none"))


def _hard_sigmoid(node: Node, arguments: Arguments) -> torch.Tensor:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    return torch.clamp(tensor(arguments[0]) * alpha + beta, 0, 1)


def _is_inf(node: Node, arguments: Arguments) -> torch.Tensor:
    data, no = tensor(arguments[0]), torch.zeros((), dtype=torch.bool)
    above = torch.isposinf(data) if node.get("detect_positive", 1) else no
    below = torch.isneginf(data) if node.get("detect_negative", 1) else no
    return above | below


def _selu(node: Node, arguments: Arguments) -> torch.Tensor:
    alpha, gamma = node.get("alpha", 1.67326319), node.get("gamma", 1.05070102)
    return F.elu(tensor(arguments[0]), alpha) * gamma


def _where(_node: Node, arguments: Arguments) -> torch.Tensor:
    return torch.where(tensor(arguments[0]).bool(), tensor(arguments[1]), tensor(arguments[2]))


def _einsum(node: Node, arguments: Arguments) -> torch.Tensor:
    return torch.einsum(node.get("equation"), *(tensor(value) for value in arguments))


OPERATORS: Final[dict[str, Operator]] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(torch.add),
    "And": _binary(torch.logical_and),
    "ArgMax": _arg(torch.argmax),
    "ArgMin": _arg(torch.argmin),
    "AveragePool": layers.average_pool,
    "BatchNormalization": layers.batch_norm,
    "Cast": _cast,
    "CastLike": lambda _n, a: tensor(a[0]).to(tensor(a[1]).dtype),
    "Ceil": _unary(torch.ceil),
    "Clip": _old_clip,
    "Concat": moves.concat,
    "ConstantOfShape": moves.constant_of_shape,
    "Conv": layers.conv,
    "ConvTranspose": layers.conv_transpose,
    "Cos": _unary(torch.cos),
    "CumSum": moves.cumulative_sum,
    "DepthToSpace": layers.depth_to_space,
    "Div": _binary(_divide),
    "Dropout": _unary(lambda value: value),
    "Einsum": _einsum,
    "Elu": lambda n, a: F.elu(tensor(a[0]), n.get("alpha", 1.0)),
    "Equal": _binary(torch.eq),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Expand": moves.expand,
    "Flatten": moves.flatten,
    "Floor": _unary(torch.floor),
    "Gather": moves.gather,
    "GatherElements": moves.gather_elements,
    "GatherND": moves.gather_nd,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": layers.over_pixels(torch.mean),
    "GlobalMaxPool": layers.over_pixels(torch.amax),
    "Greater": _binary(torch.gt),
    "GreaterOrEqual": _binary(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(F.hardswish),
    "Identity": _unary(lambda value: value),
    "InstanceNormalization": layers.instance_norm,
    "IsInf": _is_inf,
    "IsNaN": _unary(torch.isnan),
    "LayerNormalization": layers.layer_norm,
    "LeakyRelu": lambda n, a: F.leaky_relu(tensor(a[0]), n.get("alpha", 0.01)),
    "Less": _binary(torch.lt),
    "LessOrEqual": _binary(torch.le),
    "Log": _unary(torch.log),
    "LogSoftmax": _softmax(torch.log_softmax),
    "MatMul": _binary(torch.matmul),
    "Max": _variadic(torch.maximum),
    "MaxPool": layers.max_pool,
    "Min": _variadic(torch.minimum),
    "Mish": _unary(F.mish),
    "Mod": _mod,
    "Mul": _binary(torch.mul),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "OneHot": moves.one_hot,
    "Or": _binary(torch.logical_or),
    "PRelu": _prelu,
    "Pad": moves.pad,
    "Pow": _binary(lambda a, b: torch.pow(a, b).to(a.dtype)),
    "Range": moves.number_range,
    "Reciprocal": _unary(torch.reciprocal),
    "ReduceL1": _reduce(lambda v, dim, keepdim: v.abs().sum(dim, keepdim)),
    "ReduceL2": _reduce(lambda v, dim, keepdim: v.square().sum(dim, keepdim).sqrt()),
    "ReduceLogSumExp": _reduce(torch.logsumexp),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(_mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceProd": _reduce(torch.prod, whole=True),
    "ReduceSum": _reduce(torch.sum),
    "ReduceSumSquare": _reduce(lambda v, dim, keepdim: v.square().sum(dim, keepdim)),
    "Relu": _unary(torch.relu),
    "Reshape": moves.reshape,
    "Resize": layers.resize,
    "Round": _unary(torch.round),
    "ScatterND": moves.scatter_nd,
    "Selu": _selu,
    "Sigmoid": _unary(torch.sigmoid),
    "Sign": _unary(torch.sign),
    "Sin": _unary(torch.sin),
    "Size": moves.size,
    "Slice": moves.cut,
    "Softmax": _softmax(torch.softmax),
    "Softplus": _unary(F.softplus),
    "Softsign": _unary(F.softsign),
    "SpaceToDepth": layers.space_to_depth,
    "Split": moves.split,
    "Sqrt": _unary(torch.sqrt),
    "Squeeze": moves.squeeze,
    "Sub": _binary(torch.sub),
    "Sum": _variadic(torch.add),
    "Tanh": _unary(torch.tanh),
    "Tile": moves.tile,
    "TopK": moves.top_k,
    "Transpose": moves.transpose,
    "Trilu": moves.triangle,
    "Unsqueeze": moves.unsqueeze,
    "Upsample": layers.resize,
    "Where": _where,
    "Xor": _binary(torch.logical_xor),
}
