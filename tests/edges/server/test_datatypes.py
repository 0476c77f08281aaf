"""Every datatype and odd shape through every door, by real models and clients of others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from onnx import TensorProto

from slipway_server.engine import OnnxSession
from tests.support import onnx_models
from tests.support.server import Server, serving

TYPES: dict[str, tuple[int, np.ndarray]] = {
    "BOOL": (TensorProto.BOOL, np.array([[True, False]])),
    "UINT8": (TensorProto.UINT8, np.array([[0, 255]], np.uint8)),
    "UINT16": (TensorProto.UINT16, np.array([[0, 2**16 - 1]], np.uint16)),
    "UINT32": (TensorProto.UINT32, np.array([[0, 2**32 - 1]], np.uint32)),
    "UINT64": (TensorProto.UINT64, np.array([[0, 2**64 - 1]], np.uint64)),
    "INT8": (TensorProto.INT8, np.array([[-128, 127]], np.int8)),
    "INT16": (TensorProto.INT16, np.array([[-(2**15), 2**15 - 1]], np.int16)),
    "INT32": (TensorProto.INT32, np.array([[-(2**31), 2**31 - 1]], np.int32)),
    "INT64": (TensorProto.INT64, np.array([[-(2**63), 2**63 - 1]], np.int64)),
    "FP16": (TensorProto.FLOAT16, np.array([[-0.5, 65504]], np.float16)),
    "FP32": (TensorProto.FLOAT, np.array([[-0.1, 3e38]], np.float32)),
    "FP64": (TensorProto.DOUBLE, np.array([[-0.1, 1e308]])),
    "BYTES": (TensorProto.STRING, np.array([["", "é\n\0"]], object)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def every(folder: Path) -> Iterator[Server]:
    """One server with a model of each datatype."""
    models = {name: onnx_models.same(kind) for name, (kind, _) in TYPES.items()}
    with several(folder, models | {"BF16": onnx_models.halves()}) as server:
        yield server


@pytest.mark.parametrize("datatype", TYPES)
def test_a_datatype_goes_through_every_door_unchanged(every: Server, datatype: str) -> None:
    array = TYPES[datatype][1]
    document = {"name": "x", "shape": array.shape, "datatype": datatype, "data": array.tolist()}
    status, body, _ = every.post(f"/v2/models/{datatype}/infer", {"inputs": [document]})
    assert status == 200, body
    np.testing.assert_array_equal(np.array(body["outputs"][0]["data"], array.dtype), array[0])
    status, body, _ = every.post(f"/v1/models/{datatype}:predict", {"instances": array.tolist()})
    assert status == 200, body
    np.testing.assert_array_equal(np.array(body["predictions"], array.dtype), array)
    for module, port in ((triton_http, every.http), (triton_grpc, every.grpc)):
        with module.InferenceServerClient(f"127.0.0.1:{port}") as client:
            value = module.InferInput("x", array.shape, datatype)
            value.set_data_from_numpy(array)
            answer = client.infer(datatype, [value]).as_numpy("y")
            if datatype == "BYTES":
                answer = np.array([[item.decode() for item in answer[0]]], object)
            np.testing.assert_array_equal(answer, array)


def test_bfloat16(every: Server) -> None:
    values = np.array([[1.5, -3.0e38], [0.0, 2.0**-130]]).astype(ml_dtypes.bfloat16)
    values[0, 1] = -1.0e38
    for module, port in ((triton_http, every.http), (triton_grpc, every.grpc)):
        with module.InferenceServerClient(f"127.0.0.1:{port}") as client:
            tensor = module.InferInput("x", [2, 2], "BF16")
            tensor.set_data_from_numpy(values)
            answer = client.infer("BF16", [tensor])
            np.testing.assert_array_equal(answer.as_numpy("y"), values * 2)
            np.testing.assert_array_equal(answer.as_numpy("z"), values.astype(np.float32))
    tensor = {"name": "x", "shape": [1, 2], "datatype": "BF16", "data": [1.5, 0.1]}
    status, body, _ = every.post("/v2/models/BF16/infer", {"inputs": [tensor]})
    assert (status, body["outputs"][0]["data"]) == (200, pytest.approx([3.0, 0.2001953125]))
    tensor["data"] = [3.4e38, 1e39]
    status, body, _ = every.post("/v2/models/BF16/infer", {"inputs": [tensor]})
    assert (status, "BF16 cannot hold" in body["error"]) == (400, True)


def test_bfloat16_that_overflows_is_a_failure_of_the_model(every: Server) -> None:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "BF16", "data": [3e38, 1]}
    status, body, _ = every.post("/v2/models/BF16/infer", {"inputs": [tensor]})
    assert (status, "non-finite" in body["error"]) == (500, True)


def test_bfloat16_is_batched_without_a_mistake(folder: Path) -> None:
    path = folder / "halves.onnx"
    path.write_bytes(onnx_models.halves())
    session = OnnxSession(path, threads=1)
    rows = np.arange(8).astype(ml_dtypes.bfloat16).view(np.uint16).reshape(4, 2)
    together = session.run({"x": rows})
    for place in range(4):
        alone = session.run({"x": rows[place : place + 1]})
        for whole, one in zip(together, alone, strict=True):
            np.testing.assert_array_equal(whole[place : place + 1], one)


SHAPES: dict[str, tuple[Any, list[int], Any]] = {
    "scalar": ((), [], 1.5),
    "no batch dimension": ((3,), [3], [1.0, 2.0, 3.0]),
    "a fixed batch": ((2, 2), [2, 2], [[1.0, 2.0], [3.0, 4.0]]),
    "everything dynamic": (("a", "b", "c"), [1, 3, 2], [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]),
}


@pytest.fixture(scope="module")
def shapes(folder: Path) -> Iterator[Server]:
    models = {
        name.replace(" ", "-"): onnx_models.double(shape) for name, (shape, _, _) in SHAPES.items()
    }
    with several(folder, models | {"places": onnx_models.places()}) as server:
        yield server


@pytest.mark.parametrize("case", SHAPES)
def test_shapes(shapes: Server, case: str) -> None:
    _, shape, data = SHAPES[case]
    name = case.replace(" ", "-")
    expected = np.array(data, np.float32) * 2
    flat = np.ravel(data).tolist()
    document = {"name": "x", "shape": shape, "datatype": "FP32", "data": flat}
    status, body, _ = shapes.post(f"/v2/models/{name}/infer", {"inputs": [document]})
    assert status == 200, body
    assert body["outputs"][0]["shape"] == shape
    assert body["outputs"][0]["data"] == expected.ravel().tolist()
    assert shapes.post(f"/v1/models/{name}:predict", {"inputs": {"x": data}})[:2] == (
        200, {"outputs": expected.tolist()},
    )  # fmt: skip
    for module, port in ((triton_http, shapes.http), (triton_grpc, shapes.grpc)):
        with module.InferenceServerClient(f"127.0.0.1:{port}") as client:
            value = module.InferInput("x", shape, "FP32")
            value.set_data_from_numpy(np.array(data, np.float32))
            np.testing.assert_array_equal(client.infer(name, [value]).as_numpy("y"), expected)


def test_an_output_may_be_empty_and_an_input_may_not(shapes: Server) -> None:
    tensor = {"name": "x", "shape": [3], "datatype": "FP32", "data": [0, 0, 0]}
    status, body, _ = shapes.post("/v2/models/places/infer", {"inputs": [tensor]})
    assert (status, body["outputs"][0]["shape"], body["outputs"][0]["data"]) == (200, [1, 0], [])
    for module, port in ((triton_http, shapes.http), (triton_grpc, shapes.grpc)):
        with module.InferenceServerClient(f"127.0.0.1:{port}") as client:
            value = module.InferInput("x", [2], "FP32")
            value.set_data_from_numpy(np.zeros(2, np.float32))
            assert client.infer("places", [value]).as_numpy("p").shape == (1, 0)
    tensor |= {"shape": [0], "data": []}
    status, body, _ = shapes.post("/v2/models/places/infer", {"inputs": [tensor]})
    assert (status, "any size from 1" in body["error"]) == (400, True)


def several(folder: Path, models: dict[str, bytes]) -> Any:
    """A server of all of them."""
    targets = {}
    for name, data in models.items():
        targets[name] = folder / f"{name}.onnx"
        targets[name].write_bytes(data)
    return serving(models=targets)
