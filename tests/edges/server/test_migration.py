"""Requests as other servers' documentation shows them, sent to a real server of ours.

- TensorFlow Serving: https://www.tensorflow.org/tfx/serving/api_rest
- KServe V1: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
- TorchServe: https://pytorch.org/serve/inference_api.html
- MXNet Model Server: https://github.com/awslabs/multi-model-server/blob/master/docs/inference_api.md
- MindSpore Serving: https://www.mindspore.cn/serving/docs/en/r2.0/serving_restful.html
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.support import onnx_models
from tests.support.server import Server, serving

KITTEN = bytes(range(256)) * 3  # stands for the bytes of an image
TYPE = "Content-Type"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    models = {
        "half_plus_three": onnx_models.half_plus_three(),
        "three": onnx_models.three_inputs(),
        "text": onnx_models.text(),
        "bytes": onnx_models.size(),
        "double": onnx_models.double(),
        "box": onnx_models.same(TensorProto.INT16, ("N", 3, 2)),
        "add": onnx_models.add(),
        "pick": onnx_models.pick(),
    }
    for name, data in models.items():
        (folder / f"{name}.onnx").write_bytes(data)
    with serving(models={name: folder / f"{name}.onnx" for name in models}) as running:
        yield running
        assert "Traceback" not in running.log()


def send(
    server: Server, path: str, body: bytes | dict[str, Any] | list[Any], *, method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:  # fmt: skip
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.request(method, path, data, headers)[:2]


# ---- TensorFlow Serving, KServe V1


def test_tensorflow_serving_status(server: Server) -> None:
    for path in ("/v1/models/half_plus_three", "/v1/models/half_plus_three/versions/1"):
        status, body, _ = server.get(path)
        assert status == 200
        assert body["model_version_status"] == [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
        assert (body["name"], body["ready"]) == ("half_plus_three", True)  # KServe's form


def test_tensorflow_serving_metadata(server: Server) -> None:
    for path in ("/v1/models/three/metadata", "/v1/models/three/versions/1/metadata"):
        status, body, _ = server.get(path)
        assert status == 200
        assert body["model_spec"] == {"name": "three", "signature_name": "", "version": "1"}
        serving_default = body["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert serving_default["method_name"] == "tensorflow/serving/predict"
        assert serving_default["inputs"]["signal"] == {
            "dtype": "DT_FLOAT",
            "tensor_shape": {
                "dim": [{"size": "-1", "name": ""}, {"size": "5", "name": ""}],
                "unknown_rank": False,
            },
            "name": "signal:0",
        }
        assert serving_default["outputs"]["tag_bytes"]["dtype"] == "DT_STRING"


def test_tensorflow_serving_predict_as_curl_sends_it(server: Server) -> None:
    form = {TYPE: "application/x-www-form-urlencoded"}  # what curl -d says
    for path in ("half_plus_three", "half_plus_three/versions/1"):
        assert send(
            server, f"/v1/models/{path}:predict", b'{"instances": [1.0,2.0,5.0]}', headers=form
        ) == (200, {"predictions": [3.5, 4.0, 5.5]})


ROWS = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]
COLUMNS = {
    "tag": ["foo", "bar"],
    "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
    "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]],
}


def encoded(text: str) -> dict[str, str]:
    return {"b64": base64.b64encode(text.encode()).decode()}


def test_tensorflow_serving_rows_and_columns(server: Server) -> None:
    rows = {"signature_name": "serving_default", "instances": ROWS}
    assert send(server, "/v1/models/three:predict", rows) == (
        200,
        {
            "predictions": [
                {"tag_bytes": encoded("foo"), "sum": 25.0},
                {"tag_bytes": encoded("bar"), "sum": 38.0},
            ]
        },
    )
    assert send(server, "/v1/models/three:predict", {"inputs": COLUMNS}) == (
        200,
        {"outputs": {"tag_bytes": [encoded("foo"), encoded("bar")], "sum": [25.0, 38.0]}},
    )


def test_tensorflow_serving_scalars_lists_and_base64(server: Server) -> None:
    words = ["foo", "bar", "baz"]
    assert send(server, "/v1/models/text:predict", {"instances": words}) == (
        200, {"predictions": words},
    )  # fmt: skip
    image = {"b64": "aW1hZ2UgYnl0ZXM="}
    assert send(server, "/v1/models/text:predict", {"instances": [image]}) == (
        200, {"predictions": ["image bytes"]},
    )  # fmt: skip
    assert send(server, "/v1/models/bytes:predict", {"inputs": image}) == (200, {"outputs": [11]})
    assert send(server, "/v1/models/bytes:predict", {"inputs": {"x": image}}) == (
        200, {"outputs": [11]},
    )  # fmt: skip


def test_tensorflow_serving_errors(server: Server) -> None:
    for path in ("half:predict", "half_plus_three/versions/9:predict"):
        status, body = send(server, f"/v1/models/{path}", {"instances": [1.0, 5.0]})
        assert (status, list(body)) == (404, ["error"])
    status, body = send(server, "/v1/models/half_plus_three:predict", {"instances": ["a"]})
    assert (status, list(body)) == (400, ["error"])
    assert send(server, "/v1/models/half_plus_three:regress", {"examples": []})[0] == 404


# ---- TorchServe, MXNet Model Server


def test_ping(server: Server) -> None:
    assert server.get("/ping")[:2] == (200, {"status": "Healthy", "health": "healthy!"})


@pytest.mark.parametrize("path", ["/predictions/bytes", "/predictions/bytes/1"])
def test_torchserve_takes_a_file(server: Server, path: str) -> None:
    """``curl URL -T kitten.jpg`` (PUT), ``curl -X POST URL -T kitten.jpg``, and with -F."""
    assert send(server, path, KITTEN, method="PUT") == (200, [len(KITTEN)])
    assert send(server, path, KITTEN) == (200, [len(KITTEN)])
    body, headers = form([("data", KITTEN)])
    assert send(server, path, body, headers=headers) == (200, [len(KITTEN)])


def form(parts: list[tuple[str, bytes]]) -> tuple[bytes, dict[str, str]]:
    """As curl -F and requests write it."""
    line = b"------------------------d74496d66958873e"
    body = b""
    for name, data in parts:
        body += (
            b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="kitten.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n%b\r\n"
        ) % (line, name.encode(), data)
    kind = f"multipart/form-data; boundary={line.decode()}"
    return body + b"--%b--\r\n" % line, {TYPE: kind}


def test_torchserve_takes_several_files(server: Server) -> None:
    first, second = np.ones((2, 2), np.float32), np.full((2, 2), 2, np.float32)
    for names in (("data", "data"), ("x1", "x2"), ("x2", "x1")):
        body, headers = form([(names[0], first.tobytes()), (names[1], second.tobytes())])
        assert send(server, "/predictions/add", body, headers=headers) == (200, [[3, 3], [3, 3]])


def test_torchserve_takes_json(server: Server) -> None:
    path, rows = "/predictions/double", [[1.0, 2.0], [3.0, 4.0]]
    doubled = [[2.0, 4.0], [6.0, 8.0]]
    for headers in ({}, {TYPE: "application/json"}):
        assert send(server, path, rows, headers=headers) == (200, doubled)
        assert send(server, path, {"data": rows}, headers=headers) == (200, doubled)
        assert send(server, path, {"x": rows}, headers=headers) == (200, doubled)
        enveloped = {"instances": rows}
        assert send(server, path, enveloped, headers=headers) == (200, {"predictions": doubled})
    picked = {"row": [[1.5, 2.5, 3.5]], "place": [[2]]}
    assert send(server, "/predictions/pick", picked) == (200, {"value": [[3.5]], "again": [[2]]})


def test_torchserve_takes_text(server: Server) -> None:
    """``curl URL -T sample_text.txt``: not taken for JSON, whatever it begins with."""
    for text in ("plain", '{"not": "json"}', "[1]"):
        assert send(server, "/predictions/text", text.encode(), method="PUT") == (200, [text])


def test_torchserve_takes_the_bytes_of_a_tensor(server: Server) -> None:
    rows = np.array([[1, 2], [3, 4]], np.float32)
    kind = {TYPE: "application/octet-stream"}
    answer = send(server, "/predictions/double", rows.tobytes(), headers=kind)
    assert answer == (200, (rows * 2).tolist())
    status, body = send(server, "/predictions/double", bytes(7), headers=kind)
    assert (status, "has 7 bytes" in body["message"]) == (400, True)


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/predictions/none", b"1", 404, "ModelNotFoundException"),
        ("/predictions/double/9", b"1", 404, "ModelNotFoundException"),
        ("/predictions/double", b"{", 400, "BadRequestException"),
        ("/predictions/pick", b"bytes", 400, "BadRequestException"),
    ],
)
def test_torchserve_errors(server: Server, path: str, body: bytes, status: int, kind: str) -> None:
    found, answer = send(server, path, body)
    assert (found, answer["code"], answer["type"]) == (status, status, kind)
    assert answer["message"]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"--a\r\n", "multipart/form-data", "names no boundary"),
        (b"x", "multipart/form-data; boundary=a", "does not begin"),
        (b"--a\r\n\r\n", "multipart/form-data; boundary=a", "before its last boundary"),
        (b"--a\r\nX: y\r\n\r\n1\r\n--a--", "multipart/form-data; boundary=a", "has no name"),
        (b"--a\r\nX\r\n--a--", "multipart/form-data; boundary=a", "has no headers"),
    ],
)
def test_broken_forms(server: Server, body: bytes, kind: str, message: str) -> None:
    status, answer = send(server, "/predictions/double", body, headers={TYPE: kind})
    assert (status, message in answer["message"]) == (400, True), answer


def test_a_form_with_too_many_parts(server: Server) -> None:
    body, headers = form([("data", b"1")] * 3)
    status, answer = send(server, "/predictions/double", body, headers=headers)
    assert (status, "more than 1 parts" in answer["message"]) == (400, True)


# ---- MindSpore Serving


@pytest.mark.parametrize("path", ["/model/add:predict", "/model/add/version/1:predict"])
def test_mindspore_add(server: Server, path: str) -> None:
    instance = {"x1": [[1.0, 2.0], [3.0, 4.0]], "x2": [[1.0, 2.0], [3.0, 4.0]]}
    expected = {"instances": [{"y": [[2.0, 4.0], [6.0, 8.0]]}]}
    assert send(server, path, {"instances": [instance]}) == (200, expected)
    assert send(server, path, {"instances": instance}) == (200, expected)
    status, body = send(server, path, {"instances": [instance, instance]})
    assert (status, "takes no batches" in body["error_msg"]) == (400, True)


def test_mindspore_rows_with_base64(server: Server) -> None:
    tensor = {"b64": "AQABAAIAAwADAAQA", "type": "int16", "shape": [3, 2]}
    instances = [{"x": tensor}, {"x": [[2, 2], [5, 5], [6, 6]]}]
    assert send(server, "/model/box:predict", {"instances": instances}) == (
        200,
        {"instances": [{"y": [[1, 1], [2, 3], [3, 4]]}, {"y": [[2, 2], [5, 5], [6, 6]]}]},
    )
    words = [{"s": "hello"}, {"s": {"b64": "aGVsbG8=", "type": "str"}}, {"s": {"b64": "aGVsbG8="}}]
    assert send(server, "/model/text:predict", {"instances": words}) == (
        200, {"instances": [{"t": "hello"}] * 3},
    )  # fmt: skip


def test_mindspore_several_inputs_and_outputs(server: Server) -> None:
    rows = [{"row": [1.5, 2.5, 3.5], "place": [1]}, {"row": [4.5, 5.5, 6.5], "place": [0]}]
    assert send(server, "/model/pick:predict", {"instances": rows}) == (
        200,
        {"instances": [{"value": [2.5], "again": [1]}, {"value": [4.5], "again": [0]}]},
    )


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/model/add:predict", b"{", 400),
        ("/model/add:predict", b'{"instances":[]}', 400),
        ("/model/add:predict", b'{"instances":[{"x1":[[1,2],[3,4]]}]}', 400),
        ("/model/add:add_common", b'{"instances":[]}', 404),
        ("/model/none:predict", b"{}", 404),
        ("/model/box:predict", b'{"instances":[{"x":{"b64":"AQAB","type":"int32"}}]}', 400),
        ("/model/box:predict", b'{"instances":[{"x":{"b64":"A","type":"int16"}}]}', 400),
        (
            "/model/box:predict",
            b'{"instances":[{"x":{"b64":"AQAB","type":"int16","shape":[99999999,9999999]}}]}',
            400,
        ),
    ],
)
def test_mindspore_errors(server: Server, path: str, body: bytes, status: int) -> None:
    found, answer = send(server, path, body)
    assert (found, list(answer)) == (status, ["error_msg"])


def test_each_door_is_counted_by_its_name(server: Server) -> None:
    def counted(door: str) -> float:
        return server.metric("slipway_requests_total", model="add", door=door, code="200")

    instance = {"x1": [[1, 2], [3, 4]], "x2": [[1, 2], [3, 4]]}
    before = {door: counted(door) for door in ("v1", "torchserve", "mindspore")}
    for path, body in (
        ("/v1/models/add:predict", {"inputs": instance}),
        ("/predictions/add", instance),
        ("/model/add:predict", {"instances": [instance]}),
    ):
        assert send(server, path, body)[0] == 200
    assert {door: counted(door) - before[door] for door in before} == dict.fromkeys(before, 1)
