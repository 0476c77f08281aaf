"""What an image without the framework says, and what no export can be."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from slipway.api.v1alpha1.optimization import ExportFormat
from slipway_optimizer.export import program
from slipway_optimizer.export.dispatch import require_packages
from slipway_optimizer.failures import Refused
from tests.support.small_models import classifier, model_of, save


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (ExportFormat.TFLITE, r"written in the image slipway-optimizer-tensorflow"),
        (ExportFormat.SAVED_MODEL, r"pip install 'slipway-operator\[optimizer-tensorflow\]'"),
        (ExportFormat.PT2, r"image slipway-optimizer-torch \(modelFormat onnx or pytorch\)"),
        (ExportFormat.MINDSPORE, r"no tool writes it on the Python versions"),
    ],
)
def test_an_image_without_the_framework_refuses_with_the_one_that_has_it(
    wanted: ExportFormat, words: str
) -> None:
    with pytest.raises(Refused, match=words) as caught:
        require_packages((wanted,))
    assert caught.value.reason == "ExporterMissing"


def test_a_program_has_nodes_constants_and_the_names_of_open_sizes(tmp_path: Path) -> None:
    read = program.read(save(tmp_path / "m.onnx", classifier()))
    assert [tensor.name for tensor in read.signature.inputs] == ["x"]
    assert read.open_names["x"].keys() == {0}
    assert all(isinstance(array, np.ndarray) for array in read.constants.values())


def test_a_node_with_a_graph_of_its_own_is_refused_by_name(tmp_path: Path) -> None:
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["z"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, None)],
    )
    nodes = [
        onnx.helper.make_node("IsNaN", ["x"], ["bad"]),
        onnx.helper.make_node("Cast", ["bad"], ["some"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ReduceMax", ["some"], ["any"], keepdims=0),
        onnx.helper.make_node("Cast", ["any"], ["is"], to=onnx.TensorProto.BOOL),
        onnx.helper.make_node("If", ["is"], ["y"], name="/branch", then_branch=inner,
                              else_branch=inner),
    ]  # fmt: skip
    model = model_of(
        nodes,
        inputs={"x": (onnx.TensorProto.FLOAT, ["n", 2])},
        outputs={"y": (onnx.TensorProto.FLOAT, ["n", 2])},
    )
    with pytest.raises(Refused, match=r"'/branch' is If with a graph of its own") as caught:
        program.read(save(tmp_path / "m.onnx", model))
    assert caught.value.reason == "ExportUnsupported"
