"""What is told of a file, and the resource for it, without running anything of it."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skops.io
import yaml
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from slipway.api.v1alpha1.resource import parse_spec
from slipway.artifacts.manifest import Tensor
from slipway_optimizer.inspect.facts import inspect
from slipway_optimizer.inspect.report import as_object, lines
from slipway_optimizer.inspect.resource import resource_for, to_yaml
from tests.support.small_models import classifier, model_of, save


def test_an_onnx_file_tells_its_tensors_operators_and_batch(tmp_path: Path) -> None:
    facts = inspect(save(tmp_path / "net.onnx", classifier()))
    details = facts.details
    assert details.inputs == (Tensor(name="x", datatype="FP32", shape=(-1, 8)),)
    assert details.outputs == (Tensor(name="p", datatype="FP32", shape=(-1, 3)),)
    assert (details.facts, details.batch) == ({"opset": "17"}, "any")
    assert details.operators == {"Gemm": 1, "Softmax": 1}
    assert details.quantisation == "100% of its weights in MatMul and Gemm"
    assert not facts.runs_code


def test_what_cannot_be_served_is_said_with_the_remedy(tmp_path: Path) -> None:
    model = model_of(
        [helper.make_node("Relu", ["x"], ["y"])],
        inputs={"x": (TensorProto.FLOAT, [4, 2])},
        outputs={"y": (TensorProto.FLOAT, [4, 2])},
    )
    assert "fixed at 4" in inspect(save(tmp_path / "a.onnx", model)).details.batch
    path = tmp_path / "b.onnx"
    onnx.save_model(classifier(), path, save_as_external_data=True, size_threshold=0, location="d")
    assert inspect(path).details.facts["external data"] == "108 bytes"
    (tmp_path / "d").unlink()
    assert "not beside the model" in inspect(path).details.refusal


def pt2(path: Path, rows: dict[str, Any]) -> Path:
    tensor = {"dtype": 7, "sizes": [rows, {"as_int": 28}]}
    program = {
        "graph_module": {
            "graph": {
                "nodes": [{"target": "torch.ops.aten.relu.default"}] * 2,
                "tensor_values": {"x": tensor, "y": tensor, "w": tensor},
            },
            "signature": {
                "input_specs": [
                    {"parameter": {"arg": {"name": "w"}, "parameter_name": "w"}},
                    {"user_input": {"arg": {"as_tensor": {"name": "x"}}}},
                ],
                "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "y"}}}}],
            },
        }
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/models/model.json", json.dumps(program))
    return path


def test_an_exported_program_tells_its_tensors_without_torch(tmp_path: Path) -> None:
    open_rows = inspect(pt2(tmp_path / "a.pt2", {"as_expr": {"expr_str": "s0"}})).details
    assert open_rows.inputs == (Tensor(name="x", datatype="FP32", shape=(-1, 28)),)
    assert (open_rows.batch, open_rows.operators) == ("any", {"relu": 2})
    assert "fixed at 2" in inspect(pt2(tmp_path / "b.pt2", {"as_int": 2})).details.batch


def test_torchscript_tells_the_arguments_of_the_module_itself(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("m/data.pkl", "m/constants.pkl"):
            archive.writestr(name, b"")
        inner = "def forward(self: __torch__.torch.nn.Conv2d,\n    input: Tensor) -> Tensor:"
        archive.writestr("m/code/__torch__/torch/nn.py", inner)
        own = "def forward(self: __torch__.Net,\n    image: Tensor,\n    scale: float) -> Tensor:"
        archive.writestr("m/code/__torch__.py", own)
    assert inspect(path).details.facts == {"arguments": "image, scale"}


def test_keras_tells_its_inputs_and_its_lambdas(tmp_path: Path) -> None:
    def layer(kind: str, **config: Any) -> dict[str, Any]:
        return {"class_name": kind, "config": config}

    shape = {"name": "image", "batch_shape": [None, 28, 28, 1], "dtype": "float32"}
    layers = [layer("InputLayer", **shape), layer("Lambda")]
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(layer("Sequential", layers=layers)))
        archive.writestr("model.weights.h5", b"")
    facts = inspect(path)
    assert facts.details.inputs == (Tensor(name="image", datatype="FP32", shape=(-1, 28, 28, 1)),)
    assert facts.runs_code
    assert resource_for(facts)["spec"]["model"]["allowPickle"] is True


def test_boosters_tell_their_columns(tmp_path: Path) -> None:
    learner = {
        "learner_model_param": {"num_feature": "7", "num_class": "0"},
        "gradient_booster": {"name": "gbtree", "model": {"trees": [{}, {}]}},
        "objective": {"name": "binary:logistic"},
    }
    (tmp_path / "m.json").write_text(json.dumps({"learner": learner}))
    found = inspect(tmp_path / "m.json").details
    assert found.inputs == (Tensor(name="X", datatype="FP32", shape=(-1, 7)),)
    assert found.facts["trees"] == "2"
    head = "tree\nversion=v4\nnum_class=1\nmax_feature_idx=4\nobjective=binary\n\nTree=0\n"
    (tmp_path / "m.txt").write_text(head)
    assert inspect(tmp_path / "m.txt").details.inputs[0].shape == (-1, 5)


def test_a_pickle_tells_what_it_would_call(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(estimator))
    facts = inspect(tmp_path / "m.pkl")
    assert "sklearn.linear_model._logistic.LogisticRegression" in facts.calls
    text = "\n".join(lines(facts))
    assert "it runs code when it is opened: only with allowPickle" in text
    skops.io.dump(estimator, tmp_path / "m.skops")
    assert inspect(tmp_path / "m.skops").details.facts["estimator"].endswith("LogisticRegression")


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04broken", bytes(range(256))])
def test_what_is_no_model_is_said(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(data)
    facts = inspect(tmp_path / "m")
    assert facts.format is None
    assert lines(facts)[-1] == "refused  it is no model of a known format"


def test_an_inside_that_is_not_as_it_should_be_is_a_note(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/models/model.json", "[]")
    assert inspect(tmp_path / "m.pt2").details.notes == ("its inside is not readable (TypeError)",)


@pytest.mark.parametrize("name", ["net.onnx", "2 Fast_net.v1.onnx", "Ünï.onnx"])
def test_the_resource_is_one_that_the_operator_takes(name: str, tmp_path: Path) -> None:
    facts = inspect(save(tmp_path / name, classifier()))
    text = to_yaml(resource_for(facts))
    resource = yaml.safe_load(text)
    assert resource == resource_for(facts)
    resource["spec"]["model"]["storageUri"] = "s3://b/k"
    resource["spec"]["model"]["storage"]["secretRef"]["name"] = "s"
    resource["spec"]["validation"]["dataset"] = {"storageUri": "s3://b/d"}
    assert parse_spec(resource).model.model_format.name == "onnx"


@pytest.mark.parametrize(
    "value",
    [
        {"a": "yes", "b": "1", "c": "x: y", "d": "#", "e": "", "f": "null", "g": "a\nb"},
        {"a": [1, -1], "b": [], "c": {}, "d": [{"x": 1, "y": [{"z": True}]}], "e": 1.5},
        {"a": [{"b": {"c": "d"}}, {"e": "f"}], "ü": "ß"},
    ],
)
def test_yaml_reads_back_as_it_was(value: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(value)) == value


def test_programs_get_json_and_yaml_of_the_same(tmp_path: Path) -> None:
    value = as_object(inspect(save(tmp_path / "net.onnx", classifier())))
    assert yaml.safe_load(to_yaml(value)) == json.loads(json.dumps(value)) == value
    assert value["modelFormat"] == "onnx"
    assert np.prod(value["inputs"][0]["shape"]) == -8
