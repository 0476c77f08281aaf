"""ONNX messages to a ``Net`` and back. An owner file of onnx."""

from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from slipway_optimizer.failures import Refused
from slipway_optimizer.training.net import Net, Op

Message = onnx.ModelProto
_OWN_DOMAINS: Final = ("", "ai.onnx")


def read(model: onnx.ModelProto, *, foreign: bool = False) -> Net:
    """Take a checked model apart.

    Args:
        model: checked.
        foreign: also with operators that cannot be trained, whose kinds then tell their domains.

    Raises:
        Refused: ``NotTrainable`` for operators of other domains, and for control flow.
    """
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    ops = []
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in _OWN_DOMAINS:
            weights[node.output[0]] = _constant(node)
            continue
        ops.append(_foreign(node) if foreign else _op(node))
    return Net(
        ops=tuple(ops),
        weights=weights,
        inputs=tuple(v.name for v in graph.input if v.name not in weights),
        outputs=tuple(v.name for v in graph.output),
        shapes=_shapes(model),
    )


def write(net: Net, model: onnx.ModelProto) -> onnx.ModelProto:
    """A model of this net, with the inputs, outputs and versions of ``model``."""
    written = onnx.ModelProto()
    written.CopyFrom(model)
    graph = written.graph
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in net.weights.items()
    )
    graph.node.extend(_node(op) for op in net.ops)
    return written


def exposing(model: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """The model with one more output: a tensor that it computes on its way."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    if all(value.name != tensor for value in opened.graph.output):
        opened.graph.output.append(
            helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None)
        )
    return opened


def with_interface(model: onnx.ModelProto, other: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the declared inputs and outputs of another one that has the same names.

    An input that the model leaves unread stays one, so that callers need not know.

    Raises:
        Refused: ``StudentDiffers``: it has inputs or outputs that the other one has not.
    """
    asked = {value.name for value in other.graph.input}
    given = [value.name for value in other.graph.output]
    if not {v.name for v in model.graph.input} <= asked or given != [
        v.name for v in model.graph.output
    ]:
        raise Refused(
            "StudentDiffers",
            f"the exported student does not have the model's inputs and outputs {', '.join(given)}",
        )
    dressed = onnx.ModelProto()
    dressed.CopyFrom(model)
    del dressed.graph.input[:], dressed.graph.output[:], dressed.graph.value_info[:]
    dressed.graph.input.extend(v for v in other.graph.input if v.name in asked)
    dressed.graph.output.extend(other.graph.output)
    return dressed


def _foreign(node: onnx.NodeProto) -> Op:
    if node.domain in _OWN_DOMAINS and not any(a.HasField("g") for a in node.attribute):
        return _op(node)
    kind = f"{node.domain}.{node.op_type}"
    return Op(kind, node.name, tuple(node.input), tuple(node.output), {})


def _op(node: onnx.NodeProto) -> Op:
    if node.domain not in _OWN_DOMAINS:
        raise Refused(
            "NotTrainable",
            f"node '{node.name}' uses {node.op_type} of {node.domain}, which cannot be trained: "
            "leave out training, distillation and structured pruning for this model",
        )
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if any(isinstance(value, onnx.GraphProto) for value in attributes.values()):
        raise Refused(
            "NotTrainable",
            f"node '{node.name}' ({node.op_type}) is control flow, which cannot be trained",
        )
    plain = {name: _plain(value) for name, value in attributes.items()}
    return Op(node.op_type, node.name, tuple(node.input), tuple(node.output), plain)


def _plain(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value.decode() if isinstance(value, bytes) else value


def _node(op: Op) -> onnx.NodeProto:
    node = helper.make_node(op.kind, op.inputs, op.outputs, name=op.name)
    for name, value in sorted(op.attributes.items()):
        held = numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        node.attribute.append(helper.make_attribute(name, held))
    return node


def _constant(node: onnx.NodeProto) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    floats = attribute.name in ("value_float", "value_floats")
    return np.asarray(value, np.float32 if floats else np.int64)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    try:
        inferred = shape_inference.infer_shapes(model).graph
    except Exception:  # noqa: BLE001 - inference is a help, and fails on some valid graphs
        inferred = model.graph
    known = {}
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            known[value.name] = tuple(
                d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim
            )
    return known
