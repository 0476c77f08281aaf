"""A net that PyTorch trains, and what INT8 would make of it. An owner file of torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from slipway_optimizer.arrays import Array, Arrays
from slipway_optimizer.export import host, walk
from slipway_optimizer.export.program import Node, Unsupported
from slipway_optimizer.export.torch_operators import OPERATORS
from slipway_optimizer.export.torch_values import tensor
from slipway_optimizer.failures import Refused
from slipway_optimizer.training.net import Net, trained

Tensor = Any
_LEAST_SCALE: Final = 1e-8


@dataclass(frozen=True, slots=True)
class Rounding:
    """Quantisation to learn with: what static QDQ would round.

    Attributes:
        ranges: of each activation that is rounded to 8 bits without sign: least and greatest.
        axes: weights that are rounded to 8 bits with sign -> the axis of their channels, which
            have a scale each; ``None`` for one scale.
        limit: of the rounded weights: 127, or 64 where 8-bit products saturate.
    """

    ranges: Mapping[str, tuple[float, float]]
    axes: Mapping[str, int | None]
    limit: int = 127


class TorchNet(torch.nn.Module):  # type: ignore[misc] # torch has no types here
    """Runs the operators of a ``Net``; its weights are parameters, all else is constant."""

    def __init__(self, net: Net) -> None:
        """Take over the weights.

        Raises:
            Refused: ``NotTrainable`` for an operator that has no counterpart here.
        """
        super().__init__()
        unknown = sorted({op.kind for op in net.ops} - {*OPERATORS, "Shape"})
        if unknown:
            raise _not_trainable(f"the model uses {', '.join(unknown)}")
        self.net = net
        self._nodes = tuple(
            Node(op.name, op.kind, op.inputs, op.outputs, dict(op.attributes)) for op in net.ops
        )
        self._names = {name: f"w{n}" for n, name in enumerate(trained(net))}
        for name, slot in self._names.items():
            values = torch.from_numpy(net.weights[name].copy())
            self.register_parameter(slot, torch.nn.Parameter(values))
        self._fixed = {
            name: value if value.size <= host.MOST else torch.from_numpy(value.copy())
            for name, value in net.weights.items()
            if name not in self._names
        }
        self.rounding: Rounding | None = None

    def parameter(self, name: str) -> Tensor:
        """The parameter of that name in the graph."""
        return getattr(self, self._names[name])

    @property
    def names(self) -> tuple[str, ...]:
        """Of all parameters."""
        return tuple(self._names)

    @property
    def values(self) -> Arrays:
        """The parameters as they are now."""
        return {name: self.parameter(name).detach().numpy().copy() for name in self._names}

    def restore(self, values: Arrays) -> None:
        """Take parameters back."""
        with torch.no_grad():
            for name, value in values.items():
                self.parameter(name).copy_(torch.from_numpy(value))

    def forward(self, feed: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
        """Compute the wanted tensors.

        Raises:
            Refused: ``NotTrainable`` for a way of using an operator that is not known here.
        """
        held: dict[str, Any] = dict(self._fixed)
        held.update({name: self._weight(name) for name in self._names})
        for name, value in feed.items():
            held[name] = self._rounded(name, value)
        for node in self._nodes:
            given = [held[name] if name else None for name in node.inputs]
            try:
                made = walk.step(node, given, OPERATORS, _sizes)
            except Unsupported as error:
                raise _not_trainable(error.what) from error
            for name, value in zip(node.outputs, made, strict=False):
                held[name] = self._rounded(name, value)
        return {name: tensor(held[name]) for name in set(wanted)}

    def _weight(self, name: str) -> Tensor:
        value, rounding = self.parameter(name), self.rounding
        if rounding is None or name not in rounding.axes:
            return value
        axis, limit, size = rounding.axes[name], rounding.limit, value.detach().abs()
        if axis is None:
            scale = max(float(size.max()) / limit, _LEAST_SCALE)
            return torch.fake_quantize_per_tensor_affine(value, scale, 0, -limit, limit)
        others = tuple(n for n in range(value.ndim) if n != axis)
        scales = (size.amax(others) / limit).clamp(min=_LEAST_SCALE)
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(value, scales, zeros, axis, -limit, limit)

    def _rounded(self, name: str, value: Any) -> Any:
        """Through 8 bits and back; gradients pass as if nothing had been rounded."""
        if self.rounding is None or name not in self.rounding.ranges:
            return value
        least, greatest = self.rounding.ranges[name]
        least, greatest = min(least, 0.0), max(greatest, 0.0)
        scale = max((greatest - least) / 255, _LEAST_SCALE)
        value = tensor(value)
        return torch.fake_quantize_per_tensor_affine(value, scale, round(-least / scale), 0, 255)


def _sizes(value: Tensor) -> list[int]:
    return list(value.shape)


def _not_trainable(what: str) -> Refused:
    return Refused(
        "NotTrainable",
        f"{what}, which cannot be trained here: leave out training, distillation and structured "
        "pruning, or train it in its framework",
    )


def feed_of(inputs: Arrays, rows: Any) -> dict[str, Tensor]:
    """Those rows of the inputs, as tensors."""
    return {name: torch.from_numpy(value[rows]) for name, value in inputs.items()}


def answers(net: TorchNet, inputs: Arrays, tensors: Iterable[str], *, batch: int) -> list[Array]:
    """What it computes of all rows, without gradients."""
    asked = tuple(tensors)
    count = len(next(iter(inputs.values())))
    parts: list[list[Array]] = [[] for _ in asked]
    with torch.no_grad():
        for start in range(0, count, batch):
            made = net(feed_of(inputs, slice(start, start + batch)), asked)
            for part, name in zip(parts, asked, strict=True):
                part.append(made[name].numpy())
    return [np.concatenate(part) for part in parts]


def ranges_of(
    net: TorchNet, inputs: Arrays, tensors: Iterable[str], *, batch: int
) -> dict[str, tuple[float, float]]:
    """Least and greatest value of each tensor over all rows, nothing rounded."""
    asked = tuple(tensors)
    held, net.rounding = net.rounding, None
    count = len(next(iter(inputs.values())))
    found: dict[str, tuple[float, float]] = {}
    with torch.no_grad():
        for start in range(0, count, batch):
            feed = feed_of(inputs, slice(start, start + batch))
            made = net(feed, [name for name in asked if name not in feed])
            for name in asked:
                value = feed[name] if name in feed else made[name]
                low, high = found.get(name, (0.0, 0.0))
                found[name] = (min(low, float(value.min())), max(high, float(value.max())))
    net.rounding = held
    return found
