"""Takes channels and layers out of a model. Pure numpy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slipway_optimizer.arrays import Array, Arrays
from slipway_optimizer.training.net import WEIGHTED, Net, Op, renamed
from slipway_optimizer.training.width import Group, Place, flattens, groups

BLOCK: Final = 16  # ONNX Runtime's blocked layout: other counts were measured slower, not faster
Kept = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A smaller model, and what went, for the report."""

    net: Net
    words: tuple[str, ...]


def wanted_channels(size: int, share: float) -> int:
    """How many of ``size`` stay of a ``share`` from 0 to 1: a multiple of 16, never more.

    Worked example: 80 channels, half of them -> 40, the nearest multiple is 32.
    """
    if size <= BLOCK:
        return size
    blocks = max(1, round(size * share / BLOCK))
    return min(size, blocks * BLOCK)


def narrow(net: Net, share: float, importance: Mapping[str, Array]) -> Shrunk:
    """Keep that share of each group's channels, the most important ones.

    Args:
        net: of any width.
        share: from 0 to 1.
        importance: a number for each number of a weight; what a channel is worth is the sum over
            what makes it.
    """
    found, _ = groups(net)
    sizes = {group.name: wanted_channels(group.size, share) for group in found}
    return narrow_to(net, sizes, importance)


def narrow_to(net: Net, sizes: Mapping[str, int], importance: Mapping[str, Array]) -> Shrunk:
    """The same with a number of channels for each group."""
    words = []
    for group in groups(net)[0]:
        count = sizes[group.name]
        if count < group.size:
            net = _without(net, group, kept_channels(group, count, importance))
            words.append(f"{group.name} {group.size} to {count}")
    return Shrunk(net, tuple(words))


def kept_channels(group: Group, count: int, importance: Mapping[str, Array]) -> Kept:
    """The most important channels' numbers, ascending; ties go to the first ones."""
    worth = np.zeros(group.size)
    for place in group.makers:
        value = importance.get(place.weight)
        if value is not None and value.ndim > 1:
            others = tuple(axis for axis in range(value.ndim) if axis != place.axis)
            worth += value.sum(axis=others)
    best = np.argsort(-worth, kind="stable")[:count]
    return np.sort(best).astype(np.int64)


def _without(net: Net, group: Group, kept: Kept) -> Net:
    weights = dict(net.weights)
    for place in (*group.makers, *group.readers):
        weights[place.weight] = _taken(weights[place.weight], place, kept)
    ops = tuple(_resized(op, net.weights, weights) for op in net.ops)
    return replace(net, ops=ops, weights=weights, shapes={})


def _taken(value: Array, place: Place, kept: Kept) -> Array:
    columns = (kept[:, None] * place.repeat + np.arange(place.repeat)).ravel()
    return np.ascontiguousarray(np.take(value, columns, axis=place.axis))


def _resized(op: Op, before: Arrays, after: Arrays) -> Op:
    """Depthwise convolutions count their channels in an attribute; Reshape to rows is Flatten."""
    if op.kind == "Conv" and int(op.attributes.get("group", 1)) > 1:
        old, new = before.get(op.inputs[1]), after.get(op.inputs[1])
        if old is not None and new is not None and old.shape != new.shape:
            return replace(op, attributes={**op.attributes, "group": new.shape[0]})
    return op


def flattened(net: Net) -> Net:
    """Reshapes that make rows, as Flatten: no size of theirs has to follow the channels."""
    ops = tuple(
        replace(op, kind="Flatten", inputs=op.inputs[:1], attributes={"axis": 1})
        if op.kind == "Reshape" and flattens(op, net)
        else op
        for op in net.ops
    )
    return replace(net, ops=ops)


def removable_layers(net: Net) -> tuple[tuple[str, str], ...]:
    """(output, what stands for it instead) of each residual branch, else of each equal layer."""
    branches = []
    for op in net.ops:
        if op.kind == "Add" and not any(name in net.weights for name in op.inputs):
            first, second = op.inputs
            if _stems_from(net, second, first):
                branches.append((op.outputs[0], first))
            elif _stems_from(net, first, second):
                branches.append((op.outputs[0], second))
    if not branches:
        branches = [(op.outputs[0], op.inputs[0]) for op in net.ops if _is_square(op, net)]
    return tuple(pair for pair in branches if pair[0] not in net.outputs)


def shallow(net: Net, share: float) -> Shrunk:
    """Keep that share of the removable layers, evenly spread, the first and the last among them."""
    layers = removable_layers(net)
    gone = [layers[number] for number in _spread(len(layers), share)]
    ops, stands_for = net.ops, dict[str, str]()
    for output, shortcut in gone:
        stands_for[output] = stands_for.get(shortcut, shortcut)
        ops = renamed(ops, output, stands_for[output])
    words = (f"{len(gone)} of {len(layers)} layers left out",) if gone else ()
    return Shrunk(replace(net, ops=ops, shapes={}).pruned_of_dead(), words)


def _spread(count: int, share: float) -> list[int]:
    """Which of ``count`` go when ``share`` stays."""
    stay = max(1, round(count * share))
    kept = {round(n) for n in np.linspace(0, count - 1, stay)} if count else set()
    return [number for number in range(count) if number not in kept]


def _stems_from(net: Net, name: str, ancestor: str) -> bool:
    waiting, seen = [name], set()
    while waiting:
        current = waiting.pop()
        op = net.maker(current)
        for before in () if op is None else op.inputs:
            if before == ancestor:
                return True
            if before not in seen:
                seen.add(before)
                waiting.append(before)
    return False


def _is_square(op: Op, net: Net) -> bool:
    """Whether what comes out has the known shape of what goes in."""
    if op.kind not in WEIGHTED or len(op.inputs) < 2 or op.inputs[1] not in net.weights:
        return False
    inward, outward = net.shapes.get(op.inputs[0]), net.shapes.get(op.outputs[0])
    return inward is not None and inward == outward and all(size > 0 for size in inward[1:])
