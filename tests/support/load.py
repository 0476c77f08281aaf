"""A paced load over REST and gRPC, on kept and on new connections, that never tries again.

Every worker sends at its own pace, one request at a time: what it measures is what users see, and
a request that fails for any reason counts as failed. It runs in a thread with its own event loop.

    with Load(target, http=rest, grpc_request=rpc, mix=Mix.half_kept(200)) as load:
        ...
    assert load.result.failures == []
"""

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

_TIMEOUT = 30.0
_INFER = "/inference.GRPCInferenceService/ModelInfer"
# gRPC's own settings as users have them: it sends a call again only when a connection was ended
# (GOAWAY) before the server saw the call.
_CHANNEL = (
    ("grpc.use_local_subchannel_pool", 1),  # a channel each, so a connection each
    ("grpc.enable_http_proxy", 0),
)
_FIRST_FAILURES = 20


@dataclass(frozen=True, slots=True)
class Target:
    """A Service."""

    host: str
    http_port: int = 80
    grpc_port: int = 9000


@dataclass(frozen=True, slots=True)
class Answer:
    """One request that was answered well.

    Attributes:
        at: when it was answered, on ``time.monotonic``.
        seconds: from its beginning to the end of the answer, connecting included.
        door: ``http``, ``http-new``, ``grpc`` or ``grpc-new``.
        revision: which revision answered.
    """

    at: float
    seconds: float
    door: str
    revision: str


@dataclass(slots=True)
class Result:
    """What there was."""

    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)
    connections: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """How many were not answered well."""
        return len(self.failed_at)

    @property
    def requests(self) -> int:
        """How many were sent."""
        return len(self.answers) + self.failed

    def doors(self) -> Counter[str]:
        """Answers by door."""
        return Counter(answer.door for answer in self.answers)

    def share(self, revision: str, begin: float, end: float) -> tuple[float, int]:
        """Percent of the answers in a time span that a revision gave, and of how many."""
        within = [answer for answer in self.answers if begin <= answer.at <= end]
        mine = sum(answer.revision == revision for answer in within)
        return (100 * mine / len(within) if within else 0.0), len(within)

    def summary(self) -> str:
        """One line."""
        took = sorted(answer.seconds for answer in self.answers)
        p50, p99 = (1000 * took[int(len(took) * q)] if took else 0.0 for q in (0.5, 0.99))
        doors = ", ".join(f"{count} {door}" for door, count in sorted(self.doors().items()))
        connections = ", ".join(f"{n} {door}" for door, n in sorted(self.connections.items()))
        return (
            f"{self.requests} requests, {self.failed} failed ({doors}; connections: {connections}; "
            f"p50 {p50:.0f} ms, p99 {p99:.0f} ms)"
        )


@dataclass(frozen=True, slots=True)
class Mix:
    """Requests per second by door, and how many workers share them."""

    rates: dict[str, float]
    workers: dict[str, int]

    @classmethod
    def half_kept(cls, rate: float) -> "Mix":
        """Half of the requests on kept connections; REST and gRPC in both halves."""
        shares = {"http": 0.25, "grpc": 0.25, "http-new": 0.45, "grpc-new": 0.05}
        workers = {"http": 12, "grpc": 12, "http-new": 8, "grpc-new": 2}
        return cls({door: rate * share for door, share in shares.items()}, workers)

    @classmethod
    def only(cls, door: str, rate: float, workers: int = 8) -> "Mix":
        """One door."""
        return cls({door: rate}, {door: workers})


class Load:
    """The load, from entering to leaving."""

    def __init__(self, target: Target, *, http: bytes, grpc_request: bytes, mix: Mix) -> None:
        self._target = target
        self._http = http
        self._grpc = grpc_request
        self._mix = mix
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self.result = Result()

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every request under way end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        workers: list[Coroutine[Any, Any, None]] = []
        for door, rate in self._mix.rates.items():
            count = self._mix.workers[door]
            workers += [
                self._work(door, count / rate, offset=index / rate) for index in range(count)
            ]
        await asyncio.gather(*workers)

    async def _work(self, door: str, period: float, *, offset: float) -> None:
        kind = _HttpClient if door.startswith("http") else _GrpcClient
        client = kind(self, kept=not door.endswith("-new"), door=door)
        await asyncio.sleep(offset)
        due = time.monotonic()
        try:
            while not self._stop.is_set():
                await self._one(client, door)
                # Late is late: what could not be sent in time is not made up for in a burst.
                due = max(due + period, time.monotonic() - period)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        finally:
            await client.close()

    async def _one(self, client: "_Client", door: str) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT):
                revision = await client.ask()
        except Exception as error:  # noqa: BLE001 - any failure is a failed request
            self.result.failed_at.append(began)
            if len(self.result.failures) < _FIRST_FAILURES:
                text = f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
                self.result.failures.append(f"{door} at {began:.1f}: {text}")
            await client.close()
        else:
            now = time.monotonic()
            self.result.answers.append(Answer(now, now - began, door, revision))

    @property
    def target(self) -> Target:
        """Where it goes."""
        return self._target

    def body(self, door: str) -> bytes:
        """The request of a door."""
        return self._http if door.startswith("http") else self._grpc


class _Client(ABC):
    """One connection at a time."""

    def __init__(self, load: Load, *, kept: bool, door: str) -> None:
        self._load = load
        self._kept = kept
        self._door = door
        self._request = load.body(door)

    @abstractmethod
    async def ask(self) -> str:
        """Send one request; returns the revision that answered."""

    @abstractmethod
    async def close(self) -> None:
        """End the connection."""

    def _connected(self) -> None:
        self._load.result.connections[self._door] += 1


class _HttpClient(_Client):
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    async def ask(self) -> str:
        if self._reader is None or self._reader.at_eof():
            await self.close()
            target = self._load.target
            self._reader, self._writer = await asyncio.open_connection(
                target.host, target.http_port
            )
            self._connected()
        assert self._writer is not None
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines) if k}
        body = await self._reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close" or not self._kept:
            await self.close()
        if first.split(" ")[1] != "200":
            raise ConnectionError(f"{first}: {body[:200]!r}")
        return headers["slipway-revision"]

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


class _GrpcClient(_Client):
    _channel: grpc.aio.Channel | None = None
    _call: "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"

    async def ask(self) -> str:
        if self._channel is None:
            target = self._load.target
            self._channel = grpc.aio.insecure_channel(
                f"{target.host}:{target.grpc_port}", options=_CHANNEL
            )
            self._call = self._channel.unary_unary(_INFER)
            self._connected()
        answer = await self._call(self._request, timeout=_TIMEOUT)
        if not self._kept:
            await self.close()
        version: str = service_pb2.ModelInferResponse.FromString(answer).model_version
        return version

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
        self._channel = None


def http_request(path: str, body: bytes, *, json_length: int | None = None) -> bytes:
    """An HTTP/1.1 request; ``json_length`` is the JSON part's where tensors follow as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: model", f"Content-Length: {len(body)}"]
    if json_length is None:
        lines.append("Content-Type: application/json")
    else:
        lines += [
            "Content-Type: application/octet-stream",
            f"Inference-Header-Content-Length: {json_length}",
        ]
    return "\r\n".join([*lines, "", ""]).encode() + body
