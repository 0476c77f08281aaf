"""``/metrics``, ``/healthz`` and ``/readyz`` of the operator."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from slipway_operator.telemetry.metrics import OperatorMetrics

_BEAT_SECONDS = 0.5
_LOOP_LAG_LIMIT = 5.0
_QUEUE_AGE_LIMIT = 300.0
_WATCH_SILENCE_LIMIT = 300.0


@dataclass(slots=True)
class Vitals:
    """Read when asked."""

    synced: Callable[[], bool]
    leading: Callable[[], bool]
    queue_depth: Callable[[], int]
    queue_oldest: Callable[[], float]
    watch_silence: Callable[[], float]
    resources: Callable[[], int]
    loop_lag: float = 0.0

    def illness(self) -> str | None:
        """Why this process should be restarted, if so."""
        if self.loop_lag > _LOOP_LAG_LIMIT:
            return f"the event loop lags {self.loop_lag:.1f} s"
        if self.leading() and self.queue_oldest() > _QUEUE_AGE_LIMIT:
            return f"a resource has waited {self.queue_oldest():.0f} s"
        if self.synced() and self.watch_silence() > _WATCH_SILENCE_LIMIT:
            return f"a watch has been silent for {self.watch_silence():.0f} s"
        return None

    async def beat(self) -> None:
        """Measure the loop's lag until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(_BEAT_SECONDS)
            self.loop_lag = max(0.0, loop.time() - before - _BEAT_SECONDS)


def application(vitals: Vitals, metrics: OperatorMetrics) -> web.Application:
    """The three routes."""

    async def healthz(_: web.Request) -> web.Response:
        illness = vitals.illness()
        return web.Response(text=illness or "ok", status=500 if illness else 200)

    async def readyz(_: web.Request) -> web.Response:
        ready = vitals.synced()
        return web.Response(
            text="ok" if ready else "waits for the first list of every kind",
            status=200 if ready else 503,
        )

    async def exposition(_: web.Request) -> web.Response:
        metrics.set("leader", float(vitals.leading()))
        metrics.set("queue_depth", vitals.queue_depth())
        metrics.set("queue_oldest_seconds", vitals.queue_oldest())
        metrics.set("watch_silent_seconds", vitals.watch_silence())
        metrics.set("resources", vitals.resources())
        metrics.set("loop_lag_seconds", vitals.loop_lag)
        return web.Response(body=metrics.render(), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", exposition),
        ]
    )
    return app
