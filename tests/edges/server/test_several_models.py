"""Several models in one process: addresses, batches, numbers and failures of their own."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from slipway.contract import ServerMetric
from tests.support import onnx_models
from tests.support.artifacts import Artifact
from tests.support.pods import turns_of
from tests.support.server import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("several")
    (folder / "log.onnx").write_bytes(onnx_models.logarithm())
    artifact = Artifact(model=onnx_models.double()).write(folder / "double")
    with serving(models={"twice": artifact, "log": folder / "log.onnx"}) as running:
        yield running


def ask(server: Server, name: str, *values: float) -> tuple[int, list[float]]:
    status, body, _ = server.infer(list(values), name=name)
    return status, body["outputs"][0]["data"]


def test_each_answers_under_its_own_name_and_version(server: Server) -> None:
    assert ask(server, "twice", 1, 2) == (200, [2, 4])
    assert ask(server, "log", 1, 1) == (200, [0, 0])
    assert server.get("/v1/models")[1] == {"models": ["twice", "log"]}
    versions = {name: server.get(f"/v2/models/{name}")[1]["versions"] for name in ("twice", "log")}
    assert versions["log"] == ["1"]
    assert len(versions["twice"][0]) == 12
    headers = server.infer([1.0, 2.0], name="twice")[2]
    assert headers["slipway-revision"] == versions["twice"][0]
    assert "slipway-artifact" in headers
    headers = server.infer([1.0, 1.0], name="log")[2]
    assert (headers["slipway-revision"], "slipway-artifact" in headers) == ("1", False)
    assert server.get("/v2/models/log/versions/1/ready")[0] == 200
    assert server.get(f"/v2/models/log/versions/{versions['twice'][0]}")[0] == 404


def test_grpc_finds_the_model_that_the_message_names(server: Server) -> None:
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
        value = triton_grpc.InferInput("x", [1, 2], "FP32")
        value.set_data_from_numpy(np.ones((1, 2), np.float32))
        assert client.infer("twice", [value]).as_numpy("y").tolist() == [[2, 2]]
        assert client.infer("log", [value]).as_numpy("y").tolist() == [[0, 0]]
        assert client.is_model_ready("log", "1")
        for call in (client.infer, lambda name, _: client.get_model_metadata(name)):
            with pytest.raises(InferenceServerException, match="the models are 'twice', 'log'"):
                call("other", [value])


def test_a_model_that_is_not_there_is_told_from_those_that_are(server: Server) -> None:
    status, body, _ = server.infer([1.0, 2.0], name="other")
    assert (status, "the models are 'twice', 'log'" in body["error"]) == (404, True)


def test_numbers_are_kept_apart(server: Server) -> None:
    def counted(name: str, code: str) -> float:
        return server.metric(ServerMetric.REQUESTS, model=name, code=code)

    before = {name: counted(name, "200") for name in ("twice", "log")}
    ask(server, "twice", 1, 2)
    assert server.infer([1.0, -1.0], name="log")[0] == 500
    assert counted("twice", "200") == before["twice"] + 1
    assert counted("log", "200") == before["log"]
    assert (counted("twice", "500"), counted("log", "500")) == (0, 1)
    assert server.metric(ServerMetric.NONFINITE, model="twice") == 0
    assert server.metric(ServerMetric.STARTUP, model="log", phase="load") > 0
    assert server.metric(ServerMetric.STARTUP, model="log", phase="warmup") > 0


def test_waits_runs_and_the_process_are_measured(server: Server) -> None:
    before = {
        name: server.metric(name, model="twice")
        for name in (f"{ServerMetric.QUEUE}_count", f"{ServerMetric.ROWS}_sum")
    }
    for _ in range(5):
        ask(server, "twice", 1, 2)
    assert {name: server.metric(name, model="twice") - before[name] for name in before} == {
        f"{ServerMetric.QUEUE}_count": 5,
        f"{ServerMetric.ROWS}_sum": 5,
    }
    assert server.metric(ServerMetric.CPU) > 0.1
    assert server.metric(ServerMetric.RESIDENT) > 10 << 20
    for name in (ServerMetric.LATENCY, ServerMetric.QUEUE, ServerMetric.RUN):
        seconds = server.metric(f"{name}_sum", model="twice")
        assert seconds > 0
        assert seconds * 1000 % 1 != 0  # a clock of whole milliseconds is none for small models


def test_requests_for_several_models_at_once_are_never_mixed(server: Server) -> None:
    def both(number: int) -> bool:
        twice = ask(server, "twice", number, 0)
        log = server.infer([1.0, float(number + 1)], name="log")[1]["outputs"][0]["data"]
        return twice == (200, [2 * number, 0]) and log == pytest.approx([0, np.log(number + 1)])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(both, range(100)))


def test_readiness_and_start_are_of_all(tmp_path: Path) -> None:
    (tmp_path / "good.onnx").write_bytes(onnx_models.double())
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    models = {"good": tmp_path / "good.onnx", "bad": tmp_path / "bad.onnx"}
    with serving(models=models, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert "ModelNotLoadable: model 'bad': " in server.log()
        assert "Traceback" not in server.log()


def test_a_slow_model_holds_up_no_other(tmp_path: Path) -> None:
    (tmp_path / "slow.onnx").write_bytes(onnx_models.slow())
    (tmp_path / "fast.onnx").write_bytes(onnx_models.double())
    models = {"m": tmp_path / "slow.onnx", "fast": tmp_path / "fast.onnx"}
    with serving(models=models) as server, ThreadPoolExecutor(1) as pool:
        turns = turns_of(server, 1.5)
        running = pool.submit(server.infer, [turns, 0.0])
        while not server.metric(ServerMetric.INFLIGHT, model="m"):
            time.sleep(0.01)
        answered = 0
        while not running.done():
            assert ask(server, "fast", 1, 2) == (200, [2, 4])
            answered += 1
        assert running.result()[0] == 200
        assert answered > 3
