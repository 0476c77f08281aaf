"""Says of every enlargement what ONNX Runtime must know to keep it in its blocked layout.

Between convolutions, an enlargement by whole factors costs nothing but itself when it is written
with constant scales; written otherwise, all of its data are reordered before and after it. Two
ways lose that: onnx's upgrade of ``Upsample``, and sizes that are computed from an open batch.
"""

from typing import Final

import onnx
from onnx import helper

from slipway_optimizer.passes.unused import drop_unused

_COORDINATES: Final = "coordinate_transformation_mode"
_ROUNDING: Final = "nearest_mode"
_SCALES, _SIZES = 2, 3  # places of Resize's inputs
_PICTURE: Final = 4  # [batch, channels, height, width]
_SMALL: Final = 1024  # bytes; lists of sizes are shorter


def as_upsample_meant(model: onnx.ModelProto) -> None:
    """Give Resize the coordinates of before opset 11, which onnx's upgrade leaves at the new ones.

    Args:
        model: upgraded from an opset before 11, so that nobody chose others. Changed.
    """
    for node in model.graph.node:
        if node.op_type == "Resize":
            _set(node, _COORDINATES, "asymmetric")
            _set(node, _ROUNDING, "floor")


def by_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write sizes that are a whole multiple of their input's as scales; the model is changed.

    Args:
        model: its batch may be open.

    Returns:
        The model.
    """
    found = [node for node in model.graph.node if node.op_type == "Resize" and _has_sizes(node)]
    if not found:
        return model
    shapes = _shapes(model)
    for node in found:
        scales = _scales(shapes.get(node.input[0]), shapes.get(node.output[0]))
        if scales is None or any(each.name in ("axes", "antialias") for each in node.attribute):
            continue
        name = f"{node.output[0]}_scales"
        tensor = helper.make_tensor(name, onnx.TensorProto.FLOAT, [len(scales)], scales)
        model.graph.initializer.append(tensor)
        node.input[_SCALES] = name
        del node.input[_SIZES]
    drop_unused(model.graph)
    return model


def _has_sizes(node: onnx.NodeProto) -> bool:
    return len(node.input) > _SIZES and bool(node.input[_SIZES])


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Sizes of the tensors, 0 where open."""
    found = onnx.shape_inference.infer_shapes(_outline(model), data_prop=True).graph
    return {
        value.name: [int(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
        for value in (*found.input, *found.value_info, *found.output)
    }


def _outline(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what its weights hold: a large one should not be in memory twice more."""
    graph = model.graph
    outline = onnx.ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        functions=model.functions,
        graph=onnx.GraphProto(
            name=graph.name, node=graph.node, input=graph.input, output=graph.output
        ),
    )
    for tensor in graph.initializer:
        small = tensor.ByteSize() <= _SMALL and not tensor.external_data
        held = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        outline.graph.initializer.append(tensor if small else held)
    return outline


def _scales(before: list[int] | None, after: list[int] | None) -> list[float] | None:
    """Of a picture that grows by whole factors; its batch and channels stay.

    Fractions stay sizes: the blocked layout does not take them, and exports need the sizes.
    """
    if before is None or after is None or not len(before) == len(after) == _PICTURE:
        return None
    if before[1] != after[1] or 0 in before[1:] or 0 in after[1:]:
        return None
    if any(new % old for old, new in zip(before[2:], after[2:], strict=True)):
        return None
    return [1.0, 1.0, float(after[2] // before[2]), float(after[3] // before[3])]


def _set(node: onnx.NodeProto, name: str, value: str) -> None:
    for held in [held for held in node.attribute if held.name == name]:
        node.attribute.remove(held)
    node.attribute.append(helper.make_attribute(name, value))
