"""HTTP/1.1 as hostile or odd peers speak it, against the real server over raw sockets."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import onnx_models
from tests.support.server import Server, serving

BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
).encode()
HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\n"
INFER = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(onnx_models.double())
    with serving(path) as running:
        yield running
        assert running.get("/v2/health/live")[0] == 200
        assert "a request hit a bug" not in running.log()


class Peer:
    """A raw connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, *parts: bytes) -> "Peer":
        """Send the parts one by one."""
        for part in parts:
            self._socket.sendall(part)
        return self

    def answer(self, *, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        line = self._file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        headers: dict[str, str] = {}
        while (raw := self._file.readline()) != b"\r\n":
            name, _, value = raw.decode().partition(":")
            assert name not in headers
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0)) if body else 0
        return int(line.split()[1]), headers, self._file.read(length)

    def closed(self) -> bool:
        """Whether the server has ended the connection, or does so now."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    with Peer(server.http) as connection:
        yield connection


def data_of(body: bytes) -> list[float]:
    values: list[float] = json.loads(body)["outputs"][0]["data"]
    return values


def test_a_connection_is_kept_and_every_answer_is_dated(peer: Peer) -> None:
    for _ in range(3):
        status, headers, body = peer.send(INFER).answer()
        assert (status, data_of(body)) == (200, [2, 4])
        assert headers["date"].endswith("GMT")
        assert "connection" not in headers


def test_pipelined_requests_are_answered_in_order(peer: Peer) -> None:
    bodies = [BODY.replace(b"[1, 2]}", b"[%d, 0]}" % number) for number in range(200)]
    requests = [
        HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body + (LIVE if number % 3 else b"")
        for number, body in enumerate(bodies)
    ]
    peer.send(b"".join(requests))
    for number in range(200):
        assert data_of(peer.answer()[2]) == [2 * number, 0]
        if number % 3:
            assert json.loads(peer.answer()[2]) == {"live": True}


def test_a_request_may_come_byte_by_byte(peer: Peer) -> None:
    peer.send(*(INFER[place : place + 1] for place in range(len(INFER))))
    assert peer.answer()[0] == 200


def test_chunked_bodies(peer: Peer) -> None:
    chunks = [BODY[:1], BODY[1:50], BODY[50:]]
    peer.send(CHUNKED, *(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks), b"0\r\n\r\n")
    assert data_of(peer.answer()[2]) == [2, 4]
    assert peer.send(LIVE).answer()[0] == 200


def test_expect_100_continue(peer: Peer) -> None:
    head, _, _ = INFER.partition(b"\r\n\r\n")
    peer.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert peer.answer() == (100, {}, b"")
    assert peer.send(BODY).answer()[0] == 200


def test_continue_is_not_said_to_what_is_refused_anyway(peer: Peer) -> None:
    peer.send(HEAD + b"Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n")
    assert peer.answer()[0] == 413
    assert peer.closed()


def test_head_has_the_headers_of_get_and_no_body(peer: Peer) -> None:
    _, expected, _ = peer.send(LIVE).answer()
    status, headers, _ = peer.send(LIVE.replace(b"GET", b"HEAD")).answer(body=False)
    assert (status, headers["content-length"]) == (200, expected["content-length"])
    assert peer.send(LIVE).answer()[0] == 200


@pytest.mark.parametrize(
    "request_", [LIVE.replace(b"Host", b"Connection: close\r\nHost"), LIVE.replace(b"1.1", b"1.0")]
)
def test_a_client_that_wants_no_more_gets_no_more(peer: Peer, request_: bytes) -> None:
    status, headers, _ = peer.send(request_).answer()
    assert (status, headers["connection"]) == (200, "close")
    assert peer.closed()


def test_an_upgrade_is_ignored(peer: Peer) -> None:
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    assert peer.send(LIVE.replace(b"Host", wish + b"Host")).answer()[0] == 200
    assert peer.send(LIVE).answer()[0] == 200
    assert peer.send(INFER.replace(b"Host", wish + b"Host") + LIVE).answer()[0] == 200
    assert peer.answer()[0] == 200


def test_query_strings_and_percent_signs_in_a_path(peer: Peer) -> None:
    assert peer.send(INFER.replace(b"/infer", b"/infer?a=b")).answer()[0] == 200
    assert peer.send(INFER.replace(b"/m/", b"/%6d/")).answer()[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/nowhere", 404, "'/nowhere' does not exist"),
        ("POST", "/v2/models/other/infer", 404, "is not served here: the model is 'm'"),
        ("POST", "/v2/models/m/versions/9/infer", 404, "is not served here"),
        ("GET", "/v2/models/m/versions/1", 200, ""),
        ("POST", "/v2/repository/index", 404, "does not exist"),
        ("POST", "/v2/models/m/unload", 404, "is not served here"),
        ("GET", "/v2/models/m/infer", 405, "method GET is not allowed here: use POST"),
        ("DELETE", "/v2/models/m", 405, "use GET, HEAD"),
        ("POST", "/v2/models/m/infer", 400, "not valid JSON"),
        ("GET", "/../../etc/passwd", 404, "does not exist"),
        ("GET", "/v2/models/%00%ff", 404, "is not served here"),
    ],
)
def test_routes(server: Server, method: str, path: str, status: int, text: str) -> None:
    found, body, headers = server.request(method, path)
    assert found == status
    assert text in body.get("error", "")
    assert ("allow" in headers) == (status == 405)


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "no HTTP": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 hello\r\n\r\n", 400, "not valid HTTP"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "not valid HTTP"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400, "exactly one Host"),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "exactly one Host"),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "not valid"),
    "equal lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "not valid"),
    "length and chunks": (
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400, "not valid",
    ),
    "chunks and length": (
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        400, "not valid",
    ),
    "chunked not last": (
        HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, "not valid",
    ),
    "chunked in disguise": (
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "not valid",
    ),
    "negative length": (HEAD + b"Content-Length: -1\r\n\r\n", 400, "not valid"),
    "length with a sign": (HEAD + b"Content-Length: +2\r\n\r\n{}", 400, "not valid"),
    "length too long": (HEAD + b"Content-Length: 9" + b"9" * 30 + b"\r\n\r\n", 400, "not valid"),
    "space before colon": (HEAD + b"Content-Length : 2\r\n\r\n{}", 400, "not valid"),
    "folded header": (HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}", 400, "not valid"),
    "bare line feed": (HEAD.replace(b"\r\n", b"\n") + b"\n", 400, "not valid"),
    "NUL in a header": (HEAD + b"X: a\0b\r\n\r\n", 400, "not valid"),
    "no version": (b"GET /v2\r\nHost: a\r\n\r\n", 400, "not valid"),
    "an old version": (b"GET /v2 HTTP/0.9\r\nHost: a\r\n\r\n", 400, "not valid"),
    "a new version": (b"GET /v2 HTTP/1.2\r\nHost: a\r\n\r\n", 400, "not valid"),
    "bare CR in a header": (HEAD + b"X: a\rContent-Length: 2\r\n\r\n{}", 400, "not valid"),
    "CR CR LF": (HEAD + b"X: a\r\r\nContent-Length: 2\r\n\r\n{}", 400, "not valid"),
    "no name": (HEAD + b": a\r\n\r\n", 400, "not valid"),
    "space in a name": (HEAD + b"Content Length: 2\r\n\r\n{}", 400, "not valid"),
    "length in a list": (HEAD + b"Content-Length: 2, 2\r\n\r\n{}", 400, "not valid"),
    "length in hex": (HEAD + b"Content-Length: 0x2\r\n\r\n{}", 400, "not valid"),
    "chunked twice": (
        HEAD + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400, "not valid",
    ),
    "chunk size with a sign": (CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n", 400, "not valid"),
    "chunk size with 0x": (CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n", 400, "not valid"),
    "chunk size behind a space": (CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n", 400, "not valid"),
    "chunk that ends by LF": (CHUNKED + b"2\n{}\r\n0\r\n\r\n", 400, "not valid"),
    "chunk longer than it says": (CHUNKED + b"1\r\n{}\r\n0\r\n\r\n", 400, "not valid"),
    "bad chunk size": (CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", 400, "not valid"),
    "huge chunk size": (CHUNKED + b"f" * 30 + b"\r\n", 400, "not valid"),
    "body too large": (HEAD + b"Content-Length: 67108865\r\n\r\n", 413, "larger than 67108864"),
    "head too large": (HEAD + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431, "head is larger than"),
    "many headers": (HEAD + b"X: a\r\n" * 9_000 + b"\r\n", 431, "head is larger than"),
    "long target": (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n", 431, "head is larger than"),
    "endless head": (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000, 431, "head is larger than"),
    "unknown coding": (
        HEAD + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", 415, "zstd, gzip, deflate",
    ),
    "two codings": (
        HEAD + b"Content-Encoding: gzip\r\n" * 2 + b"Content-Length: 2\r\n\r\n{}", 415,
        "not supported",
    ),
    "not of its coding": (
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 400, "is not gzip",
    ),
    "endless trailers": (
        CHUNKED + b"0\r\n" + b"X: a\r\n" * 9_000, 431, "head is larger than",
    ),
    "endless trailer": (CHUNKED + b"0\r\nX: " + b"a" * 400_000, 431, "head is larger than"),
    "endless chunk extension": (CHUNKED + b"2;a=" + b"a" * 400_000, 431, "head is larger than"),
    "endless empty lines": (b"\r\n" * 40_000, 431, "head is larger than"),
    "another wish": (HEAD + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}", 417, "expectation"),
    "bad json length": (
        HEAD + b"Inference-Header-Content-Length: x\r\nContent-Length: 2\r\n\r\n{}", 400,
        "Inference-Header-Content-Length",
    ),
    "json length twice": (
        HEAD + b"Inference-Header-Content-Length: 2\r\n" * 2 + b"Content-Length: 2\r\n\r\n{}", 400,
        "Inference-Header-Content-Length",
    ),
    "connect": (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nrest", 404, "does not exist"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_costs_its_own_connection_only(server: Server, case: str) -> None:
    data, status, text = REFUSED[case]
    with Peer(server.http) as peer:
        found, headers, body = peer.send(data).answer()
        assert (found, text in json.loads(body)["error"]) == (status, True), body
        assert headers["connection"] == "close"
        assert peer.closed()


def test_requests_before_a_bad_one_are_answered_first(peer: Peer) -> None:
    peer.send(INFER + INFER + b"NONSENSE\r\n\r\n" + INFER)
    assert [peer.answer()[0] for _ in range(3)] == [200, 200, 400]
    assert peer.closed()


def test_a_smuggled_request_is_not_answered(peer: Peer) -> None:
    hidden = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    smuggling = HEAD + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    peer.send(smuggling % (5 + len(hidden)) + hidden)
    assert peer.answer()[0] == 400
    assert peer.closed()


def test_a_large_body_is_taken_and_a_client_that_leaves_hurts_nobody(server: Server) -> None:
    rows = 400_000
    text = b"%d,%d," % (1, 2) * rows
    body = BODY.replace(b"[1, 2]}", b"[" + text[:-1] + b"]}").replace(b"[1, 2]", b"[%d, 2]" % rows)
    large = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with Peer(server.http) as leaver:
        leaver.send(large[: len(large) // 2])
    with Peer(server.http) as deserter, Peer(server.http) as patient:
        deserter.send(large)
        patient.send(large)
        status, _, answer = patient.answer()
    assert (status, len(data_of(answer))) == (200, 2 * rows)
    assert server.metric("slipway_requests_in_flight") == 0


def test_many_idle_connections_are_no_burden(server: Server) -> None:
    peers = [Peer(server.http) for _ in range(500)]
    try:
        assert server.infer([1.0, 2.0])[0] == 200
        for peer in peers[::50]:
            assert peer.send(LIVE).answer()[0] == 200
    finally:
        for peer in peers:
            peer.__exit__()


def test_nothing_of_the_machine_is_told(server: Server, tmp_path: Path) -> None:
    answers: list[Any] = [server.request("POST", "/v2/models/m/infer", b"{")[1]]
    answers += [server.get(path)[1] for path in ("/", "/v2", "/v2/models/m", "/none")]
    text = json.dumps(answers)
    for secret in (str(tmp_path.parent), "Traceback", ".py", "onnxruntime.capi"):
        assert secret not in text
