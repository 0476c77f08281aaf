"""ONNX graphs: reading what nobody vouches for, and describing it. One of onnx's owner files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import defs

from slipway.artifacts.manifest import Tensor
from slipway_optimizer.failures import Refused
from slipway_optimizer.tensors import DYNAMIC, Signature

_MAX_BYTES: Final = 2 << 30  # what one protobuf message can hold
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
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise Refused("SourceTooLarge", f"the model has {size} bytes: at most 2 GiB is supported")
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise Refused("SourceCorrupt", _NOT_ONNX) from error
    if model.ir_version == 0 or not model.graph.output:
        raise Refused("SourceCorrupt", _NOT_ONNX)
    _refuse_external_data(model)
    _refuse_unknown_operators(model)
    return model


_NOT_ONNX: Final = (
    "the model file is not an ONNX model: check storageUri, or set modelFormat to what wrote it"
)


def signature_of(model: onnx.ModelProto) -> Signature:
    """Inputs without initialisers, and outputs; the shape of an output that declares none is ().

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
        if not tensor.shape or tensor.shape[0] not in (DYNAMIC, 1):
            raise Refused(
                "SignatureUnsupported",
                f"tensor '{tensor.name}' has shape {list(tensor.shape)}: export the model with a "
                "first dimension that is the batch, of size 1 or open",
            )
    return Signature(inputs, outputs)


def weight_shares(model: onnx.ModelProto) -> dict[str, float]:
    """Operator -> share of initialisers' bytes that are its direct inputs."""
    sizes = {t.name: t.ByteSize() for t in model.graph.initializer}
    total = sum(sizes.values()) or 1
    shares: dict[str, float] = {}
    for node in model.graph.node:
        held = sum(sizes.get(name, 0) for name in node.input)
        shares[node.op_type] = shares.get(node.op_type, 0.0) + held / total
    return shares


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
            f"{kind} '{value.name}' declares no shape: run onnx.shape_inference before saving",
        )
    return Tensor(name=value.name, datatype=datatype, shape=tuple(shape))


def _messages(message: Message) -> Iterator[Message]:
    """The message and all messages in it, wherever they hide. Iterative: graphs nest deeply."""
    waiting = [message]
    while waiting:
        current = waiting.pop()
        yield current
        for field, value in current.ListFields():
            if field.type != field.TYPE_MESSAGE:
                continue
            waiting.extend(value if field.is_repeated else [value])


def _refuse_external_data(model: onnx.ModelProto) -> None:
    external = onnx.TensorProto.EXTERNAL
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto) and (
            message.data_location == external or message.external_data
        ):
            raise Refused(
                "ExternalDataUnsupported",
                f"tensor '{message.name}' lies outside the model file: save the model in one file "
                "(onnx.save_model with save_as_external_data=False)",
            )


def _refuse_unknown_operators(model: onnx.ModelProto) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    versions = {o.domain or "": o.version for o in model.opset_import}
    for message in _messages(model):
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
