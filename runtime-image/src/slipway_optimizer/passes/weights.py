"""Weights in fewer bits on disk, unpacked to fp32 when the model is loaded. An owner file of onnx.

ONNX Runtime folds what depends on initialisers only, so the unpacking runs once, at load, and every
inference is as fast as fp32: a recipe for size, for any operator.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from slipway_optimizer.arrays import Array
from slipway_optimizer.quantizer import Coded, encode, rounded, sqnr_of

LEAST_ELEMENTS: Final = 1024  # below it, the unpacking takes more bytes than it saves
_LAST_AXIS: Final = frozenset({"MatMul", "FusedMatMul"})
_BINS: Final = 41
_DRAWN: Final = 1 << 22  # elements, about, that a distribution is drawn from
_LEAST_SPARSITY: Final = 0.1
_INT32, _FLOAT = onnx.TensorProto.INT32, onnx.TensorProto.FLOAT


@dataclass(frozen=True, slots=True)
class TensorError:
    """What storing a tensor in fewer bits cost.

    Attributes:
        sqnr_db: of the stored values against the original ones.
        zeros: share of zeros in what is stored.
        before, after: how many of the values lie in each of 41 equal bins from ``-limit`` to
            ``limit``, the largest magnitude.
    """

    name: str
    shape: tuple[int, ...]
    sqnr_db: float
    zeros: float
    limit: float
    before: tuple[int, ...]
    after: tuple[int, ...]


def store_in_bits(model: onnx.ModelProto, bits: int) -> tuple[TensorError, ...]:
    """Replace large fp32 weights, in place, by 16 (half precision), 8, 4, 2 or 1 bit each."""
    axes = _channel_axes(model)
    builder = _Builder(model)
    errors = []
    for tensor, values in list(large_weights(model)):
        if bits == 16:
            half = np.clip(values, -65504, 65504).astype(np.float16)
            builder.half(tensor, half)
            stored = half.astype(np.float32)
        elif values.ndim < 2:
            continue
        else:
            coded = encode(values, axis=axes.get(tensor.name, 0), bits=bits)
            builder.coded(tensor, coded)
            stored = coded.decoded
        errors.append(error_of(tensor.name, values, stored))
    builder.finish()
    return tuple(errors)


def store_sparse(model: onnx.ModelProto) -> tuple[TensorError, ...]:
    """Replace large fp32 weights with zeros, in place, by a bit mask and the other values."""
    builder = _Builder(model)
    errors = []
    for tensor, values in list(large_weights(model)):
        if float((values == 0).mean()) >= _LEAST_SPARSITY:
            builder.sparse(tensor, values)
            errors.append(error_of(tensor.name, values, values))
    builder.finish()
    return tuple(errors)


def large_weights(model: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, NDArray[np.float32]]]:
    """The main graph's fp32 initialisers that are worth it, with their values."""
    outputs = {value.name for value in model.graph.output}
    for tensor in model.graph.initializer:
        large = int(np.prod(tensor.dims)) >= LEAST_ELEMENTS
        if tensor.data_type == _FLOAT and large and tensor.name not in outputs:
            yield tensor, numpy_helper.to_array(tensor)


def int8_errors(
    model: onnx.ModelProto, operators: tuple[str, ...], exclude: tuple[str, ...]
) -> tuple[TensorError, ...]:
    """What Q(x) = round(x s) / s with 8 bits per channel costs the weights of these operators."""
    axes = _channel_axes(model)
    read = {
        name
        for node in model.graph.node
        if node.op_type in operators and node.name not in exclude
        for name in node.input[1:2]
    }
    return tuple(
        error_of(tensor.name, values, rounded(values, axis=axes.get(tensor.name, 0)))
        for tensor, values in large_weights(model)
        if tensor.name in read and values.ndim > 1
    )


def error_of(name: str, values: Array, stored: Array) -> TensorError:
    """Compare what is stored with what was there."""
    limit = max(float(values.max()), -float(values.min())) or 1.0
    step = max(1, values.size // _DRAWN)
    before, after = (
        tuple(int(n) for n in np.histogram(np.clip(v, -limit, limit), _BINS, (-limit, limit))[0])
        for v in (values.ravel()[::step], stored.ravel()[::step])
    )
    return TensorError(
        name=name,
        shape=tuple(values.shape),
        sqnr_db=sqnr_of(values, stored),
        zeros=float((stored == 0).mean()),
        limit=limit,
        before=before,
        after=after,
    )


def _channel_axes(model: onnx.ModelProto) -> dict[str, int]:
    """Weight -> axis of the output channels, by the operator that reads it; others have 0."""
    axes = {}
    for node in model.graph.node:
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        if (node.op_type in _LAST_AXIS or (node.op_type == "Gemm" and not transposed)) and (
            len(node.input) > 1
        ):
            axes[node.input[1]] = -1
    return axes


class _Builder:
    """Collects the unpacking nodes; each ends in the name that its readers know."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, Array] = {}
        self._gone: set[str] = set()

    def half(self, tensor: onnx.TensorProto, values: NDArray[np.float16]) -> None:
        packed = self._constant(f"{tensor.name}/half", values)
        self._nodes.append(helper.make_node("Cast", [packed], [tensor.name], to=_FLOAT))
        self._gone.add(tensor.name)

    def coded(self, tensor: onnx.TensorProto, coded: Coded) -> None:
        name = tensor.name
        codes = self._unpacked(name, coded.packed, coded.bits)
        channels, width = coded.matrix
        blocks = coded.scales.shape[1]
        flat = self._node("Slice", name, [codes, *self._range(0, coded.codes)])
        shape = self._shape(channels, blocks, -1)
        centred = self._node(
            "Sub", name, [self._node("Cast", name, [flat], to=_FLOAT), self._number(coded.zero)]
        )
        grouped = self._node("Reshape", name, [centred, shape])
        scale = self._constant(f"{name}/scale", coded.scales[:, :, None])
        scaled = self._node("Mul", name, [grouped, scale])
        rows = self._node("Reshape", name, [scaled, self._shape(channels, -1)])
        cut = self._node("Slice", name, [rows, *self._range(0, width), self._axis()])
        moved = self._node("Reshape", name, [cut, self._shape(*coded.moved_shape)])
        self._nodes.append(helper.make_node("Transpose", [moved], [name], perm=coded.back))
        self._gone.add(name)

    def sparse(self, tensor: onnx.TensorProto, values: NDArray[np.float32]) -> None:
        """Each place's number in the list of values: 0, which holds zero, where the mask has 0."""
        name, flat = tensor.name, values.ravel()
        kept = flat != 0
        held = self._constant(f"{name}/values", np.concatenate(([np.float32(0)], flat[kept])))
        bits = self._unpacked(name, np.packbits(kept, bitorder="little"), 1)
        mask = self._node("Slice", name, [bits, *self._range(0, flat.size)])
        first = self._constant("slipway/first_axis", np.array(0, np.int32))
        place = self._node("Mul", name, [mask, self._node("CumSum", name, [mask, first])])
        dense = self._node("Gather", name, [held, place])
        shape = self._shape(*values.shape)
        self._nodes.append(helper.make_node("Reshape", [dense, shape], [name]))
        self._gone.add(name)

    def finish(self) -> None:
        graph = self._model.graph
        kept = [t for t in graph.initializer if t.name not in self._gone]
        kept += [numpy_helper.from_array(value, name) for name, value in self._constants.items()]
        nodes = [*self._nodes, *graph.node]
        del graph.initializer[:], graph.node[:]
        graph.initializer.extend(kept)
        graph.node.extend(nodes)

    def _unpacked(self, name: str, packed: NDArray[np.uint8], bits: int) -> str:
        """Whole numbers, ``8 / bits`` from each byte, the lowest bits first."""
        data = self._constant(f"{name}/packed", packed)
        wide = self._node("Cast", name, [data], to=_INT32)
        if bits == 8:
            return wide
        steps = (1 << np.arange(0, 8, bits)).astype(np.int32)
        column = self._node(
            "Reshape", name, [wide, self._constant("slipway/column", np.array([-1, 1]))]
        )
        divisors = self._constant(f"slipway/steps{bits}", steps)
        base = self._constant(f"slipway/base{bits}", np.array(1 << bits, np.int32))
        digits = self._node("Mod", name, [self._node("Div", name, [column, divisors]), base])
        return self._node("Reshape", name, [digits, self._shape(-1)])

    def _node(self, operator: str, name: str, inputs: list[str], *, to: int | None = None) -> str:
        output = f"{name}/{operator}_{len(self._nodes)}"
        attributes: dict[str, Any] = {} if to is None else {"to": to}
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, value: Array) -> str:
        self._constants[name] = value
        return name

    def _number(self, value: float) -> str:
        return self._constant(f"slipway/number_{value:g}", np.array(value, np.float32))

    def _shape(self, *sizes: int) -> str:
        return self._constant(
            f"slipway/shape_{'x'.join(map(str, sizes))}", np.array(sizes, np.int64)
        )

    def _range(self, start: int, end: int) -> list[str]:
        return [self._shape(start), self._shape(end)]

    def _axis(self) -> str:
        return self._constant("slipway/second_axis", np.array([1], np.int64))
