"""Every door of a real server, by clients that others wrote where there are any."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from slipway.artifacts.layout import digest_of
from slipway.artifacts.manifest import Tensor
from slipway.contract import ServerMetric
from slipway_server.protocol.pb import health_pb2 as health
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from tests.cluster import golang
from tests.support import onnx_models
from tests.support.artifacts import Artifact
from tests.support.server import Server, serving

ROWS = np.array([[0.5, -1.25], [3.0, 4.0]], np.float32)


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    artifact = Artifact(
        model=onnx_models.double(),
        golden={"input:x": ROWS, "output:y": ROWS * 2},
    )
    folder = artifact.write(tmp_path_factory.mktemp("double"))
    with serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def pick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(model_file(tmp_path_factory, onnx_models.pick())) as server:
        yield server


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(model_file(tmp_path_factory, onnx_models.text())) as server:
        yield server


@pytest.fixture(scope="module")
def logarithm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(model_file(tmp_path_factory, onnx_models.logarithm())) as server:
        yield server


def model_file(factory: pytest.TempPathFactory, model: bytes) -> Path:
    path = factory.mktemp("model") / "model.onnx"
    path.write_bytes(model)
    return path


@pytest.mark.parametrize("ask_binary", [False, True])
@pytest.mark.parametrize("send_binary", [False, True])
def test_tritons_http_client(double: Server, send_binary: bool, ask_binary: bool) -> None:
    with triton_http.InferenceServerClient(f"127.0.0.1:{double.http}") as client:
        value = triton_http.InferInput("x", ROWS.shape, "FP32")
        value.set_data_from_numpy(ROWS, binary_data=send_binary)
        wanted = [triton_http.InferRequestedOutput("y", binary_data=ask_binary)]
        answer = client.infer("m", [value], outputs=wanted, request_id="7")
        np.testing.assert_array_equal(answer.as_numpy("y"), ROWS * 2)
        assert answer.get_response()["id"] == "7"
        np.testing.assert_array_equal(client.infer("m", [value]).as_numpy("y"), ROWS * 2)


def test_tritons_http_client_asks_for_health_and_metadata(double: Server) -> None:
    with triton_http.InferenceServerClient(f"127.0.0.1:{double.http}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("m")
        assert not client.is_model_ready("other")
        assert client.get_server_metadata()["name"] == "slipway"
        metadata = client.get_model_metadata("m")
        assert client.get_model_metadata("m", metadata["versions"][0]) == metadata
        assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
        assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}]


def test_tritons_grpc_client(double: Server) -> None:
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{double.grpc}") as client:
        value = triton_grpc.InferInput("x", ROWS.shape, "FP32")
        value.set_data_from_numpy(ROWS)
        answer = client.infer("m", [value], request_id="7", client_timeout=30)
        np.testing.assert_array_equal(answer.as_numpy("y"), ROWS * 2)
        assert answer.get_response().id == "7"
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("m")
        assert client.get_server_metadata().name == "slipway"
        metadata = client.get_model_metadata("m")
        assert [tensor.name for tensor in metadata.inputs] == ["x"]
        assert list(metadata.outputs[0].shape) == [-1, 2]
        for call in (client.get_model_metadata, client.is_model_ready):
            with pytest.raises(InferenceServerException, match="is not served here"):
                call("other")


@pytest.mark.parametrize("binary", [False, True])
def test_several_tensors_of_other_types(pick: Server, binary: bool) -> None:
    row = np.array([[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]])
    place = np.array([[2], [0]])
    for module, port, options in (
        (triton_http, pick.http, {"binary_data": binary}),
        (triton_grpc, pick.grpc, {}),
    ):
        with module.InferenceServerClient(f"127.0.0.1:{port}") as client:
            values = []
            for name, array, datatype in (("place", place, "INT64"), ("row", row, "FP64")):
                value = module.InferInput(name, array.shape, datatype)
                value.set_data_from_numpy(array, **options)
                values.append(value)
            answer = client.infer("m", values)
            assert answer.as_numpy("value").tolist() == [[3.5], [4.5]]
            assert answer.as_numpy("again").tolist() == [[2], [0]]
            only = client.infer("m", values, outputs=[module.InferRequestedOutput("again")])
            assert only.as_numpy("value") is None
            assert only.as_numpy("again").tolist() == [[2], [0]]


@pytest.mark.parametrize("binary", [False, True])
def test_text(text: Server, binary: bool) -> None:
    words = np.array(["", "plain", "é\n\0x"], object)
    for module, port, options in (
        (triton_http, text.http, {"binary_data": binary}),
        (triton_grpc, text.grpc, {}),
    ):
        with module.InferenceServerClient(f"127.0.0.1:{port}") as client:
            value = module.InferInput("s", words.shape, "BYTES")
            value.set_data_from_numpy(words, **options)
            answer = client.infer("m", [value]).as_numpy("t")
            assert [bytes(item).decode() for item in answer] == list(words)


def test_kserve_v1(double: Server, pick: Server) -> None:
    assert double.get("/v1/models")[:2] == (200, {"models": ["m"]})
    status, body, _ = double.get("/v1/models/m")
    assert (status, body["name"], body["ready"]) == (200, "m", True)
    assert double.post("/v1/models/m:predict", {"instances": ROWS.tolist()})[:2] == (
        200, {"predictions": (ROWS * 2).tolist()},
    )  # fmt: skip
    rows = [{"row": [1.5, 2.5, 3.5], "place": [1]}]
    assert pick.post("/v1/models/m:predict", {"instances": rows})[:2] == (
        200, {"predictions": [{"value": [2.5], "again": [1]}]},
    )  # fmt: skip


def test_answers_name_revision_and_artifact(double: Server, tmp_path: Path) -> None:
    manifest = Artifact(
        model=onnx_models.double(), golden={"input:x": ROWS, "output:y": ROWS * 2}
    ).manifest_bytes()
    status, body, headers = double.infer([1.0, 2.0])
    assert status == 200
    assert headers["slipway-artifact"] == digest_of(manifest)
    assert headers["slipway-revision"] == body["model_version"] == digest_of(manifest)[7:19]
    with grpc.insecure_channel(f"127.0.0.1:{double.grpc}") as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/inference.GRPCInferenceService/ServerLive"
        )
        _, rpc = call.with_call(b"")
        trailers = dict(rpc.trailing_metadata())
    assert trailers["slipway-revision"] == headers["slipway-revision"]


@pytest.mark.skipif(
    not golang.program("grpcurl").is_file(), reason="`python -m tests.cluster build http2`"
)
def test_grpcurl_needs_no_proto_files(double: Server) -> None:
    def grpcurl(*words: str) -> str:
        program = str(golang.program("grpcurl"))
        done = subprocess.run(
            [program, "-plaintext", *words], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    address = f"127.0.0.1:{double.grpc}"
    assert grpcurl(address, "list").split() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "inference.GRPCInferenceService",
    ]
    assert "rpc ModelInfer" in grpcurl(address, "describe", "inference.GRPCInferenceService")
    assert "not found" in grpcurl(address, "describe", "inference.Other").lower()
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32"}
    request = {"model_name": "m", "inputs": [tensor | {"contents": {"fp32_contents": [1, 2]}}]}
    method = "inference.GRPCInferenceService/ModelInfer"
    answer = json.loads(grpcurl("-d", json.dumps(request), address, method))
    assert answer["outputs"][0]["contents"] == {"fp32_contents": [2, 4]}
    request["model_name"] = "other"
    assert "Code: NotFound" in grpcurl("-d", json.dumps(request), address, method)


def test_grpc_health(double: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{double.grpc}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health.HealthCheckRequest.SerializeToString,
            response_deserializer=health.HealthCheckResponse.FromString,
        )
        for service in ("", "inference.GRPCInferenceService", "m"):
            answer = check(health.HealthCheckRequest(service=service))
            assert answer.status == health.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            check(health.HealthCheckRequest(service="other"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"model_name": "other"}, grpc.StatusCode.NOT_FOUND, "is not served here"),
        ({"model_version": "9"}, grpc.StatusCode.NOT_FOUND, "is not served here"),
        ({"raw_input_contents": [b"1"]}, grpc.StatusCode.INVALID_ARGUMENT, "has 1 bytes"),
    ],
)
def test_grpc_errors(double: Server, change: dict[str, Any], code: Any, text: str) -> None:
    request = pb.ModelInferRequest(**{"model_name": "m", "raw_input_contents": [bytes(8)]} | change)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    with grpc.insecure_channel(f"127.0.0.1:{double.grpc}") as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer"
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(request.SerializeToString())
    assert (caught.value.code(), text in (caught.value.details() or "")) == (code, True)


def test_a_grpc_method_that_does_not_exist(double: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{double.grpc}") as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/inference.GRPCInferenceService/RepositoryIndex"
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_what_is_not_finite_is_a_failure_of_the_model_on_every_door(logarithm: Server) -> None:
    message = "output 'y' has non-finite values (NaN or infinity)"
    for bad in (-1.0, 0.0):
        assert logarithm.infer([1.0, bad])[:2] == (500, {"error": message})
        assert logarithm.post("/v1/models/m:predict", {"instances": [[1.0, bad]]})[:2] == (
            500, {"error": message},
        )  # fmt: skip
        with triton_grpc.InferenceServerClient(f"127.0.0.1:{logarithm.grpc}") as client:
            value = triton_grpc.InferInput("x", [1, 2], "FP32")
            value.set_data_from_numpy(np.array([[1.0, bad]], np.float32))
            with pytest.raises(InferenceServerException, match="has non-finite values") as caught:
                client.infer("m", [value])
            assert caught.value.status() == "StatusCode.INTERNAL"
    assert logarithm.infer([1.0, 1.0])[0] == 200
    requests = ServerMetric.REQUESTS
    assert logarithm.metric(ServerMetric.NONFINITE) == 6
    for door, code in (("rest", "500"), ("v1", "500"), ("grpc", "INTERNAL")):
        assert logarithm.metric(requests, door=door, code=code, outcome="server_error") == 2


def test_requests_are_counted_by_door_code_and_outcome(text: Server) -> None:
    requests = ServerMetric.REQUESTS
    before = {code: text.metric(requests, door="rest", code=code) for code in ("200", "400", "404")}
    text.post("/v2/models/m/infer", {"inputs": [{"name": "s", "shape": [1], "datatype": "BYTES", "data": ["a"]}]})  # noqa: E501 # fmt: skip
    text.post("/v2/models/m/infer", {})
    text.post("/v2/models/other/infer", {})
    assert text.metric(requests, door="rest", code="200") == before["200"] + 1
    assert text.metric(requests, code="400", outcome="client_error") == before["400"] + 1
    assert text.metric(requests, door="rest", code="404") == before["404"]
    assert text.metric(f"{ServerMetric.LATENCY}_count", door="rest", code="400") >= 1
    assert text.metric(ServerMetric.INFO, revision="1") == 1
    assert text.metric(ServerMetric.INFLIGHT) == 0
    assert text.metric(ServerMetric.STARTUP, phase="load") > 0


def test_a_model_with_a_wrong_manifest_is_not_served(tmp_path: Path) -> None:
    artifact = Artifact(
        model=onnx_models.double(), inputs=(Tensor(name="z", datatype="FP32", shape=(-1, 2)),)
    )
    with serving(artifact.write(tmp_path), wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert "the manifest lists the inputs [('z', 'FP32')], but the model has" in server.log()


def test_answers_of_the_same_model_are_the_same_whatever_runs_beside(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with serving(model_file(tmp_path_factory, onnx_models.normalised())) as server:

        def ask(number: int) -> tuple[int, Any]:
            status, body, _ = server.infer([1.0, float(number)])
            return status, body["outputs"][0]["data"][0]

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(64)))
        for number, answer in enumerate(answers):
            assert answer == (200, pytest.approx(1 / (1 + number))), json.dumps(answers)
        assert " batch=1 " in server.log()
