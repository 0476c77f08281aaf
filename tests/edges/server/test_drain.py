"""SIGTERM: what runs is finished, everybody is told, and no request fails."""

import asyncio
import contextlib
import http.client
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway.api.v1alpha1.predictor import Concurrency
from slipway.contract import ServerMetric
from tests.support.balancer import Balancer, Clients
from tests.support.pods import GOOD, SLOW, Pod, turns_of
from tests.support.replicas import replica
from tests.support.server import Server, serving


def test_a_drain_finishes_what_runs_and_tells_everybody(tmp_path: Path) -> None:
    pod = Pod.of(SLOW, tmp_path)
    env = pod.env | {"SLIPWAY_DRAIN_SECONDS": "2"}
    with serving(env=env) as server, contextlib.ExitStack() as stack:
        turns = turns_of(server, 2.0)
        kept = http.client.HTTPConnection("127.0.0.1", server.http, timeout=30)
        stack.callback(kept.close)
        kept.request("GET", "/v2/health/ready")
        assert kept.getresponse().read()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(server.infer, [turns, 0.0])
            while not server.metric(ServerMetric.INFLIGHT):
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            while "draining" not in server.log():
                time.sleep(0.01)
            kept.request("GET", "/v2/health/ready")  # the port still answers, the kept one too
            answer = kept.getresponse()
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert b"draining" in answer.read()
            assert running.result()[0] == 200
        assert server.process.wait(timeout=30) == 0
        assert "drained unanswered=0" in server.log()


def test_the_grace_period_is_kept_even_with_work_left(tmp_path: Path) -> None:
    pod = Pod.of(SLOW, tmp_path)
    with serving(env=pod.env | {"SLIPWAY_GRACE_SECONDS": "1"}) as server:
        turns = turns_of(server, 120.0)
        threading.Thread(target=_quietly, args=(server, turns), daemon=True).start()
        while not server.metric(ServerMetric.INFLIGHT):
            time.sleep(0.01)
        start = time.perf_counter()
        assert server.terminate() == 0
        assert time.perf_counter() - start < 25.0


def _quietly(server: Server, turns: float) -> None:
    try:
        server.infer([turns, 0.0])
    except (OSError, http.client.HTTPException):
        return


# Old connections end anyway; with the great age nothing but the drain ends one.
@pytest.mark.parametrize(("age", "replacements"), [(1, 2), (600, 1)])
async def test_no_request_fails_while_servers_are_replaced_behind_a_balancer(
    tmp_path: Path, age: int, replacements: int
) -> None:
    pod = Pod.of(GOOD, tmp_path, concurrency=Concurrency(max_connection_age_seconds=age))
    http_balancer, grpc_balancer = Balancer(), Balancer()
    await http_balancer.start()
    await grpc_balancer.start()
    process, http_balancer.target, grpc_balancer.target = await replica(pod)
    clients = Clients(http_balancer.port, grpc_balancer.port)
    await clients.answers(20)
    for _ in range(replacements):
        following, http_port, grpc_port = await replica(pod)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)  # the balancer learns of it later than the server
        http_balancer.target, grpc_balancer.target = http_port, grpc_port
        assert await process.wait() == 0
        process = following
        await clients.answers(20)
    await clients.stop()
    process.kill()
    await process.wait()
    await http_balancer.stop()
    await grpc_balancer.stop()
    assert clients.failures == []
