"""Convolutions, pools, norms and resizing in PyTorch."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it

from slipway_optimizer.export.arguments import Arguments, Operator, at, known_numbers
from slipway_optimizer.export.program import Node, Unsupported
from slipway_optimizer.export.spatial import (
    Window,
    nearest_is_floor,
    transposed_padding,
    window,
)
from slipway_optimizer.export.torch_values import tensor

_CONV: Final = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE: Final = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAX_POOL: Final = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def conv(node: Node, arguments: Arguments) -> torch.Tensor:
    """Conv."""
    data, kernel = tensor(arguments[0]), tensor(arguments[1])
    bias = None if at(arguments, 2) is None else tensor(arguments[2])
    shape = window(node, kernel.shape[2:], data.shape[2:])
    padding: Any = shape.before if shape.symmetric else 0
    if not shape.symmetric:
        data = F.pad(data, _torch_pads(shape))
    return _CONV[len(shape.kernel)](
        data, kernel, bias, shape.strides, padding, shape.dilations, node.get("group", 1)
    )  # fmt: skip


def _torch_pads(shape: Window) -> list[Any]:
    pairs = zip(reversed(shape.before), reversed(shape.after), strict=True)
    return [pad for pair in pairs for pad in pair]


def conv_transpose(node: Node, arguments: Arguments) -> torch.Tensor:
    """ConvTranspose."""
    data, kernel = tensor(arguments[0]), tensor(arguments[1])
    bias = None if at(arguments, 2) is None else tensor(arguments[2])
    sizes = tuple(data.shape[2:])
    rank = len(sizes)
    before, after, added = transposed_padding(node, kernel.shape[2:], sizes)
    strides, dilations = node.get("strides", (1,) * rank), node.get("dilations", (1,) * rank)
    whole = _CONV_TRANSPOSE[rank](
        data, kernel, bias, strides, 0, 0, node.get("group", 1), dilations
    )
    # cut by hand: torch knows symmetric cuts only, and wants added < stride
    return F.pad(
        whole,
        [
            cut
            for less, more, extra in zip(
                reversed(before), reversed(after), reversed(added), strict=True
            )
            for cut in (-less, extra - more)
        ],
    )


def max_pool(node: Node, arguments: Arguments) -> Any:
    """MaxPool without indices."""
    if len(node.outputs) > 1:
        raise Unsupported(node.name, "MaxPool with indices")
    data = tensor(arguments[0])
    shape = window(node, node.get("kernel_shape"), data.shape[2:])
    if shape.padded:
        least = -torch.inf if data.is_floating_point() else torch.iinfo(data.dtype).min
        data = F.pad(data, _torch_pads(shape), value=least)
    return _MAX_POOL[len(shape.kernel)](
        data, shape.kernel, shape.strides, 0, shape.dilations, shape.ceil
    )


def average_pool(node: Node, arguments: Arguments) -> torch.Tensor:
    """The sum over windows by the number of elements that count, as a depthwise convolution."""
    data = tensor(arguments[0])
    shape = window(node, node.get("kernel_shape"), data.shape[2:])
    if shape.ceil:
        raise Unsupported(node.name, "AveragePool with ceil_mode")
    rank, channels = len(shape.kernel), data.shape[1]
    ones = torch.ones((1, 1, *shape.kernel), dtype=data.dtype)
    conv = partial(_CONV[rank], stride=shape.strides, dilation=shape.dilations)
    padded = F.pad(data, _torch_pads(shape)) if shape.padded else data
    total = conv(padded, ones.expand(channels, 1, *shape.kernel), groups=channels)
    if not shape.padded or node.get("count_include_pad"):
        return total / int(np.prod(shape.kernel))
    counted = F.pad(torch.ones_like(data[:1, :1]), _torch_pads(shape))
    return total / conv(counted, ones)


def over_pixels(work: Callable[..., torch.Tensor]) -> Operator:
    """Global pools."""

    def run(_node: Node, arguments: Arguments) -> torch.Tensor:
        data = tensor(arguments[0])
        return work(data, dim=tuple(range(2, data.dim())), keepdim=True)

    return run


def batch_norm(node: Node, arguments: Arguments) -> torch.Tensor:
    """BatchNormalization with known statistics."""
    data, scale, bias, mean, variance = (tensor(value) for value in arguments[:5])
    return F.batch_norm(data, mean, variance, scale, bias, eps=node.get("epsilon", 1e-5))


def instance_norm(node: Node, arguments: Arguments) -> torch.Tensor:
    """InstanceNormalization."""
    data, scale, bias = (tensor(value) for value in arguments)
    return F.instance_norm(data, weight=scale, bias=bias, eps=node.get("epsilon", 1e-5))


def layer_norm(node: Node, arguments: Arguments) -> torch.Tensor:
    """LayerNormalization."""
    data, scale = tensor(arguments[0]), tensor(arguments[1])
    bias = None if at(arguments, 2) is None else tensor(arguments[2])
    axis = node.get("axis", -1)
    return F.layer_norm(data, data.shape[axis:], scale, bias, node.get("epsilon", 1e-5))


def resize(node: Node, arguments: Arguments) -> torch.Tensor:
    """Resize and Upsample."""
    data = tensor(arguments[0])
    sizes, scales = _resize_to(node, arguments)
    mode, where = node.get("mode", "nearest"), _coordinates(node)
    if mode == "nearest":
        whole = bool(scales) and all(float(s).is_integer() for s in scales or ())
        if not nearest_is_floor(node, whole=whole):
            raise Unsupported(node.name, f"Resize to nearest, {where}, by fractions")
        return F.interpolate(data, sizes, scales, mode="nearest")
    names = {("linear", 3): "linear", ("linear", 4): "bilinear", ("cubic", 4): "bicubic"}
    name = names.get((mode, data.dim()))
    corners = {"align_corners": True, "half_pixel": False, "pytorch_half_pixel": False}
    odd = bool(node.get("antialias")) or (mode == "cubic" and _cubic(node) != -0.75)
    odd |= where == "pytorch_half_pixel" and 1 in (sizes or ())
    if name is None or where not in corners or odd:
        raise Unsupported(node.name, f"Resize {mode}, {where}")
    if scales and corners[where]:  # torch would align by the scale, ONNX does by the sizes
        if not all(float(scale).is_integer() for scale in scales):
            raise Unsupported(node.name, f"Resize {mode}, {where}, by fractions")
        pairs = zip(data.shape[2:], scales, strict=True)
        sizes, scales = [size * int(scale) for size, scale in pairs], None
    return F.interpolate(data, sizes, scales, mode=name, align_corners=corners[where])


def _cubic(node: Node) -> float:
    return round(float(node.get("cubic_coeff_a", -0.75)), 6)


def _coordinates(node: Node) -> str:
    default = "asymmetric" if node.operator == "Upsample" else "half_pixel"
    return str(node.get("coordinate_transformation_mode", default))


def _resize_to(node: Node, arguments: Arguments) -> tuple[list[Any] | None, list[float] | None]:
    place = 1 if node.operator == "Upsample" else 2
    scales = node.get("scales") or known_numbers(node, arguments, place)
    sizes = known_numbers(node, arguments, 3)
    if node.get("axes") or node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported(node.name, "Resize of chosen axes")
    if sizes:
        return sizes[2:], None
    if not scales or any(float(s) != 1.0 for s in scales[:2]):
        raise Unsupported(node.name, "Resize of other than the last axes")
    return None, [float(s) for s in scales[2:]]


def depth_to_space(node: Node, arguments: Arguments) -> torch.Tensor:
    """DepthToSpace."""
    data, block = tensor(arguments[0]), node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(data, block)
    rows, channels, height, width = data.shape
    parts = data.reshape(rows, block, block, channels // block**2, height, width)
    parts = parts.permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(rows, channels // block**2, height * block, width * block)


def space_to_depth(node: Node, arguments: Arguments) -> torch.Tensor:
    """SpaceToDepth, DCR."""
    if node.get("mode", "DCR") != "DCR":
        raise Unsupported(node.name, "SpaceToDepth CRD")
    data, block = tensor(arguments[0]), node.get("blocksize")
    rows, channels, height, width = data.shape
    parts = data.reshape(rows, channels, height // block, block, width // block, block)
    parts = parts.permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(rows, channels * block**2, height // block, width // block)
