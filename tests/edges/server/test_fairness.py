"""Somebody who asks for far too much: others are answered as if that one were one of many."""

import asyncio
import contextlib
import statistics
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio

from slipway.api.v1alpha1.predictor import Concurrency
from slipway.contract import ServerMetric
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from tests.support import onnx_models
from tests.support.pods import SLOW, Pod, turns_of
from tests.support.server import Server, serving

QUEUE = 64
CALLS = 200  # at once, on one connection
RUN = 0.02  # seconds


@contextlib.asynccontextmanager
async def greedy(server: Server, turns: float, model: str = "m") -> AsyncIterator[Counter[str]]:
    """A connection that has 200 calls under way, refused ones again and again."""
    request = pb.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    tensor.contents.fp32_contents.extend([turns, 0.0])
    message, codes = request.SerializeToString(), Counter[str]()

    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer"
        )

        async def ask() -> None:
            while True:
                try:
                    await call(message)
                    codes["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    codes[error.code().name] += 1
                    await asyncio.sleep(0.05)

        tasks = [asyncio.create_task(ask()) for _ in range(CALLS)]
        try:
            yield codes
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def overtaken(
    server: Server, turns: float, codes: Counter[str], *, name: str = "m", count: int = 12
) -> float:
    """How many answers the greedy one gets before a request of somebody else has its own: median.

    Not a time: on a busy machine everything takes longer.
    """
    found = []
    for _ in range(count):
        before = codes["OK"]
        status, body, _ = await asyncio.to_thread(server.infer, [turns, 0.0], name=name)
        assert status == 200, body
        found.append(codes["OK"] - before)
    return statistics.median(found)


async def test_a_connection_with_too_many_calls_starves_no_other(tmp_path: Path) -> None:
    pod = Pod.of(SLOW, tmp_path, concurrency=Concurrency(max_queued=QUEUE))
    with serving(env=pod.env) as server:
        turns = await asyncio.to_thread(turns_of, server, RUN)
        async with greedy(server, turns) as codes:
            while not codes["RESOURCE_EXHAUSTED"]:  # noqa: ASYNC110 - a count, no event
                await asyncio.sleep(0.01)
            assert await overtaken(server, turns, codes) < QUEUE / 4
        assert codes["OK"] > 0


async def test_a_model_with_too_many_requests_starves_no_other(tmp_path: Path) -> None:
    (tmp_path / "slow.onnx").write_bytes(onnx_models.slow())
    (tmp_path / "fast.onnx").write_bytes(onnx_models.double())
    models = {"m": tmp_path / "slow.onnx", "fast": tmp_path / "fast.onnx"}
    with serving(models=models) as server:
        turns = await asyncio.to_thread(turns_of, server, 5 * RUN)
        async with greedy(server, turns) as codes:
            while server.metric(ServerMetric.QUEUED, model="m") < QUEUE:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            assert await overtaken(server, 1.0, codes, name="fast", count=30) <= 2
            assert server.metric(ServerMetric.QUEUED, model="m") > QUEUE
