"""Step 4: a server that proves what it serves, through every door."""

import http.client
import json
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc
import tritonclient.http

from tests.e2e.figures import tell
from tests.e2e.space import Space
from tests.support import models
from tests.support.kubectl import eventually
from tests.support.load import Load, Mix, Target

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def target(first: Space) -> Target:
    """The Service of the model."""
    return first.target("first")


@pytest.fixture(scope="module")
def row(first: Space) -> Array:
    """One row of the data set."""
    return models.magika_row(first.files.folder)


@pytest.fixture(scope="module")
def expected(first: Space, row: Array) -> Array:
    """What the source model says."""
    session = onnxruntime.InferenceSession(str(first.files.folder / "v1.onnx"))
    answer: Array = session.run(None, {"bytes": row})[0]
    return answer


def check(answer: Array | None, expected: Array) -> None:
    """The served variant may be quantised: the same class, and about as sure of it."""
    assert answer is not None
    assert answer.shape == expected.shape
    assert answer.argmax() == expected.argmax()
    assert abs(float(answer.max()) - float(expected.max())) < 0.1


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_rest_by_tritonclient(target: Target, row: Array, expected: Array, binary: bool) -> None:
    with tritonclient.http.InferenceServerClient(f"{target.host}:{target.http_port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("first")
        tensor = tritonclient.http.InferInput("bytes", list(row.shape), "INT32")
        tensor.set_data_from_numpy(row, binary_data=binary)
        wanted = tritonclient.http.InferRequestedOutput("target_label", binary_data=binary)
        answer = client.infer("first", [tensor], outputs=[wanted], request_id="17")
    assert answer.get_response()["id"] == "17"
    check(answer.as_numpy("target_label"), expected)


def test_grpc_by_tritonclient(target: Target, row: Array, expected: Array) -> None:
    with tritonclient.grpc.InferenceServerClient(f"{target.host}:{target.grpc_port}") as client:
        assert client.is_server_live()
        assert client.is_model_ready("first")
        metadata = client.get_model_metadata("first")
        assert [each.name for each in metadata.inputs] == ["bytes"]
        tensor = tritonclient.grpc.InferInput("bytes", list(row.shape), "INT32")
        tensor.set_data_from_numpy(row)
        answer = client.infer("first", [tensor])
    check(answer.as_numpy("target_label"), expected)


def test_predict_of_kserve_v1(target: Target, row: Array, expected: Array) -> None:
    body = json.dumps({"instances": [{"bytes": row[0].tolist()}]})
    status, _, text = ask(target, "POST", "/v1/models/first:predict", body)
    assert status == 200
    check(np.array(json.loads(text)["predictions"]), expected)


def test_the_answer_names_the_revision_and_the_artifact_that_status_names(
    first: Space, target: Target
) -> None:
    _, headers, _ = ask(target, "GET", "/v2/models/first")
    stable = first.status("first")["stable"]
    assert headers["slipway-revision"] == stable["revision"]
    assert headers["slipway-artifact"] == stable["artifact"]["manifestDigest"]


def test_a_wrong_request_is_the_clients_fault_and_says_why(target: Target) -> None:
    tensor = {"name": "bytes", "shape": [1, 3], "datatype": "INT32", "data": [1, 2, 3]}
    body = json.dumps({"inputs": [tensor]})
    status, _, text = ask(target, "POST", "/v2/models/first/infer", body)
    assert status == 400
    assert "2048" in json.loads(text)["error"]


def test_metrics_are_prometheus_text(first: Space, target: Target) -> None:
    status, _, text = ask(target, "GET", "/metrics")
    assert status == 200
    stable = first.status("first")["stable"]
    assert f'revision="{stable["revision"]}"' in text
    counted = [line for line in text.splitlines() if line.startswith("slipway_requests_total{")]
    assert any('outcome="success"' in line and float(line.split()[-1]) > 0 for line in counted)
    assert "slipway_request_duration_seconds_bucket{" in text


def test_servers_are_restricted_and_have_no_token(first: Space) -> None:
    (pod,) = first.servers("first")
    assert pod["spec"]["automountServiceAccountToken"] is False
    context = pod["spec"]["containers"][0]["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_sigterm_drains(first: Space, target: Target, row: Array) -> None:
    """Of two pods one is deleted, twice, under load on new and on kept connections."""
    first.kubectl("scale", "mdep", "first", "--replicas=2")
    eventually("two ready pods", lambda: _ready(first) == 2, seconds=60)
    rest = models.rest("first", "bytes", row)
    grpc = models.grpc("first", "bytes", row)
    with Load(target, http=rest, grpc_request=grpc, mix=Mix.half_kept(60)) as load:
        for _ in range(2):
            victim = first.servers("first")[0]["metadata"]["name"]
            first.kubectl("delete", "pod", victim)  # returns when the pod has gone
            eventually("two ready pods", lambda: _ready(first) == 2, seconds=60)
    tell(f"two pods deleted under load: {load.result.summary()}")
    assert load.result.failures == []
    assert load.result.requests > 300
    first.kubectl("scale", "mdep", "first", "--replicas=1")


def _ready(first: Space) -> int:
    found: int = first.status("first")["stable"]["readyReplicas"]
    return found


def ask(target: Target, method: str, path: str, body: str | None = None) -> tuple[int, Any, str]:
    """One request: status, headers, text."""
    connection = http.client.HTTPConnection(target.host, target.http_port, timeout=30)
    try:
        connection.request(method, path, body=body, headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()
