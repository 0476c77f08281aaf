"""Server reflection: tools such as grpcurl ask here for services and their types."""

from functools import cache
from typing import TYPE_CHECKING, Final

from slipway_server.transport.rpc import Message, Method, RpcRefused

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

    from slipway_server.protocol.pb import reflection_pb2 as pb

_SERVICES: Final = (
    "inference.GRPCInferenceService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
)
_NOT_FOUND: Final = 5
_UNIMPLEMENTED: Final = 12


def methods() -> dict[str, Method]:
    """The streaming methods by path; the older name has the same messages."""
    names = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
    return {f"/{name}.ServerReflection/ServerReflectionInfo": _info for name in names}


async def _info(request: Message, *, seconds: float | None) -> bytes:
    """Answer one question."""
    del seconds
    # Few servers are ever asked, and start-up should not wait for it.
    from google.protobuf.message import DecodeError

    from slipway_server.protocol.pb import reflection_pb2 as pb

    try:
        question = pb.ServerReflectionRequest.FromString(bytes(request))
    except DecodeError as error:
        text = "the message is not a ServerReflectionRequest"
        raise RpcRefused("INVALID_ARGUMENT", text) from error
    answer = pb.ServerReflectionResponse(valid_host=question.host, original_request=question)
    _fill(question, answer)
    return answer.SerializeToString()


def _fill(question: "pb.ServerReflectionRequest", answer: "pb.ServerReflectionResponse") -> None:
    kind = question.WhichOneof("message_request")
    if kind == "list_services":
        for name in _SERVICES:
            answer.list_services_response.service.add(name=name)
    elif kind == "file_by_filename":
        _fill_file(answer, _by_name(question.file_by_filename), question.file_by_filename)
    elif kind == "file_containing_symbol":
        symbol = question.file_containing_symbol
        _fill_file(answer, _with_symbol(symbol), symbol)
    else:
        answer.error_response.error_code = _UNIMPLEMENTED
        answer.error_response.error_message = "the services here have no extensions"


def _fill_file(
    answer: "pb.ServerReflectionResponse", file: "FileDescriptor | None", asked: str
) -> None:
    if file is None:
        answer.error_response.error_code = _NOT_FOUND
        answer.error_response.error_message = f"'{asked[:200]}' is unknown here"
    else:
        answer.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)


@cache
def _files() -> "tuple[FileDescriptor, ...]":
    """Each is complete in itself: none imports another."""
    from slipway_server.protocol.pb import health_pb2, open_inference_grpc_pb2, reflection_pb2

    return tuple(
        module.DESCRIPTOR for module in (open_inference_grpc_pb2, health_pb2, reflection_pb2)
    )


def _by_name(name: str) -> "FileDescriptor | None":
    return next((file for file in _files() if file.name == name), None)


def _with_symbol(symbol: str) -> "FileDescriptor | None":
    service, _, method = symbol.rpartition(".")
    for file in _files():
        found = file.services_by_name.get(service.removeprefix(f"{file.package}."))
        if found is not None and method in found.methods_by_name:  # the pool knows no methods
            return file
        try:
            file.pool.FindFileContainingSymbol(symbol)
        except KeyError:
            continue
        return file
    return None
