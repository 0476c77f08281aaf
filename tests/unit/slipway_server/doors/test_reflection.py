"""What tools are told about the services; a real one asks in ``edges/server/test_doors.py``."""

from typing import Any

import pytest

from slipway_server.doors import reflection
from slipway_server.protocol.pb import open_inference_grpc_pb2 as inference
from slipway_server.protocol.pb import reflection_pb2 as pb
from slipway_server.transport.rpc import RpcRefused

NEW, OLD = reflection.methods()


async def ask(path: str = NEW, **question: Any) -> pb.ServerReflectionResponse:
    request = pb.ServerReflectionRequest(host="h", **question)
    method = reflection.methods()[path]
    answer = pb.ServerReflectionResponse.FromString(
        await method(request.SerializeToString(), seconds=None)
    )
    assert (answer.valid_host, answer.original_request) == ("h", request)
    return answer


async def test_both_names_of_the_protocol_are_served() -> None:
    assert OLD == "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    for path in (NEW, OLD):
        services = (await ask(path, list_services="*")).list_services_response.service
        assert [service.name for service in services] == [
            "inference.GRPCInferenceService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
        ]


@pytest.mark.parametrize(
    "question",
    [
        {"file_containing_symbol": "inference.GRPCInferenceService"},
        {"file_containing_symbol": "inference.GRPCInferenceService.ModelInfer"},
        {"file_containing_symbol": "inference.ModelInferRequest"},
        {"file_by_filename": inference.DESCRIPTOR.name},
    ],
)
async def test_files_by_what_is_in_them_and_by_name(question: dict[str, str]) -> None:
    files = (await ask(**question)).file_descriptor_response.file_descriptor_proto
    assert list(files) == [inference.DESCRIPTOR.serialized_pb]


@pytest.mark.parametrize(
    ("question", "code", "text"),
    [
        ({"file_containing_symbol": "a.B"}, 5, "'a.B' is unknown here"),
        ({"file_containing_symbol": "inference.A.B"}, 5, "'inference.A.B' is unknown here"),
        ({"file_by_filename": "a.proto"}, 5, "'a.proto' is unknown here"),
        ({"all_extension_numbers_of_type": "a"}, 12, "the services here have no extensions"),
        ({}, 12, "the services here have no extensions"),
    ],
)
async def test_what_there_is_not(question: dict[str, str], code: int, text: str) -> None:
    error = (await ask(**question)).error_response
    assert (error.error_code, error.error_message) == (code, text)


async def test_bytes_that_are_no_question_are_refused() -> None:
    with pytest.raises(RpcRefused, match="not a ServerReflectionRequest") as caught:
        await reflection.methods()[NEW](b"\xff", seconds=None)
    assert caught.value.code == "INVALID_ARGUMENT"
