import contextlib
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import Invalid, NotFound, SlipwayError
from slipway_server.protocol import v2_grpc
from slipway_server.protocol.binary_tensors import write_tensor
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from slipway_server.protocol.tensors import DTYPES, TensorSpec
from slipway_server.protocol.v2_grpc import V2Grpc
from tests.support.tensors import echo, finite_arrays, signature

ARRAYS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda datatype: finite_arrays(datatype).map(lambda array: (datatype, array))
)
FIELD = v2_grpc._FIELDS


def message(**changes: Any) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="iris", **changes)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    return request


def raw() -> pb.ModelInferRequest:
    request = message()
    request.raw_input_contents.append(bytes(16))
    return request


@given(ARRAYS)
def test_raw_contents_come_back_raw(pair: tuple[str, Any]) -> None:
    datatype, array = pair
    request = pb.ModelInferRequest(model_name="iris", id="7")
    request.inputs.add(name="t", datatype=datatype, shape=array.shape)
    request.raw_input_contents.append(write_tensor(array))
    codec = V2Grpc(echo(datatype, array.ndim))
    decoded = codec.decode(v2_grpc.parse(request.SerializeToString()))
    np.testing.assert_array_equal(decoded.feeds["t"], array)
    answer = pb.ModelInferResponse.FromString(codec.encode(decoded, [array]))
    assert (answer.model_name, answer.model_version, answer.id) == ("iris", "r1", "7")
    assert list(answer.outputs[0].shape) == list(array.shape)
    assert list(answer.raw_output_contents) == list(request.raw_input_contents)


@given(ARRAYS)
def test_typed_contents_come_back_typed(pair: tuple[str, Any]) -> None:
    datatype, array = pair
    request = pb.ModelInferRequest(model_name="iris")
    tensor = request.inputs.add(name="t", datatype=datatype, shape=array.shape)
    codec = V2Grpc(echo(datatype, array.ndim))
    if datatype in ("BF16", "FP16"):
        with pytest.raises(Invalid, match=f"send {datatype} as raw_input_contents"):
            codec.decode(v2_grpc.parse(request.SerializeToString()))
        return
    values = array.ravel().tolist()
    field = getattr(tensor.contents, FIELD[datatype])
    field.extend([value.encode() for value in values] if datatype == "BYTES" else values)
    decoded = codec.decode(v2_grpc.parse(request.SerializeToString()))
    assert decoded.feeds["t"].dtype == DTYPES[datatype]
    np.testing.assert_array_equal(decoded.feeds["t"], array)
    answer = pb.ModelInferResponse.FromString(codec.encode(decoded, [array]))
    assert answer.outputs[0].contents == tensor.contents
    assert not answer.raw_output_contents


def test_a_model_without_inputs_is_answered_raw() -> None:
    codec = V2Grpc(signature(inputs=()))
    request = pb.ModelInferRequest(model_name="iris")
    decoded = codec.decode(v2_grpc.parse(request.SerializeToString()))
    answer = pb.ModelInferResponse.FromString(codec.encode(decoded, [np.ones((1, 3), np.float32)]))
    assert list(answer.raw_output_contents) == [np.ones(3, np.float32).tobytes()]
    assert not answer.outputs[0].HasField("contents")


def test_only_requested_outputs_are_answered() -> None:
    outputs = (TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "FP32", (-1,)))
    codec = V2Grpc(signature(outputs=outputs))
    request = raw()
    request.outputs.add(name="b")
    arrays = [np.array([7]), np.array([1.5], np.float32)]
    answer = pb.ModelInferResponse.FromString(
        codec.encode(codec.decode(v2_grpc.parse(request.SerializeToString())), arrays)
    )
    assert [output.name for output in answer.outputs] == ["b"]


def case_another_model() -> pb.ModelInferRequest:
    request = raw()
    request.model_name = "other"
    return request


def case_another_version() -> pb.ModelInferRequest:
    request = raw()
    request.model_version = "2"
    return request


def case_wrong_datatype() -> pb.ModelInferRequest:
    request = raw()
    request.inputs[0].datatype = "FP64"
    return request


def case_huge_shape() -> pb.ModelInferRequest:
    request = raw()
    request.inputs[0].shape[0] = 2**62
    return request


def case_too_few_bytes() -> pb.ModelInferRequest:
    request = message()
    request.raw_input_contents.append(bytes(15))
    return request


def case_more_raws_than_inputs() -> pb.ModelInferRequest:
    request = raw()
    request.raw_input_contents.append(bytes(16))
    return request


def case_raw_and_typed() -> pb.ModelInferRequest:
    request = raw()
    request.inputs[0].contents.fp32_contents.extend([1, 2, 3, 4])
    return request


def case_too_few_values() -> pb.ModelInferRequest:
    request = message()
    request.inputs[0].contents.fp32_contents.extend([1, 2, 3])
    return request


def case_input_twice() -> pb.ModelInferRequest:
    request = raw()
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(bytes(16))
    return request


def case_output_twice() -> pb.ModelInferRequest:
    request = raw()
    request.outputs.add(name="y")
    request.outputs.add(name="y")
    return request


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (case_another_model, NotFound, "'other' is not served here"),
        (case_another_version, NotFound, "version '2' is not served"),
        (case_wrong_datatype, Invalid, "the model takes FP32"),
        (case_huge_shape, Invalid, "more than"),
        (case_too_few_bytes, Invalid, "has 15 bytes"),
        (case_more_raws_than_inputs, Invalid, "1 inputs, but 2 raw_input_contents"),
        (case_raw_and_typed, Invalid, "both contents and raw"),
        (case_too_few_values, Invalid, "has 3 values in fp32_contents"),
        (case_input_twice, Invalid, "given twice"),
        (case_output_twice, Invalid, "requested twice"),
    ],
)
def test_bad_messages_are_refused_with_the_reason(
    make: Any, kind: type[SlipwayError], text: str
) -> None:
    with pytest.raises(kind, match=text):
        V2Grpc(signature()).decode(v2_grpc.parse(make().SerializeToString()))


@given(st.binary(max_size=100))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    with contextlib.suppress(Invalid):  # any other error fails
        V2Grpc(signature()).decode(v2_grpc.parse(data))


def test_a_narrow_integer_must_fit() -> None:
    request = pb.ModelInferRequest(model_name="iris")
    tensor = request.inputs.add(name="t", datatype="INT8", shape=[1])
    tensor.contents.int_contents.append(128)
    with pytest.raises(Invalid, match="INT8 cannot hold"):
        V2Grpc(echo("INT8", 1)).decode(v2_grpc.parse(request.SerializeToString()))


def test_our_messages_are_those_of_another_implementation() -> None:
    from tritonclient.grpc import service_pb2 as theirs

    for name in pb.DESCRIPTOR.message_types_by_name:
        _assert_same(getattr(pb, name).DESCRIPTOR, getattr(theirs, name).DESCRIPTOR)
    ours = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    service = theirs.ModelInferRequest.DESCRIPTOR.file.services_by_name["GRPCInferenceService"]
    for method in ours.values():
        other = service.methods_by_name[method.name]
        assert method.input_type.full_name == other.input_type.full_name
        assert method.output_type.full_name == other.output_type.full_name


def _assert_same(ours: Descriptor, theirs: Descriptor) -> None:
    assert ours.full_name == theirs.full_name
    for number, field in ours.fields_by_number.items():
        other = theirs.fields_by_number[number]
        assert (field.name, field.type, field.is_repeated) == (
            other.name,
            other.type,
            other.is_repeated,
        )
    for nested in ours.nested_types:
        _assert_same(nested, theirs.nested_types_by_name[nested.name])
