"""Services as proxies over real sockets."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from slipway_local.addresses import Addresses
from slipway_local.clock import RealClock
from slipway_local.controllers.service import Endpoint
from slipway_local.objects import Objects
from slipway_local.services import PortProxy, ServiceProxies, url_of
from tests.support.manifests import container, merged, pod, ref, service
from tests.support.waiting import until

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HOST = "127.0.0.1"


@asynccontextmanager
async def backend(serve: Serve) -> AsyncIterator[Endpoint]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, HOST, 0)
    try:
        yield Endpoint(HOST, server.sockets[0].getsockname()[1], "backend")
    finally:
        server.close()


@asynccontextmanager
async def proxy(*targets: Endpoint) -> AsyncIterator[tuple[PortProxy, int]]:
    made = PortProxy()
    made.targets = targets
    await made.open(HOST, 0)
    try:
        assert made._server is not None
        yield made, made._server.sockets[0].getsockname()[1]
    finally:
        await made.close()


def names(name: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name)
        await writer.drain()

    return serve


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with everything it got, once the other side has said its last word."""
    data = await reader.read(-1)
    writer.write(data)
    await writer.drain()


async def ask(port: int, data: bytes = b"") -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(data)
        if writer.can_write_eof():
            writer.write_eof()
        return await reader.read(-1)
    finally:
        writer.close()


async def test_new_connections_are_shared_evenly() -> None:
    async with (
        backend(names(b"a")) as a,
        backend(names(b"b")) as b,
        proxy(a, b) as (_, port),
    ):
        answers = Counter([await ask(port) for _ in range(20)])

    assert answers == {b"a": 10, b"b": 10}


async def test_a_half_closed_connection_still_brings_the_answer_whole() -> None:
    data = bytes(range(256)) * 40_000  # ten megabytes: more than any buffer on the way

    async with backend(echo) as target, proxy(target) as (made, port):
        assert await ask(port, data) == data
        await until(lambda: not made._halves)


async def test_a_slow_reader_makes_the_sender_wait_and_no_buffer_grow() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < 500_000_000:
            writer.write(bytes(65_536))
            sent += 65_536
            await writer.drain()

    async with backend(flood) as target, proxy(target) as (_, port):
        _, writer = await asyncio.open_connection(HOST, port, limit=1024)
        seen = -1
        while seen != sent:
            seen = sent
            await asyncio.sleep(0.2)
        writer.close()

    assert sent < 100_000_000


async def test_an_endpoint_that_refuses_is_passed_over() -> None:
    gone = Endpoint(HOST, 1, "gone")

    async with backend(names(b"a")) as a, proxy(gone, a) as (_, port):
        assert [await ask(port) for _ in range(4)] == [b"a"] * 4


async def test_without_endpoints_a_connection_is_reset() -> None:
    async with proxy() as (_, port):
        with pytest.raises(ConnectionError):
            await ask(port)


async def test_open_connections_stay_when_endpoints_change_and_new_ones_follow() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(b"old " + line)

    async with (
        backend(greet) as old,
        backend(names(b"new")) as new,
        proxy(old) as (made, port),
    ):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"1\n")
        assert await reader.readline() == b"old 1\n"

        made.targets = (new,)

        assert await ask(port) == b"new"
        writer.write(b"2\n")
        assert await reader.readline() == b"old 2\n"
        writer.close()


async def test_a_client_that_leaves_ends_the_other_side_too() -> None:
    left = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        await reader.read(-1)
        left.set()

    async with backend(wait) as target, proxy(target) as (made, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        await reader.read(1)
        writer.transport.abort()

        await asyncio.wait_for(left.wait(), 60)
        await until(lambda: not made._halves)


async def test_closing_ends_open_connections() -> None:
    async with backend(echo) as target, proxy(target) as (made, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        await until(lambda: len(made._halves) == 2)

        await made.close()

        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()


async def test_a_service_is_listened_on_while_it_exists_and_says_where() -> None:
    addresses = Addresses()
    objects = Objects(RealClock(), service_address=addresses.service)
    proxies = ServiceProxies(low_ports=False)
    made = objects.create(service("web", ports=[{"name": "http", "port": 80, "targetPort": 7}]))
    address = made["spec"]["clusterIP"]

    await proxies.sync(objects)
    assert url_of(objects, ref("Service")) == f"http://{address}:8080"
    _, writer = await asyncio.open_connection(address, 8080)
    writer.transport.abort()

    objects.delete(ref("Service"))
    await proxies.sync(objects)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address, 8080)
    await proxies.close()
    addresses.close()


async def test_a_port_that_is_taken_is_said_in_the_status_and_tried_again() -> None:
    addresses = Addresses()
    objects = Objects(RealClock(), service_address=addresses.service)
    made = objects.create(service("web", ports=[{"name": "http", "port": 8080}]))
    address = made["spec"]["clusterIP"]
    thief = await asyncio.start_server(echo, address, 8080)
    proxies = ServiceProxies(low_ports=False)

    await proxies.sync(objects)
    port = objects.get(ref("Service"))["status"]["loadBalancer"]["ingress"][0]["ports"][0]
    assert port == {"port": 8080, "protocol": "TCP", "error": "CannotListen"}

    thief.close()
    await thief.wait_closed()
    await proxies.sync(objects)
    port = objects.get(ref("Service"))["status"]["loadBalancer"]["ingress"][0]["ports"][0]
    assert port == {"port": 8080, "protocol": "TCP"}
    await proxies.close()
    addresses.close()


async def test_a_service_s_connections_reach_its_ready_pods() -> None:
    addresses = Addresses()
    objects = Objects(RealClock(), service_address=addresses.service)
    proxies = ServiceProxies(low_ports=False)
    async with backend(names(b"pod")) as target:
        objects.create(merged(pod("a", container()), {"metadata": {"labels": {"app": "web"}}}))
        made = objects.create(service("web", ports=[{"port": 8080, "targetPort": target.port}]))
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        objects.set_status(
            ref("Pod", "a"), {"phase": "Running", "podIP": HOST, "conditions": [ready]}
        )
        await proxies.sync(objects)

        reader, writer = await asyncio.open_connection(made["spec"]["clusterIP"], 8080)
        assert await reader.read(-1) == b"pod"
        writer.close()
    await proxies.close()
    addresses.close()
