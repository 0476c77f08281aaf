"""Compressed requests and answers of the real server."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import pytest
import tritonclient.http as triton_http
from backports import zstd

from tests.support import onnx_models
from tests.support.server import Server, serving

CODERS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (gzip.compress, gzip.decompress),
    "deflate": (zlib.compress, zlib.decompress),
    "zstd": (zstd.compress, zstd.decompress),
}
ROWS = [[float(number), 0.5] for number in range(2000)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(onnx_models.double())
    with serving(path) as running:
        yield running
        assert "Traceback" not in running.log()


def infer(rows: list[list[float]]) -> bytes:
    tensor = {"name": "x", "shape": [len(rows), 2], "datatype": "FP32", "data": rows}
    return json.dumps({"inputs": [tensor]}).encode()


def raw(server: Server, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", "/v2/models/m/infer", body, named)
        answer = connection.getresponse()
        given = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, given, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("coding", CODERS)
def test_both_ways(server: Server, coding: str) -> None:
    pack, unpack = CODERS[coding]
    body = pack(infer(ROWS))
    status, headers, answer = raw(server, body, Content_Encoding=coding, Accept_Encoding=coding)
    assert (status, headers["content-encoding"], headers["vary"]) == (
        200, coding, "accept-encoding",
    )  # fmt: skip
    assert len(answer) < len(unpack(answer)) / 2
    data = json.loads(unpack(answer))["outputs"][0]["data"]
    assert data == (np.array(ROWS) * 2).ravel().tolist()


def test_tiny_answers_and_clients_that_do_not_ask_get_plain_ones(server: Server) -> None:
    for rows, headers in ((ROWS[:2], {"Accept_Encoding": "gzip"}), (ROWS, {})):
        status, given, answer = raw(server, infer(rows), **headers)
        assert (status, "content-encoding" in given) == (200, False)
        assert json.loads(answer)["outputs"][0]["data"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True])
def test_tritons_client_compresses(server: Server, coding: str, binary: bool) -> None:
    rows = np.array(ROWS, np.float32)
    with triton_http.InferenceServerClient(f"127.0.0.1:{server.http}") as client:
        value = triton_http.InferInput("x", rows.shape, "FP32")
        value.set_data_from_numpy(rows, binary_data=binary)
        wanted = [triton_http.InferRequestedOutput("y", binary_data=binary)]
        answer = client.infer(
            "m", [value], outputs=wanted,
            request_compression_algorithm=coding, response_compression_algorithm=coding,
        )  # fmt: skip
        np.testing.assert_array_equal(answer.as_numpy("y"), rows * 2)


@pytest.mark.parametrize("coding", CODERS)
def test_a_bomb_is_refused_and_costs_little_memory(server: Server, coding: str) -> None:
    bomb = CODERS[coding][0](bytes(80 << 20))
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    for _ in range(3):
        status, _, answer = raw(server, bomb, Content_Encoding=coding)
        assert (status, "larger than 67108864 bytes" in answer.decode()) == (413, True)
    assert process.memory_info().rss - before < 200 << 20
    assert server.infer([1.0, 2.0])[0] == 200


@pytest.mark.parametrize("coding", CODERS)
def test_a_body_that_is_cut_short_is_told_from_bad_json(server: Server, coding: str) -> None:
    body = CODERS[coding][0](infer(ROWS))
    status, _, answer = raw(server, body[:-9], Content_Encoding=coding)
    assert (status, f"the {coding} body is cut short" in answer.decode()) == (400, True)
