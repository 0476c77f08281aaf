"""What operators of every target ask of their arguments. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from slipway_optimizer.export import host
from slipway_optimizer.export.program import Node, Unsupported

Arguments = Sequence[Any]
Operator = Callable[[Node, Arguments], Any]


def at(arguments: Arguments, place: int) -> Any:
    """The argument of that place; ``None`` where it was left out."""
    return arguments[place] if len(arguments) > place else None


def known_numbers(node: Node, arguments: Arguments, place: int) -> list[Any] | None:
    """An input that must be known when the model is exported: numbers and symbols.

    Raises:
        Refused: it is computed at run time.
    """
    value = at(arguments, place)
    if value is None:
        return None
    if not host.is_host(value):
        raise Unsupported(node.name, f"{node.operator} with input {place} computed at run time")
    return host.integers(value) if value.dtype.kind != "f" else host.numbers(value)


def whole_shape(wanted: list[Any], data: Sequence[Any], *, zero_is_zero: bool) -> list[Any]:
    """Reshape's target, with what 0 stands for."""
    if zero_is_zero:
        return wanted
    return [
        data[place] if isinstance(size, int) and size == 0 else size
        for place, size in enumerate(wanted)
    ]


def expanded(wanted: list[Any], data: Sequence[Any]) -> list[Any]:
    """Expand's result: both broadcast; an open wanted size stands for itself."""
    rank = max(len(wanted), len(data))
    wanted = [1] * (rank - len(wanted)) + list(wanted)
    held = [1] * (rank - len(data)) + list(data)
    return [h if isinstance(w, int) and w == 1 else w for w, h in zip(wanted, held, strict=True)]


def split_sizes(node: Node, arguments: Arguments, size: Any) -> list[Any]:
    """Sizes of Split's outputs, in its three ways."""
    sizes = node.get("split") or known_numbers(node, arguments, 1)
    if sizes is not None:
        return list(sizes)
    count = len(node.outputs)
    each = (size + count - 1) // count
    return [each] * (count - 1) + [size - each * (count - 1)]
