"""A small, bounded load over HTTP: half on kept connections, half on new ones. No retries."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

_WORKERS: Final = 4
_PAUSE_SECONDS: Final = 0.04  # each worker: at most 25 requests a second
_MOST_REQUESTS: Final = 20_000
_ANSWER_SECONDS: Final = 10


@dataclass(slots=True)
class Counts:
    """What came back.

    Attributes:
        by_revision: answered requests by the revision that answered.
        failed: by the revision that answered, or by the error.
    """

    by_revision: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All requests."""
        return self.by_revision.total() + self.failed.total()


class Load:
    """Runs while it is entered; ``counts`` is then complete."""

    def __init__(self, url: str, model: str, bodies: list[dict[str, object]]) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.counts = Counts()
        self._address = (parts.hostname, parts.port or 80)
        self._requests = [self._request(parts.netloc, model, body) for body in bodies]
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def _request(self, host: str, model: str, body: dict[str, object]) -> bytes:
        data = json.dumps(body).encode()
        head = (
            f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    async def __aenter__(self) -> "Load":
        self._tasks = [
            asyncio.create_task(self._work(number, keep=number % 2 == 0))
            for number in range(_WORKERS)
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _work(self, number: int, *, keep: bool) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        turn = number
        while not self._stop.is_set() and self.counts.total < _MOST_REQUESTS:
            turn += 1
            request = self._requests[turn % len(self._requests)]
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if connection is None:
                        connection = await asyncio.open_connection(*self._address)
                    closing = await self._ask(connection, request)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.counts.failed[type(error).__name__] += 1
                closing = True
            if (closing or not keep) and connection is not None:
                connection[1].close()
                connection = None
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_SECONDS):
                    await self._stop.wait()
        if connection is not None:
            connection[1].close()

    async def _ask(
        self, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes
    ) -> bool:
        """One request; whether the server ends the connection."""
        reader, writer = connection
        writer.write(request)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        await reader.readexactly(int(headers.get("content-length", "0")))
        revision = headers.get("slipway-revision", "unknown")
        answered = lines[0].split(" ")[1] == "200"
        (self.counts.by_revision if answered else self.counts.failed)[revision] += 1
        return headers.get("connection", "").lower() == "close"
