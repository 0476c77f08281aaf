import contextlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import Invalid
from slipway_server.protocol import v2_client
from slipway_server.protocol.tensors import DTYPES, InferRequest, OutputChoice, TensorSpec
from slipway_server.protocol.v2_rest import V2Rest
from tests.support.tensors import echo, finite_arrays, signature

JSON_TYPES = sorted(DTYPES)
ARRAYS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda datatype: finite_arrays(datatype).map(lambda array: (datatype, array))
)


def body(**changes: Any) -> bytes:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    return json.dumps({"inputs": [tensor | changes]}).encode()


def decode(data: bytes, length: int | None = None) -> InferRequest:
    return V2Rest(signature()).decode(data, length)


@given(ARRAYS)
def test_json_comes_back_as_it_went(pair: tuple[str, Any]) -> None:
    datatype, array = pair
    model = echo(datatype, array.ndim)
    codec, values = V2Rest(model), model.inputs[0].numbers(array)
    for data in (values.tolist(), values.ravel().tolist()):
        tensor = {"name": "t", "shape": array.shape, "datatype": datatype, "data": data}
        request = codec.decode(json.dumps({"inputs": [tensor]}).encode(), None)
        assert request.feeds["t"].dtype == DTYPES[datatype]
        np.testing.assert_array_equal(request.feeds["t"], array)
    parts, json_length = codec.encode(request, [array])
    assert json_length is None
    outputs = v2_client.decode_response(b"".join(parts), None)
    np.testing.assert_array_equal(outputs["t"], values)


@given(ARRAYS)
def test_binary_comes_back_as_it_went(pair: tuple[str, Any]) -> None:
    datatype, array = pair
    model = echo(datatype, array.ndim)
    codec = V2Rest(model)
    data, length = v2_client.encode_request(model.inputs, {"t": array})
    request = codec.decode(data, length)
    np.testing.assert_array_equal(request.feeds["t"], array)
    parts, json_length = codec.encode(request, [array])
    outputs = v2_client.decode_response(b"".join(parts), json_length)
    np.testing.assert_array_equal(outputs["t"], model.outputs[0].numbers(array))


def test_int64_and_uint64_keep_all_bits() -> None:
    codec = V2Rest(echo("UINT64", 1))
    text = (
        b'{"inputs":[{"name":"t","shape":[1],"datatype":"UINT64","data":[18446744073709551615]}]}'
    )
    assert codec.decode(text, None).feeds["t"][0] == 2**64 - 1


def test_answer_names_model_version_id_and_outputs() -> None:
    codec = V2Rest(signature())
    request = codec.decode(json.dumps({"id": 'a"1', **json.loads(body())}).encode(), None)
    parts, _ = codec.encode(request, [np.array([[0.5, 0.25, 0.25]], np.float32)])
    assert json.loads(b"".join(parts)) == {
        "model_name": "iris",
        "model_version": "r1",
        "id": 'a"1',
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 0.25, 0.25]}],
    }


def test_the_names_that_kserves_client_repeats_are_taken_and_the_path_decides() -> None:
    named = b'{"model_name":"other","model_version":null,' + body()[1:]
    assert decode(named).feeds["x"].tolist() == [[1, 2, 3, 4]]


def test_each_output_is_answered_as_it_was_asked_for() -> None:
    outputs = (TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "FP32", (-1,)))
    codec = V2Rest(signature(outputs=outputs))
    document = json.loads(body()) | {
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "b"}, {"name": "a", "parameters": {"binary_data": False}}],
    }
    request = codec.decode(json.dumps(document).encode(), None)
    assert request.outputs == (OutputChoice(1, binary=True), OutputChoice(0, binary=False))
    arrays = [np.array([7]), np.array([1.5], np.float32)]
    parts, length = codec.encode(request, arrays)
    assert length is not None
    assert [output["name"] for output in json.loads(parts[0])["outputs"]] == ["b", "a"]
    assert v2_client.decode_response(b"".join(parts), length) == {"a": arrays[0], "b": arrays[1]}


BAD: Mapping[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "not valid JSON"),
    "nothing": (b"", "not valid JSON"),
    "not UTF-8": (b'{"inputs":"\xff"}', "not valid JSON"),
    "NaN": (body().replace(b"[1, 2, 3, 4]", b"[1,2,3,NaN]"), "not valid JSON"),
    "too deep": (b"[" * 100_000, "not valid JSON"),
    "an array": (b"[]", "must be a JSON object"),
    "no inputs": (b"{}", "lacks the key 'inputs'"),
    "inputs no array": (b'{"inputs":{}}', "inputs must be a JSON array"),
    "input no object": (b'{"inputs":[1]}', "an input must be a JSON object"),
    "no input": (b'{"inputs":[]}', "lacks 'x'"),
    "unknown key": (b'{"inputs":[],"extra":1}', "unknown key 'extra'"),
    "key twice": (b'{"inputs":[],"inputs":[]}', "a key twice"),
    "no shape": (b'{"inputs":[{"name":"x","datatype":"FP32","data":[]}]}', "lacks the key 'shape'"),
    "wrong name": (body(name="z"), "no input 'z': its inputs are 'x'"),
    "name no string": (body(name=1), "no input 1"),
    "wrong datatype": (body(datatype="FP64"), "'FP64', but the model takes FP32"),
    "datatype no string": (body(datatype=[1]), "but the model takes FP32"),
    "wrong rank": (body(shape=[4]), "but the model takes [-1, 4]"),
    "wrong size": (body(shape=[1, 5]), "but the model takes [-1, 4]"),
    "zero": (body(shape=[0, 4], data=[]), "any size from 1"),
    "negative": (body(shape=[-1, 4]), "any size from 1"),
    "huge": (body(shape=[2**40, 4]), "more than"),
    "overflowing": (body(shape=[2**63, 4]), "more than"),
    "shape of floats": (body(shape=[1.0, 4]), "but the model takes"),
    "shape of booleans": (body(shape=[True, 4]), "but the model takes"),
    "shape no array": (body(shape="14"), "shape must be a JSON array"),
    "too few": (body(data=[1, 2, 3]), "has 3 values, but shape [1, 4] needs 4"),
    "too many": (body(data=[1] * 5), "has 5 values"),
    "huge shape, tiny data": (body(shape=[500_000_000, 4]), "has 4 values"),
    "no data": (body(data=None), "data must be a JSON array"),
    "ragged": (body(shape=[2, 4], data=[[1, 2, 3], [4, 5, 6, 7, 8]]), "nesting of data"),
    "nested too deep": (body(data=[[[1], [2], [3], [4]]]), "deeper than shape"),
    "text for a number": (body(data=["1", 2, 3, 4]), "not a number"),
    "null for a number": (body(data=[None, 2, 3, 4]), "not a number"),
    "true for a number": (body(data=[True, 2, 3, 4]), "not a number"),
    "out of range": (body(data=[1e39, 2, 3, 4]), "FP32 cannot hold"),
    "beyond doubles": (body().replace(b"[1, 2", b"[1e999, 2"), "not valid JSON"),
    "input twice": (
        body().replace(b"}]", b"}," + body()[len(b'{"inputs": [') :][:-2] + b"]"),
        "given twice",
    ),
    "id no string": (b'{"id":1,' + body()[1:], "id must be a string"),
    "unknown output": (b'{"outputs":[{"name":"q"}],' + body()[1:], "no output 'q'"),
    "output twice": (b'{"outputs":[{"name":"y"},{"name":"y"}],' + body()[1:], "requested twice"),
    "shared memory": (
        body(parameters={"shared_memory_region": "r"}),
        "this server has no shared memory",
    ),
    "classification": (
        b'{"outputs":[{"name":"y","parameters":{"classification":2}}],' + body()[1:],
        "no the classification",
    ),
    "flag no boolean": (b'{"parameters":{"binary_data_output":1},' + body()[1:], "true or false"),
    "both kinds of data": (body(parameters={"binary_data_size": 16}), "both data and"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_json_is_refused_with_the_reason(case: str) -> None:
    data, message = BAD[case]
    with pytest.raises(Invalid) as caught:
        decode(data)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def binary(tail: bytes, **changes: Any) -> tuple[bytes, int]:
    tensor: dict[str, Any] = {
        "name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16},
    }  # fmt: skip
    head = json.dumps({"inputs": [tensor | changes]}).encode()
    return head + tail, len(head)


BAD_BINARY: Mapping[str, tuple[tuple[bytes, int], str]] = {
    "length beyond the body": ((b"{}", 3), "but the body has 2 bytes"),
    "length zero": ((b"{}", 0), "Inference-Header-Content-Length is 0"),
    "truncated": (binary(b"\0" * 15), "announces 16 binary bytes, but 15 are left"),
    "rest": (binary(b"\0" * 17), "1 bytes more than its tensors"),
    "too small for its shape": (
        binary(b"\0" * 12, parameters={"binary_data_size": 12}),
        "has 12 bytes, but FP32 of shape [1, 4] needs 16",
    ),
    "huge shape, tiny data": (binary(b"\0" * 16, shape=[400_000_000, 4]), "needs 6400000000"),
    "negative size": (binary(b"", parameters={"binary_data_size": -1}), "binary_data_size is -1"),
    "size no number": (binary(b"", parameters={"binary_data_size": True}), "binary_data_size is"),
    "no data at all": (binary(b"", parameters={}), "neither data nor binary_data_size"),
}


@pytest.mark.parametrize("case", BAD_BINARY)
def test_bad_binary_is_refused_with_the_reason(case: str) -> None:
    (data, length), message = BAD_BINARY[case]
    with pytest.raises(Invalid, match=message.replace("[", r"\[")):
        decode(data, length)


def test_a_refused_request_leaves_the_codec_usable() -> None:
    codec = V2Rest(signature())
    for data, _ in BAD.values():
        with pytest.raises(Invalid):
            codec.decode(data, None)
        assert codec.decode(body(), None).feeds["x"].tolist() == [[1, 2, 3, 4]]


@given(st.binary(max_size=200), st.none() | st.integers(-1, 250))
def test_any_bytes_are_decoded_or_refused(data: bytes, length: int | None) -> None:
    with contextlib.suppress(Invalid):  # any other error fails
        decode(data, length)


@pytest.mark.parametrize("key", ["name", "datatype", "output"])
@pytest.mark.parametrize(("value", "shown"), [([1], "a JSON array"), ({"a": 1}, "a JSON object")])
def test_what_is_no_text_is_named_by_its_kind_not_by_an_address(
    key: str, value: object, shown: str
) -> None:
    # Found by fuzzing: the parser's own nodes told where in memory they lay.
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    request: dict[str, object] = {"inputs": [tensor | {key: value}]}
    if key == "output":
        request = {"inputs": [tensor], "outputs": [{"name": value}]}
    with pytest.raises(Invalid) as caught:
        V2Rest(signature()).decode(json.dumps(request).encode(), None)
    assert shown in str(caught.value)
    assert "0x" not in str(caught.value)
