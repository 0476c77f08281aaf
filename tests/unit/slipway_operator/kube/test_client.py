"""The client against a real HTTP server on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientTimeout, web
from kubernetes.aio.client import Configuration

from slipway.errors import Conflict, Invalid, NotFound, SlipwayError, Transient
from slipway_operator.kube.client import KubeClient
from slipway_operator.kube.cluster import AlreadyExists, Gone, WatchEvent
from slipway_operator.kube.http import HttpApi, Request
from slipway_operator.plan.objects import Ref

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
POD = Ref("Pod", "default", "p")
JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "j", "namespace": "default"},
}
JOB_REF = Ref("Job", "default", "j")


@dataclass
class Server:
    """Answers in order; remembers what was asked."""

    answers: list[web.StreamResponse | Answer] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    types: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path, dict(request.query)))
        text = await request.text()
        self.bodies.append(json.loads(text) if text else None)
        self.types.append(request.content_type)
        answer = self.answers.pop(0)
        return answer if isinstance(answer, web.StreamResponse) else await answer(request)


def status(code: int, reason: str = "", message: str = "no", **headers: str) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code, headers=headers)


def lines(*parts: bytes) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        return response

    return answer


def line(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


@asynccontextmanager
async def serving(
    *answers: web.StreamResponse | Answer, **options: Any
) -> AsyncIterator[tuple[KubeClient, Server]]:
    server = Server(list(answers))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    configuration.client_session_kwargs = {"trust_env": False}
    try:
        async with KubeClient(configuration, **options) as client:
            yield client, server
    finally:
        await runner.cleanup()


async def watched(client: KubeClient) -> list[WatchEvent]:
    return [
        event async for event in client.watch("Pod", None, selector="a=b", resource_version="5")
    ]


async def test_a_list_goes_on_to_its_last_page_and_every_item_knows_its_kind() -> None:
    first = {
        "metadata": {"resourceVersion": "7", "continue": "more"},
        "items": [{"metadata": {"name": "a"}}],
    }
    second = {"metadata": {"resourceVersion": "7"}, "items": None}
    async with serving(web.json_response(first), web.json_response(second)) as (client, server):
        found = await client.list("Pod", "default", selector="x=y")
    assert found.resource_version == "7"
    assert found.items == ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},)
    path = "/api/v1/namespaces/default/pods"
    assert server.asked == [
        ("GET", path, {"limit": "500", "labelSelector": "x=y"}),
        ("GET", path, {"limit": "500", "labelSelector": "x=y", "continue": "more"}),
    ]


async def test_a_watch_reads_lines_of_any_length_and_in_any_pieces() -> None:
    huge = {"metadata": {"name": "huge", "annotations": {"a": "x" * 300_000}}}
    data = line("ADDED", huge) + b"\n" + line("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    pieces = [data[:10], data[10:200_000], data[200_000:]]
    async with serving(lines(*pieces)) as (client, server):
        events = await watched(client)
    assert events == [
        WatchEvent("ADDED", huge),
        WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
    ]
    assert server.asked[0][1:] == (
        "/api/v1/pods",
        {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": "5",
            "timeoutSeconds": "290",
            "labelSelector": "a=b",
        },
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lines(line("ERROR", {"code": 410, "message": "too old"})), Gone),
        (lines(line("ERROR", {"code": 500, "message": "etcd"})), Transient),
        (lines(b"<html>\n"), Transient),
        (status(410, "Expired"), Gone),
        (status(403, "Forbidden"), Invalid),
    ],
)
async def test_what_a_watch_is_told_instead_of_events(
    answer: web.StreamResponse | Answer, error: type[SlipwayError]
) -> None:
    async with serving(answer) as (client, _):
        with pytest.raises(SlipwayError) as caught:
            await watched(client)
    assert type(caught.value) is error


async def test_a_write_is_sent_again_after_what_may_pass_a_patch_too() -> None:
    wrote: list[tuple[str, str]] = []
    answers = (status(429, **{"Retry-After": "0"}), status(503), web.json_response(JOB))
    async with serving(*answers, on_write=lambda verb, kind: wrote.append((verb, kind))) as (
        client,
        server,
    ):
        assert await client.patch(JOB_REF, {"spec": {}}, subresource="status") == JOB
    assert {call[:2] for call in server.asked} == {
        ("PATCH", "/apis/batch/v1/namespaces/default/jobs/j/status")
    }
    assert server.bodies == [{"spec": {}}] * 3
    assert set(server.types) == {"application/merge-patch+json"}
    assert wrote == [("patch", "Job")] * 3


async def test_after_three_tries_the_error_is_told() -> None:
    async with serving(*(status(500, message="etcd is slow") for _ in range(3))) as (client, _):
        with pytest.raises(Transient, match="create Job default/j: etcd is slow"):
            await client.create(JOB)


async def test_a_long_wait_is_left_to_the_queue() -> None:
    async with serving(status(429, **{"Retry-After": "30"})) as (client, server):
        with pytest.raises(Transient) as caught:
            await client.create(JOB)
    assert (caught.value.retry_after, len(server.asked)) == (30.0, 1)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(409, "Conflict"), Conflict),
        (status(409, "AlreadyExists"), AlreadyExists),
        (status(422, "Invalid"), Invalid),
        (status(404, "NotFound"), NotFound),
    ],
)
async def test_what_would_be_refused_again_is_asked_once(
    answer: web.Response, error: type[SlipwayError]
) -> None:
    async with serving(answer) as (client, server):
        with pytest.raises(SlipwayError) as caught:
            await client.patch(JOB_REF, {})
    assert (type(caught.value), len(server.asked)) == (error, 1)


async def test_an_apply_is_by_force_as_slipway() -> None:
    async with serving(web.json_response(JOB), web.json_response(JOB)) as (client, server):
        await client.apply(JOB)
    assert [call[0] for call in server.asked] == ["GET", "PATCH"]
    assert server.asked[1][2] == {"fieldManager": "slipway", "force": "true"}
    assert (server.bodies[1:], server.types[1:]) == ([JOB], ["application/apply-patch+yaml"])


async def test_before_the_first_apply_what_our_creation_set_becomes_ours_to_remove() -> None:
    created = {"manager": "slipway", "operation": "Update", "fieldsV1": {"f:spec": {}}}
    live = {**JOB, "metadata": {**JOB["metadata"], "resourceVersion": "7"}}
    live["metadata"]["managedFields"] = [created]
    answers = (web.json_response(live), web.json_response(live), web.json_response(JOB))
    async with serving(*answers) as (client, server):
        assert await client.apply(JOB) == JOB
    assert [call[0] for call in server.asked] == ["GET", "PATCH", "PATCH"]
    assert server.types[1:] == ["application/json-patch+json", "application/apply-patch+yaml"]
    assert server.bodies[1] == [
        {
            "op": "replace",
            "path": "/metadata/managedFields",
            "value": [{**created, "operation": "Apply"}],
        },
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
    ]


async def test_what_is_not_there_is_applied_without_ado() -> None:
    async with serving(status(404, "NotFound"), web.json_response(JOB)) as (client, server):
        assert await client.apply(JOB) == JOB
    assert [call[0] for call in server.asked] == ["GET", "PATCH"]


@pytest.mark.parametrize("code", [200, 404, 409])
async def test_a_deletion_is_of_one_object_and_absent_is_fine(code: int) -> None:
    async with serving(status(code)) as (client, server):
        await client.delete(JOB_REF, uid="u")
    assert server.bodies == [{"propagationPolicy": "Background", "preconditions": {"uid": "u"}}]


async def test_the_gate_refuses_before_anything_is_sent() -> None:
    def shut() -> None:
        raise Transient("not the leader")

    writes: list[Callable[[KubeClient], Awaitable[object]]] = [
        lambda c: c.apply(JOB),
        lambda c: c.create(JOB),
        lambda c: c.patch(JOB_REF, {}),
        lambda c: c.delete(JOB_REF, uid="u"),
    ]
    async with serving(gate=shut) as (client, server):
        for write in writes:
            with pytest.raises(Transient, match="not the leader"):
                await write(client)
    assert server.asked == []


async def test_reads_pass_a_shut_gate() -> None:
    def shut() -> None:
        raise Transient("not the leader")

    async with serving(web.json_response({"kind": "Pod"}), gate=shut) as (client, _):
        assert await client.get(POD) == {"kind": "Pod"}


async def test_a_server_that_is_silent_or_gone_is_transient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # trust_env is off: nobody asks it
    async with serving(web.json_response({}), silent) as (client, _):
        configuration = client._api._api.configuration
        api = HttpApi(configuration)
        assert await api.json(Request("GET", "/x", "ask")) == {}
        short = Request("GET", "/x", "ask", timeout=ClientTimeout(total=0.05))
        with pytest.raises(Transient, match="ask: the API server does not answer"):
            await api.read(short)
        await api.close()
    dead = Configuration()
    dead.host = "http://127.0.0.1:1"
    api = HttpApi(dead)
    with pytest.raises(Transient, match="does not answer"):
        await api.read(short)
    await api.close()


async def test_what_is_no_json_is_transient() -> None:
    async with serving(web.Response(text="<html>")) as (client, _):
        with pytest.raises(Transient, match="sent no JSON"):
            await client.get(POD)
