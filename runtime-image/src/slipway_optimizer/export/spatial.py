"""Windows of convolutions and pools: the arithmetic that frameworks state differently. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slipway_optimizer.export.program import Node


@dataclass(frozen=True, slots=True)
class Window:
    """One operator's window, per spatial axis.

    Attributes:
        before, after: padding; symbols where the size is open and the padding follows from it.
        ceil: whether pools count a last window that is only partly inside.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[Any, ...]
    after: tuple[Any, ...]
    ceil: bool

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any(not isinstance(p, int) or p for p in (*self.before, *self.after))

    @property
    def symmetric(self) -> bool:
        """Whether both sides have the same known padding."""
        known = all(isinstance(p, int) for p in (*self.before, *self.after))
        return known and self.before == self.after


def window(node: Node, kernel: Sequence[int], sizes: Sequence[Any]) -> Window:
    """The window of a node.

    Args:
        node: a Conv or a pool.
        kernel: its sizes.
        sizes: of the input's spatial axes; may be symbols.
    """
    rank = len(kernel)
    strides = tuple(node.get("strides", (1,) * rank))
    dilations = tuple(node.get("dilations", (1,) * rank))
    pads = tuple(node.get("pads", (0,) * (2 * rank)))
    before, after = pads[:rank], pads[rank:]
    how = node.get("auto_pad", "NOTSET")
    if how in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            same_padding(size, k, stride=s, dilation=d)
            for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True)
        ]
        less = tuple(total // 2 for total in totals)
        more = tuple(total - half for total, half in zip(totals, less, strict=True))
        before, after = (less, more) if how == "SAME_UPPER" else (more, less)
    elif how == "VALID":
        before = after = (0,) * rank
    return Window(
        tuple(kernel), strides, dilations, tuple(before), tuple(after), bool(node.get("ceil_mode"))
    )


def same_padding(size: Any, kernel: int, *, stride: int, dilation: int) -> Any:
    """Padding of an axis so that its output has ``ceil(size / stride)`` elements."""
    extent = (kernel - 1) * dilation + 1
    if stride == 1:
        return extent - 1
    outputs = (size + stride - 1) // stride
    total = (outputs - 1) * stride + extent - size
    return max(0, total) if isinstance(total, int) else total


def transposed_padding(
    node: Node, kernel: Sequence[int], sizes: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Of a ConvTranspose: what is cut before and after, and what is added at the end.

    The operator's own formula: ``stride (size - 1) + added + extent - before - after``.
    """
    rank = len(kernel)
    strides = node.get("strides", (1,) * rank)
    dilations = node.get("dilations", (1,) * rank)
    added = tuple(node.get("output_padding", (0,) * rank))
    pads = tuple(node.get("pads", (0,) * (2 * rank)))
    wanted = node.get("output_shape")
    how = node.get("auto_pad", "NOTSET")
    if wanted is None and how in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(size * stride for size, stride in zip(sizes, strides, strict=True))
    if wanted is None:
        return pads[:rank], pads[rank:], added
    totals = [
        stride * (size - 1) + extra + (k - 1) * dilation + 1 - out
        for stride, size, extra, k, dilation, out in zip(
            strides, sizes, added, kernel, dilations, wanted[-rank:], strict=True
        )
    ]
    less = tuple(total // 2 for total in totals)
    more = tuple(total - half for total, half in zip(totals, less, strict=True))
    return (less, more, added) if how == "SAME_UPPER" else (more, less, added)


def nearest_is_floor(node: Node, *, whole: bool) -> bool:
    """Whether the nearest of Resize is ``floor(place / scale)``, as both frameworks have it.

    Args:
        node: a Resize or Upsample to nearest.
        whole: whether the scales are whole numbers.
    """
    if node.operator == "Upsample":
        return True
    where = node.get("coordinate_transformation_mode", "half_pixel")
    how = node.get("nearest_mode", "round_prefer_floor")
    if where == "asymmetric":
        return bool(how == "floor")
    # no place of a whole half-pixel scale lies half way between two others
    return whole and where in ("half_pixel", "pytorch_half_pixel") and how.startswith("round")
