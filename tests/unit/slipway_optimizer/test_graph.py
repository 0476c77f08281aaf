"""Reading ONNX files that nobody vouches for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from slipway.artifacts.manifest import Tensor
from slipway_optimizer.failures import Refused
from slipway_optimizer.graph import (
    load,
    narrow_convolutions,
    opset_of,
    signature_of,
    weight_shares,
)
from slipway_optimizer.tensors import Signature
from tests.support.small_models import classifier, model_of, save

FLOAT = TensorProto.FLOAT


def refusal(path: Path) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        signature_of(load(path))
    return caught.value.reason, str(caught.value)


def test_a_model_shows_what_it_takes_and_gives(tmp_path: Path) -> None:
    model = load(save(tmp_path / "m", classifier()))
    assert signature_of(model) == Signature(
        (Tensor(name="x", datatype="FP32", shape=(-1, 8)),),
        (Tensor(name="p", datatype="FP32", shape=(-1, 3)),),
    )
    assert opset_of(model) == 17
    assert weight_shares(model) == {"Gemm": 1.0, "Softmax": 0.0}


@pytest.mark.parametrize(
    ("kernel", "attributes", "narrow"),
    [
        pytest.param((32, 3, 7, 7), {}, True, id="stem of a picture"),
        pytest.param((16, 1, 9), {"strides": [4]}, True, id="a sound"),
        pytest.param((32, 4, 3, 3), {"group": 1}, True, id="one group"),
        pytest.param((64, 3, 16, 16), {}, False, id="patches"),
        pytest.param((64, 32, 3, 3), {}, False, id="many channels"),
        pytest.param((32, 1, 3, 3), {"group": 32}, False, id="depthwise"),
    ],
)
def test_convolutions_of_few_channels_are_named(
    kernel: tuple[int, ...], attributes: dict[str, Any], narrow: bool
) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], "stem", **attributes)
    model = model_of(
        [node, helper.make_node("Conv", ["y", "x"], ["z"], "of no fixed weights")],
        inputs={"x": (FLOAT, ["n", *kernel[1:]])},
        outputs={"z": (FLOAT, [])},
        w=np.zeros(kernel, np.float32),
    )
    assert narrow_convolutions(model) == (("stem",) if narrow else ())


def test_weights_that_several_nodes_share_count_once_and_constants_count() -> None:
    node = helper.make_node
    kernel = onnx.numpy_helper.from_array(np.zeros((1, 1, 1, 1000), np.float32))
    model = model_of(
        [
            node("Constant", [], ["kernel"], value=kernel),
            *(node("Conv", ["x", "kernel"], [name]) for name in ("a", "b")),
            node("MatMul", ["a", "weights"], ["y"]),
        ],
        inputs={"x": (FLOAT, ["n", 1, 1, 1003])},
        outputs={"y": (FLOAT, ["n", 1, 1, 750])},
        weights=np.zeros((4, 750), np.float32),
    )
    assert weight_shares(model) == pytest.approx(
        {"Constant": 0.0, "Conv": 0.25, "MatMul": 0.75}, abs=0.01
    )


@pytest.mark.parametrize("content", [b"not a model", b"", b"\x08\x08", bytes(range(256))])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m"
    path.write_bytes(content)
    reason, message = refusal(path)
    assert reason == "SourceCorrupt"
    assert "not an ONNX model" in message


def external() -> onnx.TensorProto:
    tensor = TensorProto(name="secret", data_type=FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def as_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external())


def as_sparse_initializer(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(external())


def as_constant(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(external())
    model.graph.node.append(node)


def as_tensor_list(model: onnx.ModelProto) -> None:
    attribute = model.graph.node[0].attribute.add(name="many", type=onnx.AttributeProto.TENSORS)
    attribute.tensors.append(external())


def in_subgraph(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [], [external()])
    attribute = model.graph.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH)
    attribute.g.CopyFrom(body)


def in_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(external())
    model.functions.add(name="f", domain="own").node.append(node)


def in_training_info(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.initializer.append(external())


def without_location_flag(model: onnx.ModelProto) -> None:
    tensor = external()
    tensor.data_location = TensorProto.DEFAULT
    model.graph.initializer.append(tensor)


@pytest.mark.parametrize(
    "carrier",
    [
        as_initializer, as_sparse_initializer, as_constant, as_tensor_list, in_subgraph,
        in_function, in_training_info, without_location_flag,
    ],
)  # fmt: skip
def test_external_data_is_refused_in_every_carrier(
    tmp_path: Path, carrier: Callable[[onnx.ModelProto], None]
) -> None:
    model = classifier()
    carrier(model)
    reason, message = refusal(save(tmp_path / "m", model))
    assert reason == "ExternalDataUnsupported"
    assert message.startswith("tensor 'secret' lies outside the model file")


@pytest.mark.parametrize(
    ("domain", "operator", "words"),
    [
        ("own", "Frobnicate", "uses operator 'Frobnicate' of domain 'own'"),
        ("", "Frobnicate", "uses operator 'Frobnicate', which"),
        ("", "Gelu", "uses operator 'Gelu', which"),  # came with opset 20, the model says 17
    ],
)
def test_unknown_operators_are_named(
    tmp_path: Path, domain: str, operator: str, words: str
) -> None:
    model = classifier(helper.make_node(operator, ["probabilities"], ["p"], domain=domain))
    model.opset_import.append(helper.make_opsetid("own", 1))
    reason, message = refusal(save(tmp_path / "m", model))
    assert reason == "OperatorUnsupported"
    assert words in message


def test_functions_of_the_model_itself_are_known(tmp_path: Path) -> None:
    node = helper.make_node("Same", ["probabilities"], ["p"], domain="own")
    model = classifier(node)
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(
        helper.make_function(
            "own", "Same", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], opsets
        )
    )
    model.opset_import.append(helper.make_opsetid("own", 1))
    load(save(tmp_path / "m", model))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ([], "tensor 'x' has shape []: export the model with a first dimension that is the batch"),
        ([7, 3], "tensor 'x' has shape [7, 3]"),
    ],
)
def test_inputs_need_a_batch_dimension(tmp_path: Path, shape: list[int], words: str) -> None:
    model = model_of(
        [helper.make_node("Identity", ["x"], ["y"])],
        inputs={"x": (FLOAT, shape)},
        outputs={"y": (FLOAT, shape)},
    )
    reason, message = refusal(save(tmp_path / "m", model))
    assert reason == "SignatureUnsupported"
    assert words in message


def test_inputs_need_a_declared_shape(tmp_path: Path) -> None:
    model = classifier()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    reason, message = refusal(save(tmp_path / "m", model))
    assert reason == "SignatureUnsupported"
    assert message.startswith("input 'x' declares no shape: export the model with the shape of")


def test_outputs_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    model = classifier()
    model.graph.output[0].type.Clear()
    model.graph.output[0].type.sequence_type.elem_type.tensor_type.elem_type = FLOAT
    reason, message = refusal(save(tmp_path / "m", model))
    assert reason == "SignatureUnsupported"
    assert "without ZipMap" in message
