"""A model taken apart and put together is the same model."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway_optimizer.failures import Refused
from slipway_optimizer.session import Model
from slipway_optimizer.training import onnx_net
from tests.support import onnx_models
from tests.support.networks import cnn


def test_what_is_read_and_written_answers_alike(tmp_path: Path) -> None:
    model = cnn()
    rows = {"image": np.random.default_rng(0).random((2, 1, 8, 8), np.float32)}
    given = []
    for name, written in (("a", model), ("b", onnx_net.write(onnx_net.read(model), model))):
        onnx.checker.check_model(written, full_check=True)
        onnx.save_model(written, tmp_path / name)
        given.append(Model(tmp_path / name, threads=1).run(rows)["probabilities"])
    np.testing.assert_array_equal(given[0], given[1])


def test_another_model_s_interface_is_put_on_and_an_unread_input_stays(tmp_path: Path) -> None:
    model, other = cnn(), cnn()
    other.graph.input.append(helper.make_tensor_value_info("unread", 1, ["N", 2]))
    other.graph.output[0].doc_string = "theirs"
    dressed = onnx_net.with_interface(model, other)
    assert [v.name for v in dressed.graph.input] == ["image", "unread"]
    assert dressed.graph.output[0].doc_string == "theirs"
    onnx.save_model(dressed, tmp_path / "m")
    rows = {"image": np.zeros((1, 1, 8, 8), np.float32), "unread": np.zeros((1, 2), np.float32)}
    assert Model(tmp_path / "m", threads=1).run(rows)["probabilities"].shape == (1, 4)


def test_an_interface_with_other_names_is_refused() -> None:
    model = cnn()
    model.graph.output[0].name = "other"
    with pytest.raises(Refused, match="does not have the model's inputs and outputs probabilities"):
        onnx_net.with_interface(model, cnn())


def test_operators_that_cannot_be_trained_are_read_where_they_only_teach() -> None:
    model = cnn()
    model.graph.node[0].domain = "ai.onnx.ml"
    with pytest.raises(Refused, match="cannot be trained"):
        onnx_net.read(model)
    net = onnx_net.read(model, foreign=True)
    assert net.ops[0].kind == "ai.onnx.ml.Conv"
    assert [op.kind for op in net.ops[1:3]] == ["Relu", "Conv"]


def test_constants_become_weights_and_attributes_survive() -> None:
    net = onnx_net.read(onnx.ModelProto.FromString(onnx_models.double()))
    assert {name: float(value) for name, value in net.weights.items()} == {"two": 2.0}
    filled = helper.make_tensor("value", TensorProto.FLOAT, [1], [7.0])
    node = helper.make_node("ConstantOfShape", ["x"], ["y"], value=filled)
    graph = helper.make_graph([node], "g", [], [])
    model = helper.make_model(graph)
    again = onnx_net.write(onnx_net.read(model), model)
    (attribute,) = again.graph.node[0].attribute
    assert numpy_helper.to_array(attribute.t).tolist() == [7.0]


def test_a_tensor_on_the_way_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "open.onnx"
    onnx.save_model(onnx_net.exposing(cnn(), "scores"), path)
    rows = {"image": np.zeros((1, 1, 8, 8), np.float32)}
    given = Model(path, threads=1).run(rows)
    odds = np.exp(given["scores"])
    np.testing.assert_allclose(given["probabilities"], odds / odds.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "words"),
    [(onnx_models.slow, "is control flow"), (None, "FusedGelu of com.microsoft")],
    ids=["loop", "other domain"],
)
def test_what_cannot_be_trained_is_refused_by_name(model: object, words: str) -> None:
    if callable(model):
        given = onnx.ModelProto.FromString(model())
    else:
        node = helper.make_node("FusedGelu", ["x"], ["y"], name="g", domain="com.microsoft")
        given = helper.make_model(helper.make_graph([node], "g", [], []))
    with pytest.raises(Refused, match=words) as caught:
        onnx_net.read(given)
    assert caught.value.reason == "NotTrainable"
