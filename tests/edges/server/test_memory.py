"""An answered request leaves nothing behind: its memory is there for the next one at once."""

import http.client
import json
import socket
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http

from tests.support import onnx_models
from tests.support.server import Server, serving

ROWS = np.zeros((1 << 17, 2), np.float32)  # 1 MB
REQUESTS = 120
MOST_GROWTH = 60 << 20
CLIENTS = 8
MOST_FAULTS = 100  # a request, whose 3 MB are 650 pages


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    path.write_bytes(onnx_models.double())
    with serving(path) as started:
        yield started


def memory(server: Server) -> int:
    """Bytes of the process that are its own."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) << 10


def page_faults(server: Server) -> int:
    """How often the process had to ask the kernel for a page."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[7])


def over_http(server: Server) -> Generator[None]:
    tensor = triton_http.InferInput("x", ROWS.shape, "FP32")
    tensor.set_data_from_numpy(ROWS)
    with triton_http.InferenceServerClient(f"127.0.0.1:{server.http}") as client:
        while True:
            client.infer("m", [tensor])
            yield


def over_grpc(server: Server) -> Generator[None]:
    tensor = triton_grpc.InferInput("x", ROWS.shape, "FP32")
    tensor.set_data_from_numpy(ROWS)
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
        while True:
            client.infer("m", [tensor])
            yield


def refused(server: Server) -> Generator[None]:
    connection = http.client.HTTPConnection("127.0.0.1", server.http)
    try:
        while True:
            connection.request("POST", "/v2/models/m/infer", b" " * ROWS.nbytes)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 400
            yield
    finally:
        connection.close()


def cut_short(server: Server) -> Generator[None]:
    request = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n"
    while True:
        with socket.create_connection(("127.0.0.1", server.http)) as sender:
            sender.sendall(request % (2 * ROWS.nbytes) + ROWS.tobytes())
        yield


@pytest.mark.parametrize("ask", [over_http, over_grpc, refused, cut_short])
def test_large_requests_leave_nothing_behind(
    server: Server, ask: Callable[[Server], Generator[None]]
) -> None:
    requests = ask(server)
    for _ in range(8):
        next(requests)
    before = memory(server)
    for _ in range(REQUESTS):
        next(requests)
    requests.close()
    assert server.infer([1.0, 2.0])[0] == 200
    assert memory(server) - before < MOST_GROWTH


def test_large_requests_take_the_memory_that_those_before_them_freed(server: Server) -> None:
    rows = np.random.default_rng(7).random((1 << 16, 2), np.float32)
    tensor = {"name": "x", "datatype": "FP32", "shape": rows.shape, "data": rows.ravel().tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()

    def ask(times: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.http)
        for _ in range(times):
            connection.request("POST", "/v2/models/m/infer", body)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(ask, [4] * CLIENTS))
        before = page_faults(server)
        list(clients.map(ask, [REQUESTS // CLIENTS] * CLIENTS))
    assert (page_faults(server) - before) / REQUESTS < MOST_FAULTS


def test_what_loading_a_model_left_is_given_back(server: Server, tmp_path: Path) -> None:
    width = 2048
    weights = width * width * 4
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_models.heavy(width))
    with serving(path) as heavy:
        assert memory(heavy) - memory(server) < 2 * weights
