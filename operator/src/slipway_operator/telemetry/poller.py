"""Scrapes the server pods of running rollouts. Never inside a reconcile; no verdicts here."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import aiohttp

from slipway.contract import Component, Label, Port
from slipway_operator.kube.store import Key, Store
from slipway_operator.plan.objects import Object, labels
from slipway_operator.plan.observed import Window
from slipway_operator.plan.podstate import is_ready
from slipway_operator.telemetry.samples import Counts, difference, parse, window

_log = logging.getLogger(__name__)
_PERIOD: Final = 1.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=2)
_PARALLEL: Final = 64
_BODY_LIMIT: Final = 1 << 20


@dataclass(slots=True)
class _Pod:
    """What one pod said: at the beginning of the window, and last."""

    revision: str
    first: Counts
    last: Counts


@dataclass(slots=True)
class _Watch:
    since: datetime
    pods: dict[str, _Pod] = field(default_factory=dict)


class Poller:
    """Implements ``Windows``: counts requests since a rollout's step became ready."""

    def __init__(
        self,
        store: Store,
        *,
        port: int = int(Port.HTTP),
        on_sample: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._watches: dict[Key, _Watch] = {}
        self._port = port
        self._on_sample = on_sample

    def view(self, key: Key, since: datetime | None) -> Mapping[str, Window]:
        """See ``Windows.view``. A new ``since`` begins new windows where the old ones end."""
        if since is None:
            return {}
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch(since)
        elif watch.since != since:
            watch.since = since
            for pod in watch.pods.values():
                pod.first = pod.last
        revisions = {pod.revision for pod in watch.pods.values()}
        return {
            revision: window(
                difference(pod.last, pod.first)
                for pod in watch.pods.values()
                if pod.revision == revision
            )
            for revision in revisions
        }

    def forget(self, key: Key) -> None:
        """See ``Windows.forget``."""
        self._watches.pop(key, None)

    async def run(self) -> None:
        """Scrape once a second until cancelled."""
        connector = aiohttp.TCPConnector(limit=_PARALLEL)
        async with aiohttp.ClientSession(
            timeout=_TIMEOUT, connector=connector, trust_env=False
        ) as session:
            while True:
                await self._round(session)
                await asyncio.sleep(_PERIOD)

    async def _round(self, session: aiohttp.ClientSession) -> None:
        await asyncio.gather(
            *(
                self._scrape(session, watch, pod)
                for key, watch in list(self._watches.items())
                for pod in self._pods(key)
            )
        )
        self._on_sample()

    def _pods(self, key: Key) -> list[Object]:
        return [
            obj
            for ref, obj in self._store.of(key).items()
            if ref.kind == "Pod"
            and labels(obj).get(Label.APP_COMPONENT) == Component.PREDICTOR
            and is_ready(obj)
            and (obj.get("status") or {}).get("podIP")
        ]

    async def _scrape(self, session: aiohttp.ClientSession, watch: _Watch, pod: Object) -> None:
        address = pod["status"]["podIP"]
        host = f"[{address}]" if ":" in address else address
        try:
            async with session.get(f"http://{host}:{self._port}/metrics") as response:
                if response.status != 200:
                    return
                counts = parse((await _whole(response)).decode())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            _log.info("pod %s: no metrics: %s", pod["metadata"]["name"], error)
            return
        name = pod["metadata"]["name"]
        known = watch.pods.get(name)
        if known is None:
            revision = labels(pod).get(Label.REVISION, "")
            watch.pods[name] = _Pod(revision, counts, counts)
        else:
            known.last = counts


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """The body to its end: half an exposition would be other numbers.

    Raises:
        ValueError: it is larger than 1 MiB.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise ValueError(f"more than {_BODY_LIMIT} bytes")
    return bytes(body)
