"""More requests than a model can answer: the slow model turns its loop as often as asked."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from slipway.api.v1alpha1.predictor import Concurrency
from slipway.contract import ServerMetric
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from tests.support.pods import SLOW, Pod, turns_of
from tests.support.server import serving


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


def test_a_deadline_is_answered_in_time_on_every_door(tmp_path: Path) -> None:
    pod = Pod.of(SLOW, tmp_path, concurrency=Concurrency(timeout_seconds=1))
    with serving(env=pod.env) as server:
        turns = turns_of(server, 20.0)
        start = time.perf_counter()
        status, body, _ = server.infer([turns, 0.0])
        assert (status, body) == (504, {"error": "the deadline passed before the model answered"})
        assert time.perf_counter() - start < 3.0
        request = pb.ModelInferRequest(model_name="m", raw_input_contents=[bytes(8)])
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer"
            )
            with pytest.raises(grpc.RpcError) as caught:  # it waits for the slow one
                call(request.SerializeToString(), timeout=20)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            with pytest.raises(grpc.RpcError):  # its own deadline is the server's fault, too
                call(request.SerializeToString(), timeout=0.3)
        late = {"code": "DEADLINE_EXCEEDED", "outcome": "server_error"}
        while server.metric(ServerMetric.REQUESTS, door="grpc", **late) < 2:
            time.sleep(0.01)
