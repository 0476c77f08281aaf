"""Who may ask and what is told of it: TLS, a token, the access log, spans."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import psutil
import pytest
import trustme
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from tests.support import onnx_models
from tests.support.server import Server, serving

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
INFER = "/inference.GRPCInferenceService/ModelInfer"
TRANSPORTS = ("own", "grpc.aio")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_models.double())
    return path


class Authority:
    """Gives certificates for localhost, in files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.env = {
            "SLIPWAY_TLS_CERTIFICATE": str(folder / "tls.crt"),
            "SLIPWAY_TLS_KEY": str(folder / "tls.key"),
        }
        self.renew()

    def renew(self) -> None:
        """Another authority, certificate and key take the place of those before."""
        authority = trustme.CA()
        pair = authority.issue_cert("localhost", "127.0.0.1")
        self.root = authority.cert_pem.bytes()
        for name, data in (
            ("tls.crt", b"".join(blob.bytes() for blob in pair.cert_chain_pems)),
            ("tls.key", pair.private_key_pem.bytes()),
        ):
            part = self._folder / f".{name}"
            part.write_bytes(data)
            part.replace(self._folder / name)

    def context(self) -> ssl.SSLContext:
        """A client's that trusts this authority alone."""
        return ssl.create_default_context(cadata=self.root.decode())


def request_of_rows() -> bytes:
    request = pb.ModelInferRequest(model_name="m", raw_input_contents=[bytes(8)])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    return request.SerializeToString()


def https_status(server: Server, context: ssl.SSLContext) -> int:
    connection = http.client.HTTPSConnection("localhost", server.http, context=context, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status


def https_answer(server: Server, context: ssl.SSLContext, *, rows: int) -> bytes:
    tensor = {"name": "x", "shape": [rows, 2], "datatype": "FP32", "data": [1.5] * 2 * rows}
    body = json.dumps({"inputs": [tensor]})
    connection = http.client.HTTPSConnection("localhost", server.http, context=context, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", "/v2/models/m/infer", body)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()


def call(
    server: Server, root: bytes | None = None, metadata: Mapping[str, str] | None = None
) -> bytes:
    where = f"localhost:{server.grpc}"
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = (
        grpc.insecure_channel(where, options)
        if root is None
        else grpc.secure_channel(where, grpc.ssl_channel_credentials(root), options)
    )
    with channel:
        infer: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(INFER)
        return infer(request_of_rows(), metadata=tuple((metadata or {}).items()), timeout=60)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_tls_on_both_ports_follows_a_renewed_certificate(
    model: Path, tmp_path: Path, transport: str
) -> None:
    authority = Authority(tmp_path)
    env = authority.env | {"SLIPWAY_GRPC_TRANSPORT": transport}
    with serving(model, env=env) as server:
        old, old_root = authority.context(), authority.root
        assert https_status(server, old) == 200
        assert call(server, authority.root)
        assert len(https_answer(server, old, rows=30_000)) > 200_000
        with pytest.raises((OSError, http.client.HTTPException)):
            server.get("/v2/health/ready")  # in the clear
        authority.renew()
        wait_for(lambda: "the certificate was renewed" in server.log())
        assert https_status(server, authority.context()) == 200
        assert call(server, authority.root)
        with pytest.raises(ssl.SSLCertVerificationError):
            https_status(server, old)
        with pytest.raises(grpc.RpcError):
            call(server, old_root)
        (tmp_path / "tls.key").write_text("half of a renewal")
        wait_for(lambda: "the old certificate stays in use" in server.log())
        assert https_status(server, authority.context()) == 200
        assert "BEGIN" not in server.log()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
def test_old_versions_of_tls_are_refused(model: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with serving(model, env=authority.env) as server:
        context = authority.context()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError):  # noqa: PT011 - many kinds, each a refusal
            https_status(server, context)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda folder: (folder / "tls.key").unlink(), "TLS file 'tls.key' cannot be read"),
        (lambda folder: (folder / "tls.crt").write_text("x"), "are no certificate and its key"),
    ],
    ids=["no key", "no certificate"],
)
def test_files_that_are_no_pair_are_told_at_the_start(
    model: Path, tmp_path: Path, change: Callable[[Path], object], text: str
) -> None:
    authority = Authority(tmp_path)
    change(tmp_path)
    with serving(model, env=authority.env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert text in server.log()
        assert "Traceback" not in server.log()


def test_one_of_two_files_is_told_at_the_start(model: Path, tmp_path: Path) -> None:
    env = {"SLIPWAY_TLS_KEY": str(tmp_path / "tls.key")}
    with serving(model, env=env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert "only one of SLIPWAY_TLS_CERTIFICATE and SLIPWAY_TLS_KEY is set" in server.log()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_token_is_wanted_and_followed(model: Path, tmp_path: Path, transport: str) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    env = {"SLIPWAY_TOKEN_FILE": str(token), "SLIPWAY_GRPC_TRANSPORT": transport}
    with serving(model, env=env) as server:

        def status(path: str, shown: str | None) -> int:
            headers = {} if shown is None else {"Authorization": shown}
            return server.request("GET", path, None, headers)[0]

        for path in ("/v2/health/live", "/v2/health/ready", "/ping", "/metrics", "/"):
            assert status(path, None) == 200
        for shown in (None, "first", "Bearer", "Bearer second", "Basic first", "Bearer first2"):
            for path in ("/v2/models/m", "/v1/models", "/openapi.json", "/none"):
                assert status(path, shown) == 401
        assert [status("/v2/models/m", shown) for shown in ("Bearer first", "bearer first ")] == [
            200, 200,
        ]  # fmt: skip
        code, body, headers = server.post("/predictions/m", [[1, 2]])
        assert (code, body["code"], headers["www-authenticate"]) == (401, 401, "Bearer")
        assert call(server, metadata={"authorization": "Bearer first"})
        for metadata in ({}, {"authorization": "Bearer second"}):
            with pytest.raises(grpc.RpcError) as caught:
                call(server, metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
            ready: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/grpc.health.v1.Health/Check"
            )
            assert ready(b"", timeout=60)
        token.write_text("second")
        wait_for(lambda: status("/v2/models/m", "Bearer second") == 200)
        assert status("/v2/models/m", "Bearer first") == 401
        token.write_text("")
        wait_for(lambda: "the old token stays in force" in server.log())
        assert status("/v2/models/m", "Bearer second") == 200
        time.sleep(1.2)  # two more looks at the file
        assert server.log().count("the old token stays in force") == 1
        assert not any(word in server.log() for word in ("first", "second"))


def test_without_a_token_in_its_file_nothing_starts(model: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n")
    env = {"SLIPWAY_TOKEN_FILE": str(tmp_path / "token")}
    with serving(model, env=env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert "token file 'token' is empty" in server.log()


def test_nothing_listens_but_the_two_doors_where_they_were_asked_for(model: Path) -> None:
    with serving(model) as server:
        server.infer([1.0, 2.0])
        found = psutil.Process(server.process.pid).net_connections("all")
        listening = {one.laddr for one in found if one.status == psutil.CONN_LISTEN}
        assert listening == {("127.0.0.1", server.http), ("127.0.0.1", server.grpc)}
        assert not [one for one in found if one.type == socket.SOCK_DGRAM]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_access_log_has_a_line_for_each_request(model: Path, transport: str) -> None:
    env = {"SLIPWAY_ACCESS_LOG": "json", "SLIPWAY_GRPC_TRANSPORT": transport}
    with serving(model, env=env) as server:
        body = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'
        path = "/v2/models/m/infer"
        headers = {"traceparent": PARENT}
        status, _, given = server.request("POST", f"{path}?key=private", body, headers)
        assert (status, given["traceparent"]) == (200, PARENT)
        size = int(given["content-length"])
        status, _, given = server.request("POST", path, b"{", {"traceparent": 'nonsense"}{'})
        assert (status, "traceparent" in given) == (400, False)
        answer = call(server, metadata={"traceparent": PARENT})
        wait_for(lambda: server.log().count('"protocol"') == 3)
        lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
        for line in lines:
            assert line.pop("time").endswith("Z")
            assert 0 <= line.pop("ms") < 60_000
        common = {"protocol": "http", "method": "POST", "path": path}
        assert lines == [
            common | {"code": 200, "received": len(body), "sent": size, "traceparent": PARENT},
            common | {"code": 400, "received": 1, "sent": lines[1]["sent"]},
            {
                "protocol": "grpc",
                "method": INFER[1:],
                "code": "OK",
                "received": len(request_of_rows()),
                "sent": len(answer),
                "traceparent": PARENT,
            },
        ]
        assert "private" not in server.log()


class Collector(BaseHTTPRequestHandler):
    """Takes spans as an OpenTelemetry collector does."""

    received: list[bytes]

    def do_POST(self) -> None:
        """Keep the body."""
        self.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    received: list[bytes] = []
    handler = type("Own", (Collector,), {"received": received})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", received
        server.shutdown()
        thread.join()


def test_spans_reach_a_collector_as_children_of_the_clients(
    model: Path, collector: tuple[str, list[bytes]]
) -> None:
    url, received = collector
    env = {"SLIPWAY_SPANS": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url}
    with serving(model, env=env | {"OTEL_SERVICE_NAME": "fraud"}) as server:
        headers = {"traceparent": PARENT}
        assert server.request("POST", "/v2/models/m/infer", b"{", headers)[0] == 400
        assert call(server)
        assert server.terminate() == 0  # what was not sent yet is sent now
    exported = [ExportTraceServiceRequest.FromString(data) for data in received]
    spans = {
        span.name: (resource, span)
        for request in exported
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert spans.keys() == {"POST /v2/models/m/infer", INFER[1:]}
    resource, span = spans["POST /v2/models/m/infer"]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (PARENT[3:35], PARENT[36:52])
    assert span.end_time_unix_nano >= span.start_time_unix_nano
    assert {one.key: one.value.int_value for one in span.attributes}[
        "http.response.status_code"
    ] == 400
    names = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert names["service.name"] == "fraud"


def test_spans_without_their_packages_say_what_to_install(model: Path, tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text("raise ImportError")
    env = {"SLIPWAY_SPANS": "otlp", "PYTHONPATH": str(tmp_path)}
    with serving(model, env=env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert "install 'slipway-operator[otel]'" in server.log()
        assert "Traceback" not in server.log()


def test_options_of_the_command_win_over_variables(model: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "token").write_text("secret")
    env = {
        "SLIPWAY_TLS_CERTIFICATE": "/absent",
        "SLIPWAY_TLS_KEY": "/absent",
        "SLIPWAY_TOKEN_FILE": "/absent",
        "SLIPWAY_ACCESS_LOG": "json",
    }
    arguments = [
        f"--tls-certificate={tmp_path / 'tls.crt'}", f"--tls-key={tmp_path / 'tls.key'}",
        f"--token-file={tmp_path / 'token'}", "--access-log=off",
    ]  # fmt: skip
    with serving(model, env=env, arguments=arguments) as server:
        assert https_status(server, authority.context()) == 200
        with pytest.raises(grpc.RpcError) as caught:
            call(server, authority.root)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert '"protocol"' not in server.log()


def test_nothing_of_it_is_imported_unless_it_is_asked_for(model: Path) -> None:
    with serving(model, env={"PYTHONPROFILEIMPORTTIME": "1"}) as server:
        server.infer([1.0, 2.0])
        assert " onnxruntime" in server.log()
        for package in ("opentelemetry", "backports", "grpc.aio"):
            assert f" {package}" not in server.log()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
