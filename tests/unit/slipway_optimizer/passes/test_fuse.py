"""Fusions answer as before, for every input, however the exporter wrote the formula."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from slipway_optimizer.passes.fuse import fuse
from tests.support.small_models import model_of

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64
INNER, CUBE = 0.7978846, 0.044715
node = helper.make_node


def scalars(**values: float) -> dict[str, NDArray[Any]]:
    return {name: np.array(value, np.float32) for name, value in values.items()}


def jax_gelu() -> list[onnx.NodeProto]:
    return [
        node("Mul", ["x", "x"], ["xx"]),
        node("Mul", ["xx", "x"], ["xxx"]),
        node("Mul", ["cube", "xxx"], ["small"]),
        node("Add", ["x", "small"], ["sum"]),
        node("Mul", ["inner", "sum"], ["arg"]),
        node("Tanh", ["arg"], ["t"]),
        node("Add", ["one", "t"], ["t1"]),
        node("Mul", ["half", "t1"], ["cdf"]),
        node("Mul", ["x", "cdf"], ["y"]),
    ]


def torch_gelu() -> list[onnx.NodeProto]:
    return [
        node("Pow", ["x", "three"], ["xxx"]),
        node("Mul", ["xxx", "cube"], ["small"]),
        node("Add", ["small", "x"], ["sum"]),
        node("Mul", ["sum", "inner"], ["arg"]),
        node("Tanh", ["arg"], ["t"]),
        node("Add", ["t", "one"], ["t1"]),
        node("Mul", ["x", "half"], ["hx"]),
        node("Mul", ["hx", "t1"], ["y"]),
    ]


def factored_gelu() -> list[onnx.NodeProto]:
    """x/2 + x/2 tanh(c x (1 + k x^2)): the same function in another order."""
    return [
        node("Mul", ["x", "x"], ["xx"]),
        node("Mul", ["xx", "cube"], ["kxx"]),
        node("Add", ["kxx", "one"], ["factor"]),
        node("Mul", ["x", "inner"], ["cx"]),
        node("Mul", ["cx", "factor"], ["arg"]),
        node("Tanh", ["arg"], ["t"]),
        node("Mul", ["x", "half"], ["hx"]),
        node("Mul", ["hx", "t"], ["hxt"]),
        node("Add", ["hxt", "hx"], ["y"]),
    ]


def gelu_model(nodes: list[onnx.NodeProto], **changed: float) -> onnx.ModelProto:
    constants = {"cube": CUBE, "inner": INNER, "one": 1.0, "half": 0.5, "three": 3.0} | changed
    return model_of(
        nodes,
        inputs={"x": (FLOAT, ["n", 50])},
        outputs={"y": (FLOAT, ["n", 50])},
        **scalars(**constants),
    )


def answers(model: onnx.ModelProto, feed: NDArray[Any]) -> NDArray[Any]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    value: NDArray[Any] = session.run(None, {"x": feed})[0]
    return value


def operators(model: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node]


@pytest.mark.parametrize("nodes", [jax_gelu, torch_gelu, factored_gelu])
def test_gelu_is_found_by_what_it_computes(nodes: Any) -> None:
    model = gelu_model(nodes())
    fused, found = fuse(model)
    assert (operators(fused), found["gelu"]) == (["FastGelu"], 1)
    assert list(fused.graph.initializer) == []
    feed = np.linspace(-8, 8, 200, dtype=np.float32).reshape(4, 50)
    np.testing.assert_allclose(answers(fused, feed), answers(model, feed), atol=1e-6)


@pytest.mark.parametrize(
    "changed", [{"cube": 0.05}, {"inner": 0.7}, {"one": 1.1}, {"half": 0.51}], ids=str
)
def test_another_formula_is_left_alone(changed: dict[str, float]) -> None:
    model = gelu_model(jax_gelu(), **changed)
    fused, found = fuse(model)
    assert found == {"gelu": 0, "lookup": 0, "residual": 0, "attention": 0}
    assert operators(fused) == operators(model)


def test_a_part_that_something_else_reads_is_kept() -> None:
    model = gelu_model([*jax_gelu(), node("Identity", ["t"], ["z"])])
    model.graph.output.append(helper.make_tensor_value_info("z", FLOAT, ["n", 50]))
    fused, found = fuse(model)
    assert found["gelu"] == 0
    assert operators(fused) == operators(model)


def lookup_model(numbers: NDArray[Any], *, shape: list[int]) -> onnx.ModelProto:
    weights = np.random.default_rng(0).normal(size=(len(numbers), 6)).astype(np.float32)
    return model_of(
        [
            node("Reshape", ["x", "shape"], ["column"]),
            node("Equal", ["column", "numbers"], ["hot"]),
            node("Cast", ["hot"], ["one_hot"], to=FLOAT),
            node("MatMul", ["one_hot", "weights"], ["y"], name="product"),
        ],
        inputs={"x": (INT, ["n", 5])},
        outputs={"y": (FLOAT, ["n", 5, 6])},
        weights=weights,
        numbers=numbers.reshape(1, 1, -1),
        shape=np.array(shape, np.int64),
    )


def test_a_one_hot_product_becomes_a_lookup_also_for_ids_outside() -> None:
    model = lookup_model(np.arange(9), shape=[-1, 5, 1])
    fused, found = fuse(model)
    assert found["lookup"] == 1
    assert "MatMul" not in operators(fused)
    ids = np.array([[0, 8, 9, -1, 4], [1000, -1000, 3, 2, 1]])
    np.testing.assert_array_equal(answers(fused, ids), answers(model, ids))


def test_numbers_that_do_not_count_up_are_left_alone() -> None:
    model = lookup_model(np.array([0, 2, 1]), shape=[-1, 5, 1])
    assert fuse(model)[1] == {"gelu": 0, "lookup": 0, "residual": 0, "attention": 0}


def normalised_sum(*, written_out: bool) -> onnx.ModelProto:
    """A residual sum before a normalisation, as newer or older exporters write it."""
    written = [
        node("ReduceMean", ["s"], ["mean"], axes=[-1]),
        node("Sub", ["s", "mean"], ["d"]),
        node("Mul", ["d", "d"], ["dd"]),
        node("ReduceMean", ["dd"], ["var"], axes=[-1]),
        node("Add", ["var", "tiny"], ["safe"]),
        node("Sqrt", ["safe"], ["root"]),
        node("Div", ["d", "root"], ["y"]),
    ]
    whole = [node("LayerNormalization", ["s", "scale"], ["y"], epsilon=1e-5)]
    return model_of(
        [node("Relu", ["x"], ["r"]), node("Add", ["x", "r"], ["s"])]
        + (written if written_out else whole),
        inputs={"x": (FLOAT, ["n", 3, 4])},
        outputs={"y": (FLOAT, ["n", 3, 4])},
        **scalars(tiny=1e-5),
        scale=np.ones(4, np.float32),
    )


@pytest.mark.parametrize("written_out", [True, False])
def test_the_sum_before_a_normalisation_stays_apart(written_out: bool) -> None:
    model = normalised_sum(written_out=written_out)
    fused, found = fuse(model)
    assert found == {"gelu": 0, "lookup": 0, "residual": 1, "attention": 0}
    assert [n.op_type for n in fused.graph.node][1] == "Sum"
    assert [o.domain for o in fused.opset_import] == [""]
    rows = {"x": np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)}
    wanted, answers = (
        ort.InferenceSession(m.SerializeToString()).run(None, rows)[0] for m in (model, fused)
    )
    np.testing.assert_allclose(answers, wanted, atol=1e-6)
