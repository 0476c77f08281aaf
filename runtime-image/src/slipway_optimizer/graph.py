"""ONNX graphs: reading what nobody vouches for, and describing it. One of onnx's owner files."""

import math
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError
from onnx import defs

from slipway.artifacts.manifest import Tensor
from slipway_optimizer.failures import Refused
from slipway_optimizer.outside import (
    bytes_outside,
    messages,
    take_in,
    tensor_bytes,
    tensors_outside,
)
from slipway_optimizer.tensors import DYNAMIC, Signature

_MAX_BYTES: Final = 2 << 30  # what one protobuf message can hold
_FEW_CHANNELS: Final = 4
_FEW_WEIGHTS: Final = 256  # for one channel that comes out; patches of ViT have more, and gain
_SMALL_TENSOR: Final = 1 << 10  # bytes; smaller ones stay in the graph
_RUNTIME_DOMAINS: Final = frozenset({"com.microsoft", "com.microsoft.nchwc"})
_DATATYPES: Final[dict[int, str]] = {
    onnx.TensorProto.BOOL: "BOOL",
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.INT16: "INT16",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.UINT16: "UINT16",
    onnx.TensorProto.UINT32: "UINT32",
    onnx.TensorProto.UINT64: "UINT64",
    onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.DOUBLE: "FP64",
    onnx.TensorProto.STRING: "BYTES",
}


def load(path: Path) -> onnx.ModelProto:
    """Parse and check a model file. Touches no other file, whatever the model says.

    Raises:
        Refused: ``SourceCorrupt``, ``ExternalDataUnsupported``, ``OperatorUnsupported``.
    """
    model = _parsed(path)
    _refuse_external_data(model)
    _refuse_unknown_operators(model)
    return model


def weights_beside(source: Path, target: Path) -> Path | None:
    """Write a model so that its weights lie in one file beside it, for servers to map.

    Args:
        source: a model in one piece, which was loaded before.
        target: the graph; its weights go into ``{target}.data``.

    Returns:
        The file with the weights; ``None`` when the model has none that could leave it.
    """
    data = target.with_name(f"{target.name}.data")
    data.unlink(missing_ok=True)  # onnx would append
    onnx.save_model(
        onnx.load(source),
        target,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data.name,
        size_threshold=_SMALL_TENSOR,
    )
    return data if data.exists() else None


def _parsed(path: Path) -> onnx.ModelProto:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise Refused(
            "SourceTooLarge",
            f"the model's file has {size} bytes, and ONNX files end at 2 GiB: save it with "
            "external data (onnx.save_model with save_as_external_data=True), all in one folder",
        )
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise Refused("SourceCorrupt", _NOT_ONNX) from error
    if model.ir_version == 0 or not model.graph.output:
        raise Refused("SourceCorrupt", _NOT_ONNX)
    return model


def load_with_data(path: Path) -> tuple[onnx.ModelProto, int]:
    """Parse and check a model file whose tensors may lie in files beside it.

    Returns:
        The model, and how many bytes lay outside. It is in one piece where one file can hold it;
        else its large tensors stay where they are.

    Raises:
        Refused: as ``load``; ``ExternalDataMissing`` for files that are absent, short, or in
            another folder.
    """
    model = _parsed(path)
    outside = take_in(model, path.parent, size=path.stat().st_size)
    _refuse_unknown_operators(model)
    return model, outside


def load_outline(path: Path) -> onnx.ModelProto:
    """Parse and check a model that this Job wrote; large tensors stay in the file beside it.

    Raises:
        Refused: as ``load``; ``ExternalDataMissing``.
    """
    model = _parsed(path)
    for tensor in tensors_outside(model):
        bytes_outside(tensor, path.parent)
    _refuse_unknown_operators(model)
    return model


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model into one file."""
    path.write_bytes(model.SerializeToString())


_NOT_ONNX: Final = (
    "the model file is not an ONNX model: check storageUri, or set modelFormat to what wrote it"
)


def signature_of(model: onnx.ModelProto, *, any_batch: bool = False) -> Signature:
    """Inputs without initialisers, and outputs; the shape of an output that declares none is ().

    Args:
        model: a checked model.
        any_batch: whether a batch of a fixed size above 1 passes, too.

    Raises:
        Refused: ``SignatureUnsupported`` for what the Open Inference Protocol cannot carry, and
            for tensors without a batch dimension of 1 or any size.
    """
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_tensor(value, "input") for value in model.graph.input if value.name not in held)
    outputs = tuple(_tensor(value, "output") for value in model.graph.output)
    if not inputs:
        raise Refused("SignatureUnsupported", "the model has no inputs: there is nothing to ask")
    for tensor in (*inputs, *(t for t in outputs if t.shape)):
        if not tensor.shape or not (any_batch or tensor.shape[0] in (DYNAMIC, 1)):
            raise Refused(
                "SignatureUnsupported",
                f"tensor '{tensor.name}' has shape {list(tensor.shape)}: export the model with a "
                "first dimension that is the batch, of size 1 or open",
            )
    return Signature(inputs, outputs)


def weight_shares(model: onnx.ModelProto) -> dict[str, float]:
    """Operator -> share of the weights' bytes that are its direct inputs, each counted once.

    Weights are initialisers and what ``Constant`` nodes hold.
    """
    sizes = {t.name: tensor_bytes(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            sizes[node.output[0]] = sum(tensor_bytes(a.t) for a in node.attribute)
    total = sum(sizes.values()) or 1
    read: dict[str, set[str]] = {}
    for node in model.graph.node:
        read.setdefault(node.op_type, set()).update(sizes.keys() & set(node.input))
    return {name: sum(sizes[each] for each in held) / total for name, held in read.items()}


def narrow_convolutions(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the convolutions of pictures and sounds as they come: few channels, few weights.

    Kernels for INT8 sum over channels four at a time and gain nothing there (measured in
    docs/decisions/0025). Groups, as in depthwise ones, are another matter.
    """
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    return tuple(
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and node.name
        and all(attribute.name != "group" or attribute.i == 1 for attribute in node.attribute)
        and (dims := shapes.get(node.input[1])) is not None
        and len(dims) > 1
        and dims[1] <= _FEW_CHANNELS
        and math.prod(dims[1:]) < _FEW_WEIGHTS
    )


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the default operator set."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def _tensor(value: onnx.ValueInfoProto, kind: str) -> Tensor:
    tensor_type = value.type.tensor_type
    datatype = _DATATYPES.get(tensor_type.elem_type)
    if not value.type.HasField("tensor_type") or datatype is None:
        raise Refused(
            "SignatureUnsupported",
            f"{kind} '{value.name}' is no tensor of a served datatype: export the model with plain "
            "tensors (for scikit-learn: without ZipMap)",
        )
    dims = tensor_type.shape.dim
    shape = (d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else DYNAMIC for d in dims)
    if not tensor_type.HasField("shape") and kind == "input":
        raise Refused(
            "SignatureUnsupported",
            f"{kind} '{value.name}' declares no shape: export the model with the shape of each "
            "input, its batch open",
        )
    return Tensor(name=value.name, datatype=datatype, shape=tuple(shape))


def _refuse_external_data(model: onnx.ModelProto) -> None:
    for tensor in tensors_outside(model):
        raise Refused(
            "ExternalDataUnsupported",
            f"tensor '{tensor.name}' lies outside the model file: save the model in one file "
            "(onnx.save_model with save_as_external_data=False)",
        )


def _refuse_unknown_operators(model: onnx.ModelProto) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    versions = {o.domain or "": o.version for o in model.opset_import}
    for message in messages(model):
        if not isinstance(message, onnx.NodeProto):
            continue
        domain = "" if message.domain == "ai.onnx" else message.domain
        if domain in _RUNTIME_DOMAINS or (message.domain, message.op_type) in own:
            continue
        if not defs.has(message.op_type, versions.get(domain, defs.onnx_opset_version()), domain):
            place = f" of domain '{domain}'" if domain else ""
            raise Refused(
                "OperatorUnsupported",
                f"node '{message.name or message.op_type}' uses operator '{message.op_type}'"
                f"{place}, which ONNX Runtime does not know: export the model with standard "
                "operators",
            )
