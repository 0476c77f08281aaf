"""``grpc.health.v1.Health/Watch``: told at once what changes, and in nobody's way at the end."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from slipway_server.protocol.pb import health_pb2 as health
from slipway_server.transport.h2 import frames
from slipway_server.transport.h2.connection import DRAIN_PING
from tests.cluster import golang
from tests.support import h2, onnx_models
from tests.support.rpc import connected, serving
from tests.support.server import Server
from tests.support.server import serving as started

WATCH = h2.call_fields(b"/t.T/Watch")
Status = health.HealthCheckResponse
TRANSPORTS = ("own", "grpc.aio")


# ---- the connection


async def test_answers_come_one_by_one_and_the_call_ends_with_its_connection() -> None:
    async with serving() as running, connected(running.port) as client:
        await client.settled()
        client.send(h2.call(1, b"now", WATCH))
        assert (await client.next(frames.DATA)).payload == h2.message(b"now")
        running.service.gate.set()
        assert (await client.next(frames.DATA)).payload == h2.message(b"now")
        running.leave()
        client.send(h2.call(3))
        await client.next(frames.PING)
        client.send(frames.ping(DRAIN_PING, ack=True))
        assert (await client.answer_of(1))[b"grpc-status"] == b"0"
        assert await client.rest() is not None
        assert running.service.watching == 0


async def test_a_watch_that_is_given_up_or_late_is_over() -> None:
    async with serving() as running, connected(running.port) as client:
        await client.settled()
        late = h2.call_fields(b"/t.T/Watch", grpc_timeout=b"2S")
        client.send(h2.call(1, b"", WATCH), h2.call(3, b"", late))
        for _ in range(2):
            await client.next(frames.DATA)
        client.send(frames.rst_stream(1, frames.Code.CANCEL))
        assert (await client.answer_of(3))[b"grpc-status"] == b"4"
        while running.service.watching:  # noqa: ASYNC110 - tasks that end are no event
            await asyncio.sleep(0)
        client.send(h2.call(5))
        assert (await client.answer(5))[0] == h2.message(b"hello")


async def test_a_connection_has_a_few_watches_only() -> None:
    async with serving() as running, connected(running.port) as client:
        await client.settled()
        client.send(*(h2.call(1 + 2 * n, b"", WATCH) for n in range(17)))
        assert (await client.answer_of(33))[b"grpc-status"] == b"8"
        client.send(frames.rst_stream(1, frames.Code.CANCEL))
        client.send(h2.call(35, b"again", WATCH))
        while (frame := await client.next(frames.DATA)).stream != 35:
            pass
        assert frame.payload == h2.message(b"again")


async def test_a_stop_does_not_wait_for_a_watch() -> None:
    async with serving() as running, connected(running.port) as client:
        await client.settled()
        client.send(h2.call(1, b"", WATCH))
        await client.next(frames.DATA)
        stopping = asyncio.ensure_future(running.server.stop(60.0))
        await client.next(frames.PING)
        client.send(frames.ping(DRAIN_PING, ack=True))
        await client.rest()
        await asyncio.wait_for(stopping, 50)  # its grace is a minute


# ---- the server


def model(folder: Path, env: dict[str, str]) -> AbstractContextManager[Server]:
    (folder / "m.onnx").write_bytes(onnx_models.double())
    return started(folder / "m.onnx", env=env)


def watching(channel: grpc.Channel, service: str) -> "Iterator[health.HealthCheckResponse]":
    call: grpc.UnaryStreamMultiCallable[health.HealthCheckRequest, health.HealthCheckResponse] = (
        channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health.HealthCheckRequest.SerializeToString,
            response_deserializer=health.HealthCheckResponse.FromString,
        )
    )
    return iter(call(health.HealthCheckRequest(service=service), timeout=120))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_watch_sees_that_the_server_drains_and_does_not_hold_it_up(
    tmp_path: Path, transport: str
) -> None:
    env = {
        "SLIPWAY_DRAIN_SECONDS": "0.5",
        "SLIPWAY_GRACE_SECONDS": "1000",
        "SLIPWAY_GRPC_TRANSPORT": transport,
    }
    with (
        model(tmp_path, env) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel,
    ):
        whole, one, other = (watching(channel, name) for name in ("", "m", "other"))
        assert next(other).status == Status.SERVICE_UNKNOWN
        assert next(one).status == next(whole).status == Status.SERVING
        server.process.send_signal(signal.SIGTERM)
        assert next(one).status == next(whole).status == Status.NOT_SERVING
        for answers in (whole, one, other):
            with pytest.raises(grpc.RpcError) as caught:
                next(answers)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.process.wait(timeout=60) == 0  # long before its grace is over


@pytest.mark.skipif(
    not golang.program("grpcgo").is_file(),
    reason="grpcgo is not built: `python -m tests.cluster build http2`",
)
def test_grpc_gos_health_check_follows_the_server(tmp_path: Path) -> None:
    with model(tmp_path, {"SLIPWAY_DRAIN_SECONDS": "20"}) as server:
        command = [str(golang.program("grpcgo")), f"127.0.0.1:{server.grpc}", "health", "m"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            states = iter(program.stdout)
            while (state := next(states)) != "READY\n":
                assert state in ("IDLE\n", "CONNECTING\n")
            server.process.send_signal(signal.SIGTERM)
            assert next(states) in ("CONNECTING\n", "TRANSIENT_FAILURE\n")
            assert server.process.poll() is None  # it drains: the watch told it
            assert program.wait(timeout=60) == 0
