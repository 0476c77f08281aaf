import base64
import json
from typing import Any

import numpy as np
import pytest

from slipway.errors import Invalid
from slipway_server.protocol.tensors import Array, TensorSpec
from slipway_server.protocol.v1_rest import V1Rest
from tests.support.tensors import signature

TWO = signature(
    inputs=(TensorSpec("a", "FP32", (-1, 2)), TensorSpec("n", "INT64", (-1,))),
    outputs=(TensorSpec("label", "INT64", (-1,)), TensorSpec("p", "FP32", (-1, 2))),
)


def spec_of(array: Array) -> TensorSpec:
    kinds = {"i": "INT", "u": "UINT", "f": "FP"}
    kind = array.dtype.kind
    datatype = "BOOL" if kind == "b" else f"{kinds[kind]}{8 * array.dtype.itemsize}"
    return TensorSpec("label", datatype, (-1,))


def decode(codec: V1Rest, value: Any) -> dict[str, Any]:
    request = codec.decode(json.dumps(value).encode())
    return {name: array.tolist() for name, array in request.feeds.items()}


def answer(codec: V1Rest, asked: Any, arrays: list[Array]) -> Any:
    return json.loads(codec.encode(codec.decode(json.dumps(asked).encode()), arrays))


def test_rows_of_a_model_with_one_input() -> None:
    codec = V1Rest(signature())
    assert decode(codec, {"instances": [[1, 2, 3, 4], [5, 6, 7, 8]]}) == {
        "x": [[1, 2, 3, 4], [5, 6, 7, 8]]
    }
    assert decode(codec, {"instances": [{"x": [1, 2, 3, 4]}]}) == {"x": [[1, 2, 3, 4]]}


def test_rows_of_a_model_with_several_inputs() -> None:
    rows = [{"a": [1, 2], "n": 3}, {"n": 6, "a": [4, 5]}]
    assert decode(V1Rest(TWO), {"instances": rows}) == {"a": [[1, 2], [4, 5]], "n": [3, 6]}


def test_columns() -> None:
    assert decode(V1Rest(signature()), {"inputs": [[1, 2, 3, 4]]}) == {"x": [[1, 2, 3, 4]]}
    assert decode(V1Rest(TWO), {"inputs": {"a": [[1, 2]], "n": [3]}}) == {"a": [[1, 2]], "n": [3]}


def test_text_may_be_base64() -> None:
    codec = V1Rest(signature(inputs=(TensorSpec("s", "BYTES", (-1,)),)))
    encoded = {"b64": base64.b64encode("é".encode()).decode()}
    assert decode(codec, {"instances": ["plain", encoded]}) == {"s": ["plain", "é"]}
    assert decode(codec, {"instances": [encoded, "plain"]}) == {"s": ["é", "plain"]}


def test_predictions_of_one_output_are_its_rows() -> None:
    arrays = [np.array([[0.5, 0.25, 0.25]], np.float32)]
    asked = {"instances": [[1, 2, 3, 4]], "signature_name": "serving_default"}
    assert answer(V1Rest(signature()), asked, arrays) == {"predictions": [[0.5, 0.25, 0.25]]}


def test_predictions_of_several_outputs_are_objects() -> None:
    arrays = [np.array([1, 0]), np.array([[0.25, 0.75], [1, 0]], np.float32)]
    rows = [{"a": [1, 2], "n": 3}, {"a": [1, 2], "n": 3}]
    assert answer(V1Rest(TWO), {"instances": rows}, arrays) == {
        "predictions": [{"label": 1, "p": [0.25, 0.75]}, {"label": 0, "p": [1, 0]}]
    }
    columns = {"inputs": {"a": [[1, 2]], "n": [3]}}
    assert answer(V1Rest(TWO), columns, [arrays[0][:1], arrays[1][:1]]) == {
        "outputs": {"label": [1], "p": [[0.25, 0.75]]}
    }


@pytest.mark.parametrize("kind", ["q", "Q", "l", "L", "i", "b", "e", "f", "d", "?"])
def test_numbers_of_every_c_type_are_rows(kind: str) -> None:
    """ONNX Runtime answers INT64 as ``long long``, numpy on Linux as ``long``."""
    arrays = [np.array([1, 0], kind), np.array([[0.25, 0.75], [1, 0]], np.float32)]
    two = signature(inputs=TWO.inputs, outputs=(spec_of(arrays[0]), *TWO.outputs[1:]))
    rows = [{"a": [1, 2], "n": 3}, {"a": [1, 2], "n": 3}]
    found = answer(V1Rest(two), {"instances": rows}, arrays)["predictions"]
    assert [row["label"] for row in found] == [1, 0]


def test_an_output_without_rows_is_refused_for_rows() -> None:
    with pytest.raises(Invalid, match="has no value for each of the 1 instances"):
        answer(V1Rest(signature()), {"instances": [[1, 2, 3, 4]]}, [np.array(1.0)])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "either instances or inputs"),
        ({"instances": [[1, 2, 3, 4]], "inputs": []}, "either instances or inputs"),
        ({"rows": []}, "unknown key 'rows'"),
        ({"instances": []}, "instances is empty"),
        ({"instances": 1}, "must be a JSON array"),
        ({"instances": [[]]}, "empty or nested too deep"),
        ({"instances": [[1, 2, 3]]}, "the model takes"),
        ({"instances": [[1, 2, 3, 4], [1, 2, 3]]}, "nesting of data does not match"),
        ({"instances": [[1, 2, 3, "4"]]}, "not a number"),
        ({"instances": [[1, 2, 3, [4, 5]]]}, "differ in length or depth"),
        ({"inputs": {"x": [1, [1, 1, 1]]}}, "differ in length or depth"),
        ({"inputs": [[1, 2, 3, 4], 5]}, "nesting of data does not match"),
        ({"instances": [{"y": [1, 2, 3, 4]}]}, "the model takes"),
        ({"instances": [{"x": [1, 2, 3, 4]}, [1]]}, "must be a JSON object"),
        ({"inputs": {"z": [1]}}, "no input 'z'"),
        ({"inputs": 5}, "the model takes"),
    ],
)
def test_bad_bodies_are_refused_with_the_reason(asked: Any, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        V1Rest(signature()).decode(json.dumps(asked).encode())


def test_rows_that_differ_in_shape_are_refused() -> None:
    model = signature(inputs=(TensorSpec("a", "FP32", (-1, -1)), TensorSpec("b", "FP32", (-1, -1))))
    rows = [{"a": [1], "b": [1]}, {"a": [1, 2], "b": [1]}]
    with pytest.raises(Invalid, match="differ in the shape of 'a'"):
        decode(V1Rest(model), {"instances": rows})
