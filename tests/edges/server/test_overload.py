"""More requests than a model can answer: the slow model turns its loop as often as asked."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slipway.api.v1alpha1.predictor import Concurrency
from slipway.contract import ServerMetric
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from tests.support import h2
from tests.support.pods import SLOW, Pod, turns_of
from tests.support.rpc import connected
from tests.support.server import serving

INFER = b"/inference.GRPCInferenceService/ModelInfer"


def test_a_full_queue_answers_429_and_recovers(tmp_path: Path) -> None:
    pod = Pod.of(SLOW, tmp_path, concurrency=Concurrency(max_queued=2))
    with serving(env=pod.env) as server, ThreadPoolExecutor(12) as pool:
        turns = turns_of(server, 0.7)
        answers = list(pool.map(lambda _: server.infer([turns, 0.0]), range(12)))
        codes = sorted(status for status, _, _ in answers)
        assert codes.count(200) >= 3  # one ran, two waited
        assert codes.count(429) == 12 - codes.count(200) >= 5
        refused = next(answer for answer in answers if answer[0] == 429)
        assert "requests wait already" in refused[1]["error"]
        assert refused[2]["retry-after"] == "1"
        assert server.get("/v2/health/ready")[0] == 200
        assert server.infer([1.0, 0.0])[0] == 200
        counted = server.metric(ServerMetric.REQUESTS, code="429", outcome="server_error")
        assert counted == codes.count(429)
        assert server.metric(ServerMetric.INFLIGHT) == server.metric(ServerMetric.QUEUED) == 0


async def test_a_deadline_is_answered_in_time_on_every_door(tmp_path: Path) -> None:
    pod = Pod.of(SLOW, tmp_path, concurrency=Concurrency(timeout_seconds=1))
    with serving(env=pod.env) as server:
        turns = turns_of(server, 120.0)
        start = time.perf_counter()
        status, body, _ = server.infer([turns, 0.0])
        assert (status, body) == (504, {"error": "the deadline passed before the model answered"})
        assert time.perf_counter() - start < 25.0  # the model takes two minutes
        request = pb.ModelInferRequest(model_name="m", raw_input_contents=[bytes(8)])
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        message = request.SerializeToString()
        async with connected(server.grpc) as client:  # its calls wait for the slow one
            for stream, own in ((1, b"60S"), (3, b"300m")):  # the server's deadline, and its own
                fields = h2.call_fields(INFER, grpc_timeout=own)
                client.send(h2.call(stream, message, fields))
                assert (await client.answer(stream))[1][b"grpc-status"] == b"4"
        late = {"code": "DEADLINE_EXCEEDED", "outcome": "server_error"}
        assert server.metric(ServerMetric.REQUESTS, door="grpc", **late) == 2
