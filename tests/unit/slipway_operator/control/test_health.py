"""What probes and Prometheus see of an operator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Request

from slipway_operator.control.health import Vitals, application
from slipway_operator.telemetry.metrics import OperatorMetrics

WELL = Vitals(
    synced=lambda: True,
    leading=lambda: True,
    queue_depth=lambda: 3,
    queue_oldest=lambda: 1.5,
    watch_silence=lambda: 20.0,
    resources=lambda: 7,
)


@asynccontextmanager
async def served(vitals: Vitals) -> AsyncIterator[TestClient[Request, web.Application]]:
    async with TestClient(TestServer(application(vitals, OperatorMetrics()))) as client:
        yield client


async def seen(vitals: Vitals, path: str) -> tuple[int, str]:
    async with served(vitals) as client, client.get(path) as answer:
        return answer.status, await answer.text()


async def test_a_healthy_operator_is_alive_and_ready() -> None:
    assert await seen(WELL, "/healthz") == (200, "ok")
    assert await seen(WELL, "/readyz") == (200, "ok")


async def test_it_is_ready_once_every_kind_was_listed_whether_it_leads_or_not() -> None:
    waiting = replace(WELL, synced=lambda: False)
    assert await seen(waiting, "/readyz") == (503, "waits for the first list of every kind")
    assert await seen(waiting, "/healthz") == (200, "ok")
    assert (await seen(replace(WELL, leading=lambda: False), "/readyz"))[0] == 200


@pytest.mark.parametrize(
    ("ill", "why"),
    [
        (replace(WELL, loop_lag=5.5), "the event loop lags 5.5 s"),
        (replace(WELL, queue_oldest=lambda: 301.0), "a resource has waited 301 s"),
        (replace(WELL, watch_silence=lambda: 301.0), "a watch has been silent for 301 s"),
    ],
)
async def test_it_asks_for_a_restart_when_it_is_stuck_and_says_why(ill: Vitals, why: str) -> None:
    assert await seen(ill, "/healthz") == (500, why)


async def test_a_standby_is_not_blamed_for_a_queue_it_may_not_work_on() -> None:
    standby = replace(WELL, leading=lambda: False, queue_oldest=lambda: 9999.0)
    assert await seen(standby, "/healthz") == (200, "ok")


async def test_the_vitals_are_metrics() -> None:
    status, text = await seen(replace(WELL, loop_lag=0.25), "/metrics")
    assert status == 200
    for line in (
        "slipway_operator_leader 1.0",
        "slipway_operator_queue_depth 3.0",
        "slipway_operator_queue_oldest_seconds 1.5",
        "slipway_operator_watch_silent_seconds 20.0",
        "slipway_operator_resources 7.0",
        "slipway_operator_loop_lag_seconds 0.25",
    ):
        assert line in text.splitlines()
