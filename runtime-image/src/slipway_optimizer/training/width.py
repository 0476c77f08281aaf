"""Which channels belong together, so that they can only go together. Pure.

A channel is made by some weights (an output channel of a Conv, with its bias) and read by others
(an input channel of the next one). Element-wise operators tie the channels of what they combine: a
residual connection makes one group of all its layers. What is not understood keeps its channels.
"""

import math
from dataclasses import dataclass, field
from typing import Final

from slipway_optimizer.training.net import Net, Op

_UNARY: Final = frozenset(
    {"Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Selu", "Clip", "HardSigmoid", "HardSwish"}
    | {"Gelu", "Erf", "Softplus", "Identity", "Dropout", "Neg", "Abs", "Sqrt", "Exp", "Mish"}
)
_SPATIAL: Final = frozenset(
    {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"}
)  # they leave the channels where they are
_BINARY: Final = frozenset({"Add", "Sub", "Mul", "Div", "Pow"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a weight has a group's channels: ``repeat`` neighbours on ``axis`` for each."""

    weight: str
    axis: int
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that can be removed together.

    Attributes:
        name: of the first operator that makes them.
        size: how many there are.
        makers: what computes them; ``readers`` take them in.
    """

    name: str
    size: int
    makers: tuple[Place, ...]
    readers: tuple[Place, ...]


@dataclass(slots=True)
class _Channels:
    """Channels under way; groups grow by union."""

    name: str
    size: int
    makers: list[Place] = field(default_factory=list)
    readers: list[Place] = field(default_factory=list)
    fixed: str | None = None
    parent: "_Channels | None" = None

    def root(self) -> "_Channels":
        node = self
        while node.parent is not None:
            node = node.parent
        return node


@dataclass(frozen=True, slots=True)
class _Held:
    """A tensor's channels: which, on which axis counted from the end, and whether flattened."""

    channels: _Channels
    axis: int
    flat: bool = False


def groups(net: Net) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Every group that can lose channels, and why the others cannot."""
    found = _Walk(net)
    for op in net.ops:
        found.step(op)
    for name in net.outputs:
        found.fix(name, "the model's output")
    roots: dict[int, _Channels] = {}
    for channels in found.made:
        roots.setdefault(id(channels.root()), channels.root())
    found.fix_shared(list(roots.values()))
    free = [c for c in roots.values() if c.fixed is None and c.makers and c.readers]
    kept = tuple(f"{c.name}: {c.fixed}" for c in roots.values() if c.fixed is not None)
    return tuple(Group(c.name, c.size, tuple(c.makers), tuple(c.readers)) for c in free), kept


class _Walk:
    def __init__(self, net: Net) -> None:
        self.net = net
        self.held: dict[str, _Held] = {}
        self.made: list[_Channels] = []

    def step(self, op: Op) -> None:
        if op.kind == "Conv" and op.inputs[1] in self.net.weights:
            self._conv(op)
        elif op.kind in ("Gemm", "MatMul") and self._is_matrix(op):
            self._product(op)
        elif op.kind in _UNARY or op.kind in _SPATIAL:
            self._pass(op, self.held.get(op.inputs[0]))
        elif op.kind == "BatchNormalization":
            self._normalise(op)
        elif op.kind == "PRelu":
            self._slopes(op)
        elif op.kind in _BINARY:
            self._combine(op)
        elif flattens(op, self.net):
            self._flatten(op)
        else:
            for name in op.inputs:
                self.fix(name, f"{op.kind} '{op.name}' reads them")

    def fix(self, name: str, why: str) -> None:
        if name in self.held:
            channels = self.held[name].channels.root()
            channels.fixed = channels.fixed or why

    def fix_shared(self, roots: list[_Channels]) -> None:
        """A weight with two readers would be cut twice."""
        for channels in roots:
            for place in (*channels.makers, *channels.readers):
                if len(self.net.readers(place.weight)) > 1:
                    channels.fixed = channels.fixed or f"'{place.weight}' has several readers"

    def _is_matrix(self, op: Op) -> bool:
        weight = self.net.weights.get(op.inputs[1])
        return weight is not None and weight.ndim == 2 and not op.attributes.get("transA", 0)

    def _conv(self, op: Op) -> None:
        weight = self.net.weights[op.inputs[1]]
        groups_of, out = int(op.attributes.get("group", 1)), weight.shape[0]
        before = self.held.get(op.inputs[0])
        axis = 1 - weight.ndim
        if groups_of > 1:
            if before is not None and groups_of == out == before.channels.root().size:
                # depthwise: what comes in goes out
                self._own(before.channels, op.inputs[1:], 0)
                self.held[op.outputs[0]] = before
                return
            self.fix(op.inputs[0], f"'{op.name}' is a grouped convolution")
            return
        if before is not None:
            self._read(before, Place(op.inputs[1], 1), weight.shape[1])
        self._new(op, out, axis)

    def _product(self, op: Op) -> None:
        weight = self.net.weights[op.inputs[1]]
        out_axis = 0 if op.attributes.get("transB", 0) else 1
        before = self.held.get(op.inputs[0])
        if before is not None:
            if before.axis != -1:
                self.fix(op.inputs[0], f"'{op.name}' multiplies another axis")
            else:
                self._read(before, Place(op.inputs[1], 1 - out_axis), weight.shape[1 - out_axis])
        self._new(op, weight.shape[out_axis], -1, out_axis)

    def _new(self, op: Op, size: int, axis: int, weight_axis: int = 0) -> None:
        channels = _Channels(op.name, size)
        self.made.append(channels)
        channels.makers.append(Place(op.inputs[1], weight_axis))
        bias = op.inputs[2] if len(op.inputs) > 2 else ""
        if bias in self.net.weights:
            self._attach(channels, bias, -1)
        elif bias:
            channels.fixed = f"'{op.name}' adds what is computed"
        self.held[op.outputs[0]] = _Held(channels, axis)

    def _read(self, before: _Held, place: Place, width: int) -> None:
        channels = before.channels.root()
        repeat, rest = divmod(width, channels.size)
        if rest or (repeat > 1 and not before.flat):
            channels.fixed = channels.fixed or f"'{place.weight}' reads them otherwise"
            return
        channels.readers.append(Place(place.weight, place.axis, repeat))

    def _own(self, channels: _Channels, names: tuple[str, ...], axis: int) -> None:
        for name in names:
            if name in self.net.weights:
                channels.root().makers.append(Place(name, axis))

    def _attach(self, channels: _Channels, name: str, axis: int) -> None:
        """A constant that is combined with them: cut too, where it has a number per channel."""
        value = self.net.weights[name]
        if value.ndim < -axis or value.shape[axis] == 1:
            return
        root = channels.root()
        if value.shape[axis] != root.size:
            root.fixed = root.fixed or f"'{name}' does not fit them"
            return
        root.makers.append(Place(name, value.ndim + axis))

    def _pass(self, op: Op, held: _Held | None) -> None:
        if held is not None:
            if op.kind in _SPATIAL and held.axis == -1:
                self.fix(op.inputs[0], f"{op.kind} '{op.name}' reads them")
            self.held[op.outputs[0]] = held

    def _normalise(self, op: Op) -> None:
        held = self.held.get(op.inputs[0])
        if held is not None:
            if held.flat:
                self.fix(op.inputs[0], f"'{op.name}' reads them flattened")
            self._own(held.channels, op.inputs[1:], 0)
            self.held[op.outputs[0]] = held

    def _slopes(self, op: Op) -> None:
        held = self.held.get(op.inputs[0])
        if held is not None and op.inputs[1] in self.net.weights:
            self._attach(held.channels, op.inputs[1], held.axis)
            self.held[op.outputs[0]] = held

    def _combine(self, op: Op) -> None:
        first, second = op.inputs
        for name, other in ((first, second), (second, first)):
            if other in self.net.weights:
                held = self.held.get(name)
                if held is not None:
                    if held.flat and self.net.weights[other].size > 1:
                        self.fix(name, f"'{op.name}' reads them flattened")
                    self._attach(held.channels, other, held.axis)
                    self.held[op.outputs[0]] = held
                return
        a, b = self.held.get(first), self.held.get(second)
        if a is None or b is None or (a.axis, a.flat) != (b.axis, b.flat):
            for name in op.inputs:
                self.fix(name, f"'{op.name}' combines them with something else")
            if a is not None or b is not None:
                self.held[op.outputs[0]] = a or b  # type: ignore[assignment] # one is there
            return
        self._unite(a.channels.root(), b.channels.root(), op)
        self.held[op.outputs[0]] = a

    def _unite(self, a: _Channels, b: _Channels, op: Op) -> None:
        if a is b:
            return
        if a.size != b.size:
            a.fixed = b.fixed = f"'{op.name}' combines {a.size} with {b.size} channels"
            return
        a.makers += b.makers
        a.readers += b.readers
        a.fixed = a.fixed or b.fixed
        b.parent = a

    def _flatten(self, op: Op) -> None:
        held = self.held.get(op.inputs[0])
        if held is None:
            return
        if held.axis == -1:
            self.held[op.outputs[0]] = held
        else:
            self.held[op.outputs[0]] = _Held(held.channels, -1, flat=True)


def flattens(op: Op, net: Net) -> bool:
    """Whether it makes rows of everything behind the batch."""
    if op.kind == "Flatten":
        return int(op.attributes.get("axis", 1)) == 1
    if op.kind != "Reshape" or op.inputs[1] not in net.weights:
        return False
    shape, known = net.weights[op.inputs[1]].ravel(), net.shapes.get(op.inputs[0], ())
    if len(shape) != 2 or len(known) < 3 or min(known[1:]) < 1:
        return False
    batch, width = int(shape[0]), int(shape[1])
    return (batch in (-1, 0, known[0]) and width == math.prod(known[1:])) or (
        batch in (0, known[0]) and width == -1
    )
