"""Programs of others against our HTTP/2: h2spec, grpcio, grpc-go, nghttp2, curl."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.cluster import golang
from tests.support.rpc import HOST, Running, serving

Call = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
BUILD = "not built: `python -m tests.cluster build http2`"
NGHTTP2 = "nghttp2-client is not installed"


def built(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not golang.program(name).is_file(), reason=f"{name} is {BUILD}")


async def output(*command: str, stdin: bytes = b"") -> str:
    """What a program prints; it has to end well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    text = (await process.communicate(stdin))[0].decode()
    assert process.returncode == 0, text[-4000:]
    return text


# ---- the specification


@built("h2spec")
async def test_h2spec_passes_as_a_whole() -> None:
    async with serving() as running:
        text = await output(
            str(golang.program("h2spec")), "-S", "-h", HOST, "-p", str(running.port)
        )
    assert "146 tests, 146 passed, 0 skipped, 0 failed" in text


# ---- grpc-go


async def grpcgo(running: Running, *words: object) -> dict[str, object]:
    program = str(golang.program("grpcgo"))
    text = await output(program, f"{HOST}:{running.port}", *map(str, words))
    result: dict[str, object] = json.loads(text)
    return result


@built("grpcgo")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("calls", 2000, 50, 100), {"ok": 2000, "errors": {}}),
        (("calls", 8, 4, 9_000_000), {"ok": 8, "errors": {}}),
        (("deadline",), {"ok": 0, "errors": {"DeadlineExceeded": 1}}),
        (("cancel", 200), {"ok": 1, "errors": {"Canceled": 200}}),
        (("gzip", 300_000), {"ok": 1, "errors": {}}),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
async def test_grpc_go(words: tuple[object, ...], expected: dict[str, object]) -> None:
    async with serving() as running:
        assert await grpcgo(running, *words) == expected


# ---- nghttp2


@pytest.mark.skipif(shutil.which("h2load") is None, reason=NGHTTP2)
async def test_h2load_with_many_streams_at_once(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(bytes(5 + 30_000)[:1] + (30_000).to_bytes(4) + bytes(30_000))
    async with serving() as running:
        text = await output(
            *("h2load", "-n", "2000", "-c", "4", "-m", "50", "-d", str(tmp_path / "body")),
            *("-H", "content-type: application/grpc", "-H", "te: trailers"),
            f"http://{HOST}:{running.port}/t.T/Echo",
        )
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in text


@pytest.mark.skipif(shutil.which("nghttp") is None, reason=NGHTTP2)
async def test_nghttp_with_padding_and_a_body(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"\0\0\0\0\x05hello")
    async with serving() as running:
        text = await output(
            *("nghttp", "-v", "--padding=100", "-d", str(tmp_path / "body")),
            *("-H", "content-type: application/grpc", "-H", "te: trailers"),
            f"http://{HOST}:{running.port}/t.T/Echo",
        )
    assert "grpc-status: 0" in text
    assert "slipway-revision: m-1" in text


# ---- grpcio


async def test_grpcio_gets_every_kind_of_answer() -> None:
    async with serving() as running, grpc.aio.insecure_channel(f"{HOST}:{running.port}") as channel:

        async def failure(path: str, body: bytes = b"", seconds: float = 20) -> tuple[object, str]:
            method: Call = channel.unary_unary(path)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(body, timeout=seconds)
            return caught.value.code(), caught.value.details() or ""

        echo: Call = channel.unary_unary("/t.T/Echo")
        assert await echo(b"hello") == b"hello"
        assert await echo(b"") == b""
        call = echo(b"x" * 100_000, compression=grpc.Compression.Gzip)
        assert await call == b"x" * 100_000
        assert dict(await call.trailing_metadata())["slipway-revision"] == "m-1"
        text = "no model 'ä' for 100% of \n callers"
        assert await failure("/t.T/No", text.encode()) == (grpc.StatusCode.NOT_FOUND, text)
        code, details = await failure("/t.T/None")
        assert (code, "is not served here" in details) == (grpc.StatusCode.UNIMPLEMENTED, True)
        code, details = await failure("/t.T/Bug")
        assert (code, "secret" in details) == (grpc.StatusCode.INTERNAL, False)
        code, details = await failure("/t.T/Wait", seconds=2)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: running.service.running == 0)
        assert running.service.cancelled == 1


async def test_grpcio_cancels_a_call() -> None:
    async with serving() as running, grpc.aio.insecure_channel(f"{HOST}:{running.port}") as channel:
        method: Call = channel.unary_unary("/t.T/Wait")
        call = method(b"")
        await until(lambda: running.service.running == 1)
        call.cancel()
        await until(lambda: running.service.cancelled == 1)
        assert running.server.held == 0


async def test_grpcio_streams_messages_that_are_answered_in_order() -> None:
    async with serving() as running, grpc.aio.insecure_channel(f"{HOST}:{running.port}") as channel:
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            "/t.T/Stream"
        )
        call = method()
        for number in range(40):
            await call.write(str(number).encode())
            assert await call.read() == str(number).encode()
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_grpcio_with_messages_of_many_sizes_in_parallel() -> None:
    options = [("grpc.max_receive_message_length", -1)]
    async with (
        serving() as running,
        grpc.aio.insecure_channel(f"{HOST}:{running.port}", options=options) as channel,
    ):
        echo: Call = channel.unary_unary("/t.T/Echo")
        bodies = [bytes([size % 251]) * (size * size * 37) for size in range(0, 400, 13)]
        answers = await asyncio.gather(*(echo(body) for body in bodies))
        assert answers == bodies
        await until(lambda: running.server.held == 0)


async def test_a_browser_or_curl_is_told_what_the_port_speaks() -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    async with serving() as running:
        url = f"http://{HOST}:{running.port}/"
        text = await output(curl, "-s", "--http2-prior-knowledge", "-w", "%{http_code}", url)
    assert text == "this port speaks gRPC: the content-type has to be application/grpc\n415"


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens soon."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - of several objects, none with an event
            await asyncio.sleep(0.005)
