"""The examples' models and rows as files, and a version that is under its gate."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import skops.io
from onnx import helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tritonclient.grpc import InferInput, service_pb2
from tritonclient.http import InferenceServerClient
from tritonclient.http import InferInput as HttpInput

from tests.support.load import http_request

REPOSITORY = Path(__file__).resolve().parents[2]
PADDING = 256  # magika's token for «the file is shorter»: its data set has none
MAGIKA_WIDTH = 2048


def write(folder: Path) -> None:
    """Write every file: ``v1.onnx``, ``v2.onnx``, ``v3-nan.onnx``, ``v3-slow.onnx``,
    ``bad.onnx``, ``magika.npz``, ``digits.skops``, ``digits.npz``, ``digits-2.skops`` and
    ``digits.lightgbm.txt``.
    """
    examples = REPOSITORY / "examples"
    for script, output in (
        ("magika/make_models.py", folder),
        ("magika/make_dataset.py", folder / "magika.npz"),
        ("sklearn/make_model.py", folder),
    ):
        subprocess.run([sys.executable, str(examples / script), str(output)], check=True)
    _write_bad(folder / "v1.onnx", folder / "bad.onnx")
    _write_second_digits(folder)
    _write_lightgbm(folder / "digits.lightgbm.txt")


def _write_bad(good: Path, bad: Path) -> None:
    """The same network that names each class by its neighbour: no row is labelled right."""
    model = onnx.load(good)
    (output,) = model.graph.output
    classes = output.type.tensor_type.shape.dim[-1].dim_value
    for node in model.graph.node:
        node.output[:] = ["answer" if name == output.name else name for name in node.output]
    neighbours = np.roll(np.arange(classes, dtype=np.int64), 1)
    model.graph.initializer.append(numpy_helper.from_array(neighbours, "neighbours"))
    model.graph.node.append(
        helper.make_node("Gather", ["answer", "neighbours"], [output.name], axis=-1, name="wrong")
    )
    onnx.checker.check_model(model)
    onnx.save(model, bad)


def _write_second_digits(folder: Path) -> None:
    """The example's pipeline, trained with another regularisation: other bytes, much alike."""
    second = skops.io.load(folder / "digits.skops", trusted=[])
    pixels, digits = load_digits(return_X_y=True)
    train, _, labels, _ = train_test_split(
        pixels, digits, test_size=0.5, random_state=0, stratify=digits
    )
    second.set_params(logisticregression__C=0.8).fit(train, labels)
    skops.io.dump(second, folder / "digits-2.skops")


def _write_lightgbm(path: Path) -> None:
    """A small forest for the same digits, in LightGBM's own format."""
    pixels, digits = load_digits(return_X_y=True)
    options = {"objective": "multiclass", "num_class": 10, "num_leaves": 8, "verbose": -1}
    data = lightgbm.Dataset(pixels, digits)
    lightgbm.train({**options, "num_threads": 1}, data, num_boost_round=20).save_model(path)


def digits_row(folder: Path) -> np.ndarray[Any, Any]:
    """One row of the digits' data set: float32 [1, 64]."""
    with np.load(folder / "digits.npz") as rows:
        found: np.ndarray[Any, Any] = rows["X"][:1]
    return found


def magika_row(folder: Path) -> np.ndarray[Any, Any]:
    """One row of the data set: int32 [1, 2048]."""
    with np.load(folder / "magika.npz") as rows:
        found: np.ndarray[Any, Any] = rows["bytes"][:1]
    return found


def short_row() -> np.ndarray[Any, Any]:
    """A row of a short file, which the data set lacks: int32 [1, 2048]."""
    row = np.full((1, MAGIKA_WIDTH), PADDING, np.int32)
    row[0, :40] = 97
    return row


def rest(model: str, name: str, row: np.ndarray[Any, Any]) -> bytes:
    """An Open Inference Protocol v2 request over HTTP with binary tensors both ways."""
    tensor = HttpInput(name, list(row.shape), _DATATYPES[row.dtype])
    tensor.set_data_from_numpy(row, binary_data=True)
    body, length = InferenceServerClient.generate_request_body([tensor])
    return http_request(f"/v2/models/{model}/infer", body, json_length=length)


def grpc(model: str, name: str, row: np.ndarray[Any, Any]) -> bytes:
    """The same as a gRPC message."""
    tensor = InferInput(name, list(row.shape), _DATATYPES[row.dtype])
    tensor.set_data_from_numpy(row)
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.append(tensor._get_tensor())
    request.raw_input_contents.append(tensor._get_content())
    message: bytes = request.SerializeToString()
    return message


_DATATYPES = {np.dtype(np.int32): "INT32", np.dtype(np.float32): "FP32"}
