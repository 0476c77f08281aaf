"""Three times more requests than a server can answer: ``python -m benchmarks.serving.overload``.

Requests come at a fixed rate, whatever became of the ones before, over as many connections as that
takes. First the peak is found with 32 clients that wait for their answers; then the same requests
come at three times that rate; then the peak is found again, since a machine that others use drifts:
what lies between is compared with both. Server and load have CPUs of their own where there are two.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import os
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import uvloop

from benchmarks.serving import models
from benchmarks.serving.__main__ import FOLDER
from benchmarks.serving.bodies import body
from benchmarks.serving.figures import Figure, table
from benchmarks.serving.servers import Serving, ours
from slipway.api.v1alpha1.predictor import Concurrency

FACTOR: Final = 3.0
CLIENTS: Final = 32
MOST_CONNECTIONS: Final = 2048
_SETTLE_SECONDS: Final = 1.0  # after a change of the load
_FULL_SECONDS: Final = 60.0  # until the queue is full


class Client(asyncio.Protocol):
    """A kept connection with one request at a time."""

    def __init__(self, answered: "Callable[[Client, int, float], None]") -> None:
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._since = 0.0
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def send(self, request: bytes) -> None:
        """Ask."""
        assert self._transport is not None
        self._since = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        self._data += data
        end = self._data.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self._data[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        if len(self._data) < end + length:
            return
        self._data = b""
        self.closing = b"connection: close" in head
        self._answered(self, int(head[9:12]), time.perf_counter() - self._since)

    def close(self) -> None:
        """End."""
        if self._transport is not None:
            self._transport.close()


@dataclass
class Window:
    """What came back in a span of time."""

    begin: float
    end: float
    codes: "collections.Counter[int]" = field(default_factory=collections.Counter)
    latencies: list[float] = field(default_factory=list)
    unsent: int = 0
    cpu_seconds: float = 0.0
    _answered: list[float] = field(default_factory=list)

    async def watch(self, cpu: Callable[[], float]) -> None:
        """Measure what the server spends."""
        await asyncio.sleep(self.begin - time.perf_counter())
        before = cpu()
        await asyncio.sleep(self.end - time.perf_counter())
        self.cpu_seconds = cpu() - before

    def note(self, code: int, seconds: float) -> None:
        """Count an answer."""
        if self.begin <= time.perf_counter() < self.end:
            self.codes[code] += 1
            if code == 200:
                self.latencies.append(seconds)
                self._answered.append(time.perf_counter())

    def time_of(self, count: int) -> list[float]:
        """How long so many good answers took, from each of them on."""
        times = self._answered
        whole = (self.end - self.begin) * count / len(times)
        return [end - begin for begin, end in zip(times, times[count:], strict=False)] or [whole]

    def rate(self, code: int | None = None) -> float:
        """Answers per second."""
        count = self.codes.total() if code is None else self.codes[code]
        return count / (self.end - self.begin)


class Load:
    """Clients of one server."""

    def __init__(self, port: int, request: bytes) -> None:
        self.port = port
        self._request = request
        self._clients: set[Client] = set()

    async def _connect(self, answered: Callable[[Client, int, float], None]) -> Client:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: Client(answered), "127.0.0.1", self.port)
        self._clients.add(client)
        return client

    async def closed(self, seconds: float, cpu: Callable[[], float]) -> Window:
        """So many clients that wait for each answer."""
        window = _window(seconds)

        def answered(client: Client, code: int, took: float) -> None:
            window.note(code, took)
            if time.perf_counter() < window.end:
                client.send(self._request)

        for client in [await self._connect(answered) for _ in range(CLIENTS)]:
            client.send(self._request)
        await window.watch(cpu)
        await asyncio.sleep(0.5)
        self.close()
        return window

    async def open(self, rate: float, seconds: float, cpu: Callable[[], float]) -> Window:
        """Requests at a rate, whatever becomes of them; measured once the queue is full."""
        idle: list[Client] = []
        opening: set[asyncio.Task[None]] = set()
        window = _window(_FULL_SECONDS)  # until the first refusal
        full = asyncio.Event()

        def answered(client: Client, code: int, took: float) -> None:
            window.note(code, took)
            if code == 429:
                full.set()
            if client.closing:
                self._clients.discard(client)
                client.close()
            else:
                idle.append(client)

        async def send_first() -> None:
            (await self._connect(answered)).send(self._request)

        began, sent = time.perf_counter(), 0
        watching: asyncio.Task[None] | None = None
        while (now := time.perf_counter()) < window.end:
            if full.is_set() and watching is None:
                window = _window(seconds)
                watching = asyncio.create_task(window.watch(cpu))
            for _ in range(int((now - began) * rate) - sent):
                sent += 1
                if idle:
                    idle.pop().send(self._request)
                elif len(self._clients) + len(opening) < MOST_CONNECTIONS:
                    task = asyncio.create_task(send_first())
                    opening.add(task)
                    task.add_done_callback(opening.discard)
                else:
                    window.unsent += 1
            await asyncio.sleep(0.001)
        if watching is None:
            raise SystemExit(f"nothing was refused in {_FULL_SECONDS:g} s")
        await watching
        self.close()
        return window

    def close(self) -> None:
        """End every connection."""
        for client in self._clients:
            client.close()
        self._clients.clear()


def _window(seconds: float) -> Window:
    begin = time.perf_counter() + _SETTLE_SECONDS
    return Window(begin, begin + seconds)


@contextlib.contextmanager
def _halves() -> Iterator[tuple[set[int], set[int]]]:
    """CPUs of the server and of the load."""
    every = sorted(os.sched_getaffinity(0))
    half = len(every) // 2
    try:
        yield (set(every[:half]), set(every[half:])) if half else (set(every), set(every))
    finally:
        os.sched_setaffinity(0, every)


def measure(model: str, *, seconds: float, rounds: int) -> list[Figure]:
    """The figures of one model."""
    paths = models.write(FOLDER, [model])
    request = _request(model)
    with _halves() as (server, load):
        os.sched_setaffinity(0, server)
        with ours(paths) as serving:
            os.sched_setaffinity(0, load)
            found = [_round(serving, model, request, seconds) for _ in range(rounds)]
    goodput, cpu, late, offered = (statistics.median(column) for column in zip(*found, strict=True))
    print(f"{model}: offered {offered:.2f} times the peak", flush=True)
    return [
        Figure(f"{model} goodput at {FACTOR:g}x overload vs peak", 0.9, 0.97, goodput, cpu=cpu),
        Figure(f"{model} p99 of admitted vs a full queue", 1.0, 0.9, late, smaller=True),
    ]


def _round(
    serving: Serving, model: str, request: bytes, seconds: float
) -> tuple[float, float, float, float]:
    """Goodput by answers and by CPU time of the server, latency, and what was offered."""
    load, cpu = Load(serving.http_port, request), serving.running.cpu_seconds
    with urllib.request.urlopen(f"http://127.0.0.1:{load.port}/v2/models/{model}") as answer:
        learnt: dict[str, Any] = json.load(answer)["parameters"]
    peak = uvloop.run(load.closed(seconds, cpu))
    over = uvloop.run(load.open(FACTOR * peak.rate(200), seconds, cpu))
    again = uvloop.run(load.closed(seconds, cpu))
    bad = set(peak.codes + again.codes) - {200} | set(over.codes) - {200, 429}
    if bad or not over.latencies:
        raise SystemExit(f"{model}: unexpected answers: {peak.codes + again.codes}, {over.codes}")
    best = (peak.rate(200) + again.rate(200)) / 2
    # A request may wait for a full queue, for the runs that are under way or next, and for its own.
    places = Concurrency().max_queued + (1 + 2 * learnt["instances"]) * learnt["max_batch_rows"]
    bound, late = _p99(over.time_of(places)), _p99(over.latencies)
    good = (peak.cpu_seconds + again.cpu_seconds) / (peak.codes[200] + again.codes[200])
    refused = (over.cpu_seconds - good * over.codes[200]) / max(1, over.codes[429])
    print(
        f"{model}: peak {peak.rate(200):.0f} and {again.rate(200):.0f}/s; {over.rate():.0f}/s"
        f" answered: {over.rate(200):.0f} good, {over.rate(429):.0f} refused, {over.unsent} not"
        f" sent; p99 {late * 1e3:.0f} ms of {bound * 1e3:.0f} ms; CPU of an answer"
        f" {good * 1e6:.0f} us, of a refusal {refused * 1e6:.0f} us",
        flush=True,
    )
    by_cpu = good * over.codes[200] / over.cpu_seconds
    return over.rate(200) / best, by_cpu, late / bound, over.rate() / best


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]


def _request(model: str) -> bytes:
    made = body("binary", model, models.feeds(model))
    headers = "".join(f"{name}: {value}\r\n" for name, value in made.headers)
    line = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: a\r\n"
    length = f"Content-Length: {len(made.data)}\r\n\r\n"
    return (line + headers + length).encode() + made.data


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="small,medium", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5, help="of each load (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts (default: 3)")
    options = parser.parse_args()
    found: list[Figure] = []
    for model in options.models.split(","):
        found += measure(model, seconds=options.seconds, rounds=options.rounds)
    print(f"\n{table(found)}")


if __name__ == "__main__":
    main()
