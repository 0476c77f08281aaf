"""Open Inference Protocol v2 over gRPC: messages as bytes. Pure.

Raw contents are answered raw, typed contents typed, so that each client reads what it speaks;
where there are none to tell by, raw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from slipway.errors import Invalid
from slipway_server.protocol import binary_tensors, raw_contents
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from slipway_server.protocol.tensors import (
    BYTES,
    Array,
    InferRequest,
    OutputChoice,
    Signature,
    TensorSpec,
    add_feed,
)

_FIELDS: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}  # FP16 and BF16 have no typed field: they are raw only
_KEPT: Final = 64  # heads of answers without an id: of each choice of outputs, and their shapes
_LARGE: Final = 16 << 10  # below, looking for raw contents costs more than copying them


@dataclass(frozen=True, slots=True)
class Received:
    """A request, parsed.

    Attributes:
        head: the message; of a large one without its raw contents.
        raws: those.
    """

    head: pb.ModelInferRequest
    raws: Sequence[bytes | memoryview]


def parse(data: bytes | memoryview) -> Received:
    """A message that names its model.

    Raises:
        Invalid: it is none.
    """
    apart = raw_contents.split(memoryview(data)) if len(data) > _LARGE else None
    try:
        if apart is not None:
            return Received(pb.ModelInferRequest.FromString(apart[0]), apart[1])
        message = pb.ModelInferRequest.FromString(bytes(data))
    except DecodeError as error:
        raise Invalid("the message is not a ModelInferRequest") from error
    return Received(message, message.raw_input_contents)


class V2Grpc:
    """Decodes requests and encodes answers of one model.

    Attributes:
        signature: the model's.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._all = tuple(range(len(signature.outputs)))
        self._heads: dict[tuple[object, object], bytes] = {}
        self._typed = all(spec.datatype in _FIELDS for spec in signature.outputs)

    def decode(self, received: Received) -> InferRequest:
        """Read a request.

        Returns:
            The request; ``binary`` says whether its contents were raw.

        Raises:
            NotFound: another model or version.
            Invalid: whatever else is wrong with it.
        """
        signature, message, raws = self.signature, received.head, received.raws
        signature.identity.check(message.model_name, message.model_version)
        if raws and len(raws) != len(message.inputs):
            raise Invalid(
                f"the request has {len(message.inputs)} inputs, but {len(raws)} raw_input_contents"
            )
        feeds: dict[str, Array] = {}
        for place, tensor in enumerate(message.inputs):
            spec = signature.input(tensor.name)
            spec.check_datatype(tensor.datatype)
            if "shared_memory_region" in tensor.parameters:
                raise Invalid(f"input '{spec.name}': this server has no shared memory")
            shape = tuple(tensor.shape)
            count = spec.check_shape(shape)
            if raws:
                if tensor.HasField("contents"):
                    raise Invalid(f"input '{spec.name}' has both contents and raw contents")
                raw = memoryview(raws[place])
                array = binary_tensors.read_tensor(spec, raw, shape, count=count)
            else:
                array = _typed(spec, tensor.contents, count).reshape(shape)
            add_feed(feeds, spec.name, array)
        signature.check_complete(feeds)
        binary = bool(raws) or not feeds  # a model without inputs: nothing tells what it speaks
        return InferRequest(feeds, message.id, self._choices(message), binary=binary)

    def encode(self, request: InferRequest, arrays: Sequence[Array]) -> bytes:
        """Write a ``ModelInferResponse`` with the outputs that ``request`` wants."""
        choices = request.outputs
        places = self._all if choices is None else tuple([choice.place for choice in choices])
        if self._typed and not request.binary:
            message = self._message(request.id, places, arrays)
            for tensor, place in zip(message.outputs, places, strict=True):
                field = getattr(tensor.contents, _FIELDS[tensor.datatype])
                field.extend(_elements(arrays[place]))
            return message.SerializeToString()
        shapes = tuple([arrays[place].shape for place in places])
        head = None if request.id else self._heads.get((places, shapes))
        if head is None:
            head = self._message(request.id, places, arrays).SerializeToString()
            if not request.id:
                if len(self._heads) >= _KEPT:
                    self._heads.clear()
                self._heads[places, shapes] = head
        parts = [head]
        for place in places:
            raw_contents.append(parts, binary_tensors.write_tensor(arrays[place]))
        return b"".join(parts)

    def _message(
        self, ident: str, places: tuple[int, ...], arrays: Sequence[Array]
    ) -> pb.ModelInferResponse:
        """An answer without what its tensors hold."""
        identity, outputs = self.signature.identity, self.signature.outputs
        message = pb.ModelInferResponse(
            model_name=identity.name, model_version=identity.version, id=ident
        )
        for place in places:
            spec = outputs[place]
            message.outputs.add(name=spec.name, datatype=spec.datatype, shape=arrays[place].shape)
        return message

    def _choices(self, message: pb.ModelInferRequest) -> tuple[OutputChoice, ...] | None:
        if not message.outputs:
            return None
        places = [self.signature.output_place(output.name) for output in message.outputs]
        if len(set(places)) != len(places):
            raise Invalid("an output is requested twice")
        for output in message.outputs:
            if "classification" in output.parameters:
                raise Invalid("this server has no classification extension")
        return tuple(OutputChoice(place, binary=True) for place in places)


def _typed(spec: TensorSpec, contents: pb.InferTensorContents, count: int) -> Array:
    field = _FIELDS.get(spec.datatype)
    if field is None:
        raise Invalid(f"input '{spec.name}': send {spec.datatype} as raw_input_contents")
    values: Any = getattr(contents, field)
    if len(values) != count:
        raise Invalid(
            f"input '{spec.name}' has {len(values)} values in {field}, but its shape needs {count}"
        )
    if spec.datatype == BYTES:
        return _texts(spec, values)
    if spec.dtype.kind in "iu" and spec.dtype.itemsize < 4:
        wide = np.array(values, np.int64)
        info = np.iinfo(spec.dtype)
        if wide.min() < info.min or wide.max() > info.max:
            raise Invalid(f"input '{spec.name}' holds a value that {spec.datatype} cannot hold")
        return wide.astype(spec.dtype)
    return np.array(values, spec.dtype)


def _texts(spec: TensorSpec, values: Sequence[bytes]) -> Array:
    array = np.empty(len(values), np.object_)
    for place, value in enumerate(values):
        try:
            array[place] = value.decode()
        except UnicodeDecodeError as error:
            raise Invalid(f"input '{spec.name}': string {place} is not UTF-8") from error
    return array


def _elements(array: Array) -> list[Any]:
    values: list[Any] = array.ravel().tolist()
    if array.dtype.kind == "O":
        return [value if isinstance(value, bytes) else str(value).encode() for value in values]
    return values
