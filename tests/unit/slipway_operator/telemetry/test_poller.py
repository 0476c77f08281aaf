from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp import ClientSession, web

from slipway_operator.kube.store import Store
from slipway_operator.plan.observed import Window
from slipway_operator.telemetry.poller import Poller
from tests.support.worlds import NOW, server_pod

KEY = ("default", "fraud")
HOME = "127.0.0.1"
OTHER = "127.0.0.2"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def exposition(success: int, errors: int = 0) -> str:
    return (
        "# TYPE slipway_requests_total counter\n"
        f'slipway_requests_total{{model="fraud",outcome="success"}} {success}\n'
        f'slipway_requests_total{{model="fraud",outcome="server_error"}} {errors}\n'
        f'slipway_requests_total{{model="fraud",outcome="client_error"}} 7\n'
        "# TYPE slipway_request_duration_seconds histogram\n"
        f'slipway_request_duration_seconds_bucket{{model="fraud",le="0.01"}} {success}\n'
        f'slipway_request_duration_seconds_bucket{{model="fraud",le="+Inf"}} {success}\n'
    )


@dataclass
class Pods:
    """Pods on loopback addresses of their own, all on one port, as real ones are."""

    store: Store = field(default_factory=Store)
    answers: dict[str, str | Handler] = field(default_factory=dict)

    def add(
        self, address: str, revision: str, answer: str | Handler, *, ready: bool = True
    ) -> None:
        pod = server_pod(f"pod-{address}", revision, ready=ready, podIP=address)
        pod["metadata"]["resourceVersion"] = str(len(self.answers) + 1)
        self.store.put(pod)
        self.answers[address] = answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        answer = self.answers[request.transport.get_extra_info("sockname")[0]]
        return web.Response(text=answer) if isinstance(answer, str) else await answer(request)


@dataclass
class Scraper:
    poller: Poller
    session: ClientSession

    async def scrape(self) -> None:
        await self.poller._round(self.session)


@asynccontextmanager
async def scraping(pods: Pods) -> AsyncIterator[Scraper]:
    app = web.Application()
    app.router.add_get("/metrics", pods.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    port = 0
    for address in (HOME, OTHER):
        await web.TCPSite(runner, address, port).start()
        port = runner.addresses[0][1]
    try:
        async with ClientSession() as session:
            yield Scraper(Poller(pods.store, port=port), session)
    finally:
        await runner.cleanup()


async def test_requests_are_counted_from_the_first_scrape_of_a_window() -> None:
    pods = Pods()
    pods.add(HOME, "fraud-1", exposition(1000, 5))
    pods.add(OTHER, "fraud-2", exposition(10))
    async with scraping(pods) as it:
        assert it.poller.view(KEY, NOW) == {}
        await it.scrape()
        pods.answers = {HOME: exposition(1100, 6), OTHER: exposition(30)}
        await it.scrape()
        seen = it.poller.view(KEY, NOW)
        assert {k: (w.requests, w.errors) for k, w in seen.items()} == {
            "fraud-1": (101, 1),
            "fraud-2": (20, 0),
        }
        later = NOW + timedelta(seconds=60)
        assert it.poller.view(KEY, later)["fraud-1"] == Window(0, 0, None)
        assert it.poller.view(KEY, None) == {}


async def test_pods_of_one_revision_are_summed() -> None:
    pods = Pods()
    pods.add(HOME, "fraud-1", exposition(0))
    pods.add(OTHER, "fraud-1", exposition(0))
    async with scraping(pods) as it:
        it.poller.view(KEY, NOW)
        await it.scrape()
        pods.answers = {HOME: exposition(3), OTHER: exposition(4)}
        await it.scrape()
        assert it.poller.view(KEY, NOW)["fraud-1"] == Window(7, 0, 9.5)


async def test_nobody_is_asked_without_need() -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        raise AssertionError("it was asked")

    pods = Pods()
    pods.add(HOME, "fraud-1", never)
    async with scraping(pods) as it:
        await it.scrape()
        it.poller.view(KEY, NOW)
        it.poller.forget(KEY)
        await it.scrape()
    unready = Pods()
    unready.add(HOME, "fraud-1", never, ready=False)
    async with scraping(unready) as it:
        it.poller.view(KEY, NOW)
        await it.scrape()
        assert it.poller.view(KEY, NOW) == {}


async def test_an_answer_in_pieces_is_read_to_its_end() -> None:
    text = exposition(5).encode()

    async def pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in text.splitlines(keepends=True):
            await response.write(line)
        return response

    pods = Pods()
    pods.add(HOME, "fraud-1", exposition(0))
    async with scraping(pods) as it:
        it.poller.view(KEY, NOW)
        await it.scrape()
        pods.answers[HOME] = pieces
        await it.scrape()
        assert it.poller.view(KEY, NOW)["fraud-1"] == Window(5, 0, 9.5)


async def test_one_pod_that_fails_spoils_no_other() -> None:
    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    async def endless(request: web.Request) -> web.StreamResponse:
        return web.Response(text="# x\n" * 500_000)

    for bad in (broken, endless, "no exposition {{{"):
        pods = Pods()
        pods.add(HOME, "fraud-1", bad)
        pods.add(OTHER, "fraud-2", exposition(0))
        async with scraping(pods) as it:
            it.poller.view(KEY, NOW)
            await it.scrape()
            assert set(it.poller.view(KEY, NOW)) == {"fraud-2"}
