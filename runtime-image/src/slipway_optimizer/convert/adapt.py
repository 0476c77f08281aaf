"""Rewrites of an ONNX graph's outline, so that every tensor has its rows first. onnx's owner file.

They change the model that is given; each returns notes on what it did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

_BATCH: Final = "batch"
_PLAIN_OPSET: Final = 13  # for a model of ai.onnx.ml's operators alone
_RESIZE_INPUTS: Final = 4  # with sizes
_PICTURE: Final = 3  # [batch, channels, length], and longer
_Sizes = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
_LOCALE: Final = "C.UTF-8"  # glibc has it built in; en_US, the operator's default, it has not


def portable_text(model: onnx.ModelProto) -> list[str]:
    """Have StringNormalizer use a locale that every image has: the same letters, no collation."""
    changed = 0
    for node in model.graph.node:
        if node.op_type != "StringNormalizer":
            continue
        held = [a for a in node.attribute if a.name == "locale"]
        if held and not held[0].s.startswith(b"en"):
            continue
        for attribute in held:
            node.attribute.remove(attribute)
        node.attribute.append(helper.make_attribute("locale", _LOCALE))
        changed += 1
    return [f"locale of {changed} StringNormalizer set to {_LOCALE}"] if changed else []


def label_rows(model: onnx.ModelProto) -> list[str]:
    """Open the label output of converters that declare one row for any number of them."""
    if not all(_first(value) == 0 for value in asked(model)):
        return []
    notes = []
    for value in model.graph.output:
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 1 and dims[0].dim_value == 1:
            dims[0].dim_param = _BATCH
            notes.append(f"output '{value.name}' declared 1 row for any batch: opened")
    return notes


def without_erfc(path: Path) -> None:
    """Compute TensorFlow's Erfc, which tf2onnx copies and ONNX has not, as 1 - Erf.

    Keras's exact Gelu is made of it. Cancellation costs nothing that fp32 would show there: Gelu
    multiplies by x, and both are near zero where the digits are lost.
    """
    model, ones = onnx.load(path), "slipway_one"
    found = [node for node in model.graph.node if (node.op_type, node.domain) == ("Erfc", "")]
    if not found:
        return
    for node in found:
        place = list(model.graph.node).index(node)
        inside = f"{node.output[0]}_erf"
        given, made = node.input[0], node.output[0]
        model.graph.node.remove(node)
        erf = helper.make_node("Erf", [given], [inside], name=inside)
        rest = helper.make_node("Sub", [ones, inside], [made], name=f"{made}_erfc")
        model.graph.node.insert(place, erf)
        model.graph.node.insert(place + 1, rest)
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), ones))
    onnx.save(model, path)


def drop_output(model: onnx.ModelProto, name: str) -> None:
    """Answer without it; what computes it alone is left to ONNX Runtime to leave out."""
    for value in [value for value in model.graph.output if value.name == name]:
        model.graph.output.remove(value)


def declare_rank(model: onnx.ModelProto, name: str, rank: int) -> None:
    """Let an output have that many dimensions, all open, whatever the converter declared."""
    for value in model.graph.output:
        if value.name == name:
            del value.type.tensor_type.shape.dim[:]
            for _ in range(rank):
                value.type.tensor_type.shape.dim.add()


def reshape_output(model: onnx.ModelProto, name: str, columns: Sequence[int]) -> None:
    """As many rows as there are of these columns, for converters that lay them out otherwise."""
    inside, shape = f"{name}_unshaped", f"{name}_shape"
    for node in model.graph.node:
        node.output[:] = [inside if made == name else made for made in node.output]
    rename_uses(model.graph, name, inside)
    sizes = np.array([-1, *columns], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(sizes, shape))
    node = helper.make_node("Reshape", [inside, shape], [name], name=f"{name}_reshape")
    model.graph.node.append(node)
    declare_rank(model, name, len(sizes))
    for value in model.graph.output:
        if value.name == name:
            for dim, size in zip(value.type.tensor_type.shape.dim[1:], columns, strict=True):
                dim.dim_value = size


@dataclass(frozen=True, slots=True)
class PlainScores:
    """What a ZipMap told.

    Attributes:
        output: its name, a tensor [rows, classes] now.
        classes: the label of each index.
    """

    output: str
    classes: tuple[int | str, ...]

    @property
    def note(self) -> str:
        """For people."""
        count = len(self.classes)
        return f"output '{self.output}' was a map a row (ZipMap): a tensor [rows, {count}] now"

    @property
    def unusual(self) -> tuple[int | str, ...] | None:
        """The classes where they are not 0..k-1."""
        return None if self.classes == tuple(range(len(self.classes))) else self.classes


def plain_scores(model: onnx.ModelProto) -> PlainScores | None:
    """Take off ZipMap, scikit-learn's default: it answers maps, which no protocol carries."""
    for value in model.graph.output:
        node = next((n for n in model.graph.node if value.name in n.output), None)
        if node is None or node.op_type != "ZipMap":
            continue
        held = {attribute.name: attribute for attribute in node.attribute}
        classes: tuple[int | str, ...] = ()
        if "classlabels_strings" in held:
            classes = tuple(text.decode() for text in held["classlabels_strings"].strings)
        elif "classlabels_int64s" in held:
            classes = tuple(held["classlabels_int64s"].ints)
        name = f"{value.name}_plain"
        plain = helper.make_node("Identity", [node.input[0]], [value.name], name=name)
        model.graph.node.remove(node)
        model.graph.node.append(plain)
        shape = [_BATCH, len(classes) or None]
        value.CopyFrom(helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, shape))
        if not any(o.domain in ("", "ai.onnx") for o in model.opset_import):
            model.opset_import.append(helper.make_opsetid("", _PLAIN_OPSET))
        return PlainScores(value.name, classes)
    return None


def batch_first(model: onnx.ModelProto) -> list[str]:
    """Give single values a batch of one, and put the batch first where it comes later.

    ``batch_axes`` says where.
    """
    axes, notes = batch_axes(model), []
    for number, value in enumerate(asked(model)):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and not tensor.shape.dim:
            _wrap_scalar(model, value, number)
            notes.append(f"input '{value.name}' is a single value: asked for as [1]")
        elif axis := axes.get(value.name, 0):
            _move_input(model, value, axis)
            notes.append(f"input '{value.name}' has its batch in dimension {axis}: moved to 0")
    for value in model.graph.output:
        if axis := axes.get(value.name, 0):
            _move_output(model, value, axis)
            notes.append(f"output '{value.name}' has its batch in dimension {axis}: moved to 0")
    return notes


def batch_axes(model: onnx.ModelProto) -> dict[str, int]:
    """Inputs and outputs whose batch is not first -> its dimension.

    A tensor's batch is where its dimension is called as other inputs' first one. Without names it
    is the one dimension that is open, or of size 1, as other inputs' first one is.
    """
    firsts = _Firsts.of(model)
    shaped = [value for value in asked(model) if value.type.tensor_type.HasField("shape")]
    axes = {value.name: _batch_axis(value, firsts) for value in shaped}
    moved = {len(v.type.tensor_type.shape.dim): axes[v.name] for v in shaped if axes[v.name]}
    for value in model.graph.output:
        axes[value.name] = _batch_axis(value, firsts)
        dims = value.type.tensor_type.shape.dim
        unsaid = not any(dim.dim_value or dim.dim_param in firsts.names - {""} for dim in dims)
        if dims and unsaid:
            axes[value.name] = moved.get(len(dims), 0)  # states go out as they came in
    return {name: axis for name, axis in axes.items() if axis}


def fixed_batch(model: onnx.ModelProto) -> int | None:
    """The one batch size of all inputs; ``None`` when it is open, or there is no one size."""
    sizes = {_first(value) for value in asked(model)}
    if len(sizes) != 1 or 0 in sizes:
        return None
    return sizes.pop()


def answers_rows(model: onnx.ModelProto, size: int) -> bool:
    """Whether an output may have ``size`` rows."""
    return any(_first(value) in (0, size) for value in model.graph.output)


def open_batch(model: onnx.ModelProto, size: int) -> None:
    """Declare the first dimension open, and free reshapes and enlargements that name its size.

    Whether answers stay equal is for the caller to find out.
    """
    for value in (*asked(model), *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value == size:
            dims[0].dim_param = _BATCH
    del model.graph.value_info[:]
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    made = {node.output[0]: node for node in model.graph.node if node.op_type == "Constant"}
    for number, node in enumerate(model.graph.node):
        if node.op_type != "Reshape":
            continue
        shape = _constant(node.input[1], held, made)
        if shape is None or not len(shape) or shape[0] != size:
            continue
        shape[0] = 0 if -1 in shape else -1
        name = f"slipway_open_shape_{number}"
        model.graph.initializer.append(numpy_helper.from_array(shape, name))
        node.input[1] = name
    resizes = {
        node.output[0]: _constant(node.input[-1], held, made)
        for node in model.graph.node
        if node.op_type == "Resize" and len(node.input) == _RESIZE_INPUTS
    }
    for output, sizes in resizes.items():
        if sizes is not None and len(sizes) >= _PICTURE and sizes[0] == size:
            _open_sizes(model.graph, output, sizes[1:])


def _open_sizes(graph: onnx.GraphProto, output: str, rest: _Sizes) -> None:
    """Have the Resize that makes ``output`` answer as many rows as it is given."""
    nodes = list(graph.node)
    place = next(place for place, node in enumerate(nodes) if output in node.output)
    dims, rows, first, others, sizes = (f"{output}_open_{number}" for number in range(5))
    for name, value in ((first, np.zeros(1, np.int64)), (others, rest)):
        graph.initializer.append(numpy_helper.from_array(value, name))
    added = [
        helper.make_node("Shape", [nodes[place].input[0]], [dims], name=dims),
        helper.make_node("Gather", [dims, first], [rows], name=rows),
        helper.make_node("Concat", [rows, others], [sizes], name=sizes, axis=0),
    ]
    nodes[place].input[-1] = sizes
    nodes[place:place] = added
    del graph.node[:]
    graph.node.extend(nodes)


def _constant(
    name: str, held: dict[str, onnx.TensorProto], made: dict[str, onnx.NodeProto]
) -> _Sizes | None:
    if name in held:
        return numpy_helper.to_array(held[name]).astype(np.int64)
    if name in made and made[name].attribute[0].HasField("t"):
        return numpy_helper.to_array(made[name].attribute[0].t).astype(np.int64)
    return None


def asked(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """What a request must give: inputs that no initialiser gives."""
    held = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in held]


def _first(value: onnx.ValueInfoProto) -> int:
    """Size of the first dimension; 0 when it is open or there is none."""
    dims = value.type.tensor_type.shape.dim
    return int(dims[0].dim_value) if dims and dims[0].HasField("dim_value") else 0


def _batch_names(model: onnx.ModelProto) -> set[str]:
    firsts = (value.type.tensor_type.shape.dim for value in asked(model))
    names = {dims[0].dim_param for dims in firsts if dims}
    return {name for name in names if name}


@dataclass(frozen=True, slots=True)
class _Firsts:
    """What inputs have as first dimension: names, and whether one is open or of size 1."""

    names: frozenset[str]
    unnamed: bool
    single: bool

    @classmethod
    def of(cls, model: onnx.ModelProto) -> "_Firsts":
        shapes = (value.type.tensor_type.shape.dim for value in asked(model))
        firsts = [dims[0] for dims in shapes if dims]
        return cls(
            frozenset(_batch_names(model)),
            any(not dim.dim_param and dim.dim_value < 1 for dim in firsts),
            any(dim.dim_value == 1 for dim in firsts),
        )


def _batch_axis(value: onnx.ValueInfoProto, firsts: _Firsts) -> int:
    """Where the batch is; 0 also when that cannot be told."""
    dims = value.type.tensor_type.shape.dim
    names = firsts.names - {""}
    if not dims or dims[0].dim_param in names:
        return 0
    named = [axis for axis, dim in enumerate(dims) if dim.dim_param in names]
    fixed_first = dims[0].dim_value > 1
    unnamed = [axis for axis, dim in enumerate(dims) if not dim.dim_param and dim.dim_value < 1]
    single = [axis for axis, dim in enumerate(dims) if dim.dim_value == 1]
    for places, known in (
        (named, True),
        (unnamed, fixed_first and (firsts.unnamed or bool(names))),
        (single, fixed_first and firsts.single),
    ):
        if len(places) == 1 and known:
            return places[0]
    return 0


def _wrap_scalar(model: onnx.ModelProto, value: onnx.ValueInfoProto, number: int) -> None:
    inside = f"{value.name}_value"
    rename_uses(model.graph, value.name, inside)
    shape = f"slipway_no_shape_{number}"
    model.graph.initializer.append(numpy_helper.from_array(np.empty(0, np.int64), shape))
    node = helper.make_node("Reshape", [value.name, shape], [inside], name=f"{inside}_reshape")
    model.graph.node.insert(0, node)
    value.type.tensor_type.shape.dim.add().dim_value = 1


def _move_input(model: onnx.ModelProto, value: onnx.ValueInfoProto, axis: int) -> None:
    inside, dims = f"{value.name}_moved", value.type.tensor_type.shape.dim
    rename_uses(model.graph, value.name, inside)
    rank = len(dims)
    back = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
    node = helper.make_node("Transpose", [value.name], [inside], name=inside, perm=back)
    model.graph.node.insert(0, node)
    _reorder(value, axis)


def _move_output(model: onnx.ModelProto, value: onnx.ValueInfoProto, axis: int) -> None:
    inside, rank = f"{value.name}_unmoved", len(value.type.tensor_type.shape.dim)
    for node in model.graph.node:
        node.output[:] = [inside if name == value.name else name for name in node.output]
    rename_uses(model.graph, value.name, inside)
    order = [axis, *(n for n in range(rank) if n != axis)]
    node = helper.make_node("Transpose", [inside], [value.name], name=f"{inside}_move", perm=order)
    model.graph.node.append(node)
    _reorder(value, axis)


def _reorder(value: onnx.ValueInfoProto, axis: int) -> None:
    shape = value.type.tensor_type.shape
    dims = [onnx.TensorShapeProto.Dimension.FromString(d.SerializeToString()) for d in shape.dim]
    dims.insert(0, dims.pop(axis))
    del shape.dim[:]
    shape.dim.extend(dims)


def rename_uses(graph: onnx.GraphProto, old: str, new: str) -> None:
    """In all inputs of nodes, those of subgraphs too: they see what surrounds them."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                own = {v.name for v in inner.input} | {t.name for t in inner.initializer}
                if old not in own:
                    rename_uses(inner, old, new)
                    for output in inner.output:
                        output.name = new if output.name == old else output.name


def rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename inputs and outputs, wherever they are used."""
    changed = {old: new for old, new in names.items() if old != new}
    for old, new in changed.items():
        rename_uses(model.graph, old, new)
        for node in model.graph.node:
            node.output[:] = [new if name == old else name for name in node.output]
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            value.name = new if value.name == old else value.name


def name_batch(model: onnx.ModelProto) -> None:
    """Call an open first dimension ``batch``, whatever the exporter called it."""
    names = _batch_names(model)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = _BATCH
