"""Reshaping, slicing and gathering in PyTorch."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it

from slipway_optimizer.export import host
from slipway_optimizer.export.arguments import (
    Arguments,
    expanded,
    known_numbers,
    split_sizes,
    whole_shape,
)
from slipway_optimizer.export.program import Node, Unsupported
from slipway_optimizer.export.torch_values import tensor


def reshape(node: Node, arguments: Arguments) -> torch.Tensor:
    """Reshape."""
    data, wanted = tensor(arguments[0]), known_numbers(node, arguments, 1) or []
    zero = bool(node.get("allowzero"))
    wanted = whole_shape(wanted, data.shape, zero_is_zero=zero)
    return data.reshape(wanted)


def flatten(node: Node, arguments: Arguments) -> torch.Tensor:
    """Flatten into two axes."""
    data, axis = tensor(arguments[0]), node.get("axis", 1)
    axis = axis % data.dim() if axis < 0 else axis
    if axis == 0:
        return data.reshape(1, -1)
    return data.flatten(axis).flatten(0, axis - 1) if axis < data.dim() else data.reshape(-1, 1)


def transpose(node: Node, arguments: Arguments) -> torch.Tensor:
    """Transpose."""
    data = tensor(arguments[0])
    return data.permute(node.get("perm") or tuple(reversed(range(data.dim()))))


def squeeze(node: Node, arguments: Arguments) -> torch.Tensor:
    """Squeeze."""
    data, axes = tensor(arguments[0]), host.axes_of(node, arguments)
    if axes is None:
        return data.squeeze()
    return data.squeeze(tuple(axes))


def unsqueeze(node: Node, arguments: Arguments) -> torch.Tensor:
    """Unsqueeze."""
    data, axes = tensor(arguments[0]), host.axes_of(node, arguments) or ()
    rank = data.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        data = data.unsqueeze(axis)
    return data


def concat(node: Node, arguments: Arguments) -> torch.Tensor:
    """Concat."""
    return torch.cat([tensor(value) for value in arguments], dim=node.get("axis"))


def split(node: Node, arguments: Arguments) -> list[torch.Tensor]:
    """Split."""
    data, axis = tensor(arguments[0]), node.get("axis", 0)
    return list(torch.split(data, split_sizes(node, arguments, data.shape[axis]), dim=axis))


def cut(node: Node, arguments: Arguments) -> torch.Tensor:
    """Slice."""
    data = tensor(arguments[0])
    for place in range(1, 5):
        known_numbers(node, arguments, place)
    for start, end, axis, step in zip(*host.slice_of(node, arguments), strict=True):
        if step < 0:
            if step == -1 and start in (-1, data.shape[axis] - 1) and end < -data.shape[axis]:
                data = data.flip(axis)
                continue
            raise Unsupported(node.name, "Slice backwards in part")
        cuts = [slice(None)] * data.dim()
        to_the_end = isinstance(end, int) and end >= host.END
        cuts[axis] = slice(start, None if to_the_end else end, step)
        data = data[tuple(cuts)]
    return data


def gather(node: Node, arguments: Arguments) -> torch.Tensor:
    """Gather; negative places count from the end."""
    data, axis = tensor(arguments[0]), node.get("axis", 0)
    axis = axis % data.dim()
    places = tensor(arguments[1]).to(torch.int64)
    if host.is_host(arguments[1]) and host.known(arguments[1]):
        if arguments[1].ndim == 0:
            return data.select(axis, int(arguments[1]))
    else:
        places = torch.where(places < 0, places + data.shape[axis], places)
    found = data.index_select(axis, places.reshape(-1) % data.shape[axis])
    return found.reshape((*data.shape[:axis], *places.shape, *data.shape[axis + 1 :]))


def gather_elements(node: Node, arguments: Arguments) -> torch.Tensor:
    """GatherElements."""
    data, axis, places = tensor(arguments[0]), node.get("axis", 0), tensor(arguments[1])
    places = torch.where(places < 0, places + data.shape[axis], places)
    return torch.gather(data, axis, places.to(torch.int64))


def gather_nd(node: Node, arguments: Arguments) -> torch.Tensor:
    """GatherND."""
    data, places = tensor(arguments[0]), tensor(arguments[1])
    if node.get("batch_dims"):
        raise Unsupported(node.name, "GatherND with batch_dims")
    return data[tuple(places[..., n] for n in range(places.shape[-1]))]


def scatter_nd(node: Node, arguments: Arguments) -> torch.Tensor:
    """ScatterND that replaces."""
    if node.get("reduction", "none") != "none":
        raise Unsupported(node.name, "ScatterND with a reduction")
    data, places, updates = (tensor(value) for value in arguments)
    places = tuple(places[..., n] for n in range(places.shape[-1]))
    return data.index_put(places, updates)


def expand(node: Node, arguments: Arguments) -> torch.Tensor:
    """Expand."""
    data, wanted = tensor(arguments[0]), known_numbers(node, arguments, 1) or []
    return data.expand(expanded(wanted, data.shape))


def tile(node: Node, arguments: Arguments) -> torch.Tensor:
    """Tile."""
    return tensor(arguments[0]).repeat(known_numbers(node, arguments, 1) or [])


def pad(node: Node, arguments: Arguments) -> torch.Tensor:
    """Pad."""
    data = tensor(arguments[0])
    pads = list(node.get("pads") or known_numbers(node, arguments, 1) or [])
    axes = known_numbers(node, arguments, 3) or range(len(pads) // 2)
    half = len(pads) // 2
    by_axis = {axis % data.dim(): (pads[n], pads[half + n]) for n, axis in enumerate(axes)}
    mode = node.get("mode", "constant")
    flat = [p for axis in reversed(range(data.dim())) for p in by_axis.get(axis, (0, 0))]
    if mode == "constant":
        held = known_numbers(node, arguments, 2)
        value = held[0] if held else node.get("value", 0.0)
        return F.pad(data, flat, value=value)
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    names = {"edge": "replicate", "reflect": "reflect"}
    if mode not in names:
        raise Unsupported(node.name, f"Pad {mode}")
    return F.pad(data, flat, mode=names[mode])


def constant_of_shape(node: Node, arguments: Arguments) -> torch.Tensor:
    """ConstantOfShape of more than the host holds."""
    value = np.asarray(node.get("value", np.zeros(1, np.float32))).reshape(-1)
    sizes = known_numbers(node, arguments, 0) or []
    return torch.full(sizes, value[0].item(), dtype=torch.from_numpy(value.copy()).dtype)


def number_range(node: Node, arguments: Arguments) -> torch.Tensor:
    """Range."""
    first, last, step = ((known_numbers(node, arguments, n) or [0])[0] for n in range(3))
    kind = torch.int64
    if host.known(arguments[0]):
        kind = tensor(arguments[0]).dtype
    return torch.arange(first, last, step, dtype=kind)


def top_k(node: Node, arguments: Arguments) -> list[torch.Tensor]:
    """TopK."""
    count = node.get("k") or (known_numbers(node, arguments, 1) or [1])[0]
    found = torch.topk(
        tensor(arguments[0]), count, dim=node.get("axis", -1),
        largest=bool(node.get("largest", 1)), sorted=True,
    )  # fmt: skip
    return [found.values, found.indices]


def cumulative_sum(node: Node, arguments: Arguments) -> torch.Tensor:
    """CumSum."""
    axis = (known_numbers(node, arguments, 1) or [0])[0]
    if node.get("exclusive") or node.get("reverse"):
        raise Unsupported(node.name, "CumSum exclusive or reversed")
    data = tensor(arguments[0])
    return torch.cumsum(data, dim=axis).to(data.dtype)


def triangle(node: Node, arguments: Arguments) -> torch.Tensor:
    """Trilu."""
    diagonal = (known_numbers(node, arguments, 1) or [0])[0]
    work = torch.triu if node.get("upper", 1) else torch.tril
    return work(tensor(arguments[0]), diagonal)


def one_hot(node: Node, arguments: Arguments) -> torch.Tensor:
    """OneHot."""
    if node.get("axis", -1) != -1:
        raise Unsupported(node.name, "OneHot inside")
    depth = (known_numbers(node, arguments, 1) or [1])[0]
    depth = int(depth) if isinstance(depth, float) else depth
    places, (off, on) = tensor(arguments[0]).to(torch.int64), tensor(arguments[2])
    places = torch.where(places < 0, places + depth, places)  # what is out of range hits nothing
    hit = places.unsqueeze(-1) == torch.arange(depth)
    return torch.where(hit, on, off)


def size(_node: Node, arguments: Arguments) -> torch.Tensor:
    """Size."""
    return torch.scalar_tensor(tensor(arguments[0]).numel(), dtype=torch.int64)
