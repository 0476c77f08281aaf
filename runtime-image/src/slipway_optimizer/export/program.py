"""An ONNX graph as plain Python: what both targets walk through. onnx's owner file of exports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import numpy_helper

from slipway_optimizer import graph
from slipway_optimizer.arrays import Array
from slipway_optimizer.failures import Refused
from slipway_optimizer.tensors import Signature

_DOMAINS: Final = ("", "ai.onnx")


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator of the default domain.

    Attributes:
        inputs: names; an empty one is an input that was left out.
        attributes: numbers, text, tuples of them, numpy arrays and numpy dtypes.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute, or the default."""
        return self.attributes.get(name, default)


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A model without subgraphs, its nodes in the order in which they run.

    Attributes:
        constants: initialisers by name.
        open_names: input -> axis -> the name of that open dimension, empty where it has none.
    """

    nodes: tuple[Node, ...]
    constants: dict[str, Array]
    signature: Signature
    open_names: dict[str, dict[int, str]]


def read(path: Path) -> Program:
    """Read a checked ONNX file.

    Raises:
        Refused: ``ExportUnsupported``, for subgraphs, functions and foreign operators.
    """
    model = graph.load(path)
    nodes = tuple(_node(node, number) for number, node in enumerate(model.graph.node))
    held = {t.name: np.asarray(numpy_helper.to_array(t)) for t in model.graph.initializer}
    asked = [value for value in model.graph.input if value.name not in held]
    return Program(
        nodes=nodes,
        constants=held,
        signature=graph.signature_of(model, any_batch=True),
        open_names={value.name: _open_names(value) for value in asked},
    )


def dtype_of(code: int) -> np.dtype[Any]:
    """Numpy's name of an ONNX element type."""
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))


def _open_names(value: onnx.ValueInfoProto) -> dict[int, str]:
    dims = value.type.tensor_type.shape.dim
    return {axis: d.dim_param for axis, d in enumerate(dims) if d.dim_value < 1}


def _node(node: onnx.NodeProto, number: int) -> Node:
    name = node.name or f"{node.op_type}_{number}"
    if node.domain not in _DOMAINS:
        raise Unsupported(name, f"{node.domain}.{node.op_type}")
    return Node(
        name=name,
        operator=node.op_type,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={a.name: _attribute(name, node.op_type, a) for a in node.attribute},
    )


def _attribute(name: str, operator: str, attribute: onnx.AttributeProto) -> Any:
    kinds = onnx.AttributeProto
    if attribute.type in (kinds.GRAPH, kinds.GRAPHS) or attribute.ref_attr_name:
        raise Unsupported(name, f"{operator} with a graph of its own")
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type == kinds.TENSOR:
        return np.asarray(numpy_helper.to_array(value))
    if attribute.type == kinds.STRING:
        return value.decode(errors="replace")
    if isinstance(value, list) or attribute.type in (kinds.INTS, kinds.FLOATS, kinds.STRINGS):
        return tuple(item.decode() if isinstance(item, bytes) else item for item in value)
    return value


class Unsupported(Refused):
    """Something that no target can say.

    Attributes:
        what: it in words: the node, and what it is.
    """

    def __init__(self, node: str, what: str) -> None:
        self.what = f"node '{node}' is {what}"
        super().__init__(
            "ExportUnsupported",
            f"{self.what}, which exports do not know: leave the export out of "
            "spec.optimization.exports, or replace the operator in the model",
        )
