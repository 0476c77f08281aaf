"""FP16 models, computed in FP32. An owner file of onnx.

ONNX Runtime has few FP16 kernels for CPUs: it converts to FP32 and back around operators, and its
quantisers leave FP16 weights alone. Clients go on sending and getting FP16.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from slipway_optimizer.convert.adapt import asked, rename_uses
from slipway_optimizer.outside import messages

_HALF: Final = TensorProto.FLOAT16
_FULL: Final = TensorProto.FLOAT
_TYPES: Final = frozenset({"dtype", "output_datatype", "output_dtype", "to"})  # attributes


def half_bytes(model: onnx.ModelProto) -> int:
    """Bytes of all FP16 tensors that the graph holds."""
    return sum(2 * math.prod(tensor.dims) for tensor in _half_tensors(model))


def widen(model: onnx.ModelProto) -> None:
    """Compute in FP32 what was FP16, behind inputs and before outputs that stay as they are.

    Args:
        model: with all its values in it; it is changed.
    """
    taken = {value.name for value in asked(model)}
    outside = [v for v in model.graph.input if v.name in taken and _is_half(v)]
    results = [value for value in model.graph.output if _is_half(value)]
    del model.graph.value_info[:]
    for tensor in list(_half_tensors(model)):
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for message in messages(model):
        if isinstance(message, onnx.TypeProto.Tensor) and message.elem_type == _HALF:
            message.elem_type = _FULL
        elif isinstance(message, onnx.AttributeProto) and message.name in _TYPES:
            message.i = _FULL if message.i == _HALF else message.i
    for value in outside:
        value.type.tensor_type.elem_type = _HALF
        inside = f"{value.name}/fp32"
        rename_uses(model.graph, value.name, inside)
        model.graph.node.insert(0, _cast(value.name, inside, _FULL))
    for value in results:
        value.type.tensor_type.elem_type = _HALF
        inside = f"{value.name}/fp32"
        rename_uses(model.graph, value.name, inside)
        for node in model.graph.node:
            node.output[:] = [inside if name == value.name else name for name in node.output]
        model.graph.node.append(_cast(inside, value.name, _HALF))


def _cast(given: str, result: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [given], [result], f"{result}/cast", to=kind)


def _half_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for message in messages(model):
        if isinstance(message, onnx.TensorProto) and message.data_type == _HALF:
            yield message


def _is_half(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == _HALF)
