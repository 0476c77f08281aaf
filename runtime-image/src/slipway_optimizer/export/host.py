"""What a graph computes of shapes and other small integers, kept out of the tensors. Pure.

A dimension that is open has no number when a model is exported; targets give a symbol for it, on
which Python's operators work. Such values are numpy arrays of objects here, so that ``Shape`` ->
``Gather`` -> ``Concat`` -> ``Reshape`` chains cost the exported model nothing, and stay open.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from slipway_optimizer.arrays import Array
from slipway_optimizer.export.program import Node, dtype_of

MOST: Final = 64  # elements; larger constants are weights
END: Final = 1_000_000_000  # exporters say the end of an axis by numbers from this one on
Arguments = Sequence[Array | None]


def is_host(value: object) -> bool:
    """Whether a value is held here, and not by the target."""
    return isinstance(value, np.ndarray)


def integers(value: Array) -> list[Any]:
    """A list of dimensions: Python numbers, or the target's symbols."""
    return [v if _is_symbol(v) else int(v) for v in value.reshape(-1).tolist()]


def numbers(value: Array) -> list[float]:
    """A list of floats."""
    return [float(v) for v in value.reshape(-1).tolist()]


def known(value: Array) -> bool:
    """Whether every element is a plain number."""
    return value.dtype.kind != "O"


def of_dimensions(dimensions: Sequence[Any]) -> Array:
    """Numbers and symbols as one array."""
    if not any(_is_symbol(d) for d in dimensions):
        return np.asarray([int(d) for d in dimensions], dtype=np.int64)
    held = np.empty(len(dimensions), dtype=object)
    for place, dimension in enumerate(dimensions):
        held[place] = dimension
    return held


def evaluate(node: Node, arguments: Arguments) -> Array | None:
    """The result of a node whose arguments are all held here; ``None``: the target's turn."""
    work = _WORK.get(node.operator)
    if work is None or any(a is not None and a.size > MOST for a in arguments):
        return None
    if not _can_be_said(node, arguments):
        return None
    return _tidy(work(node, arguments))


def _can_be_said(node: Node, arguments: Arguments) -> bool:
    """Whether symbols stand only where Python's operators take them."""
    held = [a for a in arguments[_KNOWN_FROM.get(node.operator, len(arguments)) :] if a is not None]
    if not all(known(a) for a in held):
        return False
    if node.operator == "ConstantOfShape":
        return int(np.prod(_one(arguments), dtype=np.int64)) <= MOST
    if node.operator == "Cast":
        return known(_one(arguments)) or dtype_of(node.get("to")).kind != "f"
    return True


def axes_of(node: Node, arguments: Arguments, place: int = 1) -> tuple[int, ...] | None:
    """Axes: an attribute up to some version of each operator, an input since."""
    held = node.get("axes")
    if held is not None:
        return tuple(held)
    given = arguments[place] if len(arguments) > place else None
    return None if given is None else tuple(integers(given))


def _is_symbol(value: object) -> bool:
    return not isinstance(value, int | float | bool | np.generic)


def _array(value: Any) -> Array:
    """An array of any result; numpy hands out the element of an array without axes."""
    if isinstance(value, np.ndarray) or not _is_symbol(value):
        return np.asarray(value)
    held = np.empty((), dtype=object)
    held[()] = value
    return held


def _tidy(value: Any) -> Array:
    """An array; of numbers again once no symbol is left in it."""
    held = _array(value)
    if held.dtype.kind == "O" and not any(_is_symbol(v) for v in held.reshape(-1).tolist()):
        return held.astype(np.int64)
    return held


def _constant(node: Node, _arguments: Arguments) -> Array:
    for name in ("value", "value_int", "value_ints", "value_float", "value_floats"):
        held = node.get(name)
        if held is not None:
            kind = np.float32 if "float" in name else None
            return np.asarray(held, dtype=kind)
    raise KeyError(node.name)


def _gather(node: Node, arguments: Arguments) -> Array:
    data, places = _two(arguments)
    return _array(np.take(data, places.astype(np.int64), axis=node.get("axis", 0)))


def _concat(node: Node, arguments: Arguments) -> Array:
    return np.concatenate([a for a in arguments if a is not None], axis=node.get("axis", 0))


def _unsqueeze(node: Node, arguments: Arguments) -> Array:
    return np.expand_dims(_one(arguments), axes_of(node, arguments) or ())


def _squeeze(node: Node, arguments: Arguments) -> Array:
    return np.squeeze(_one(arguments), axis=axes_of(node, arguments))


def _slice(node: Node, arguments: Arguments) -> Array:
    data = _one(arguments)
    starts, ends, axes, steps = slice_of(node, arguments)
    cuts = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # numpy's own reading of a negative step's end would be off by a whole axis
        cuts[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return _array(data[tuple(cuts)])


def slice_of(node: Node, arguments: Arguments) -> tuple[list[Any], list[Any], list[int], list[int]]:
    """Starts, ends, axes and steps of a Slice, in its old and its new way."""
    if node.get("starts") is not None:
        starts, ends = list(node.get("starts")), list(node.get("ends"))
        axes, steps = node.get("axes"), None
    else:
        held = [None if a is None else integers(a) for a in arguments[1:]]
        held += [None] * (4 - len(held))
        starts, ends, axes, steps = held[0] or [], held[1] or [], held[2], held[3]
    return (
        starts,
        ends,
        list(range(len(starts))) if axes is None else list(axes),
        [1] * len(starts) if steps is None else list(steps),
    )


def _cast(node: Node, arguments: Arguments) -> Array:
    data, kind = _one(arguments), dtype_of(node.get("to"))
    return data if data.dtype.kind == "O" and kind.kind in "iu" else data.astype(kind)


def _constant_of_shape(node: Node, arguments: Arguments) -> Array:
    value = np.asarray(node.get("value", np.zeros(1, np.float32))).reshape(-1)
    return np.full(integers(_one(arguments)), value[0], dtype=value.dtype)


def _divide(node: Node, arguments: Arguments) -> Array:
    a, b = _two(arguments)
    if a.dtype.kind == "f":
        return _array(a / b)
    return _array(a // b)  # dimensions are never negative


def _range(_node: Node, arguments: Arguments) -> Array:
    first, last, step = (a.item() for a in arguments if a is not None)
    kind = None if arguments[0] is None or arguments[0].dtype.kind == "O" else arguments[0].dtype
    return np.arange(first, last, step, dtype=kind)


def _binary(work: Callable[[Any, Any], Any]) -> Callable[[Node, Arguments], Array]:
    def run(_node: Node, arguments: Arguments) -> Array:
        a, b = _two(arguments)
        return _array(work(a, b))

    return run


def _one(arguments: Arguments) -> Array:
    assert arguments[0] is not None
    return arguments[0]


def _two(arguments: Arguments) -> tuple[Array, Array]:
    assert arguments[1] is not None
    return _one(arguments), arguments[1]


# The first argument from which on no symbol may stand.
_KNOWN_FROM: Final = {
    "ConstantOfShape": 0, "Gather": 1, "Range": 0, "Reshape": 1, "Slice": 1, "Squeeze": 1,
    "Unsqueeze": 1,
}  # fmt: skip
_WORK: Final[dict[str, Callable[[Node, Arguments], Any]]] = {
    "Add": _binary(lambda a, b: a + b),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Gather": _gather,
    "Identity": lambda _node, arguments: _one(arguments),
    "Mul": _binary(lambda a, b: a * b),
    "Range": _range,
    "ReduceProd": lambda node, arguments: np.prod(
        _one(arguments), keepdims=bool(node.get("keepdims", 1))
    ),
    "Reshape": lambda _node, arguments: _one(arguments).reshape(integers(_two(arguments)[1])),
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _binary(lambda a, b: a - b),
    "Unsqueeze": _unsqueeze,
}
