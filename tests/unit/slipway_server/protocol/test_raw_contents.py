"""Large tensors are found where they lie, and whatever is strange is left to protobuf."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_server.protocol import raw_contents, v2_grpc
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from slipway_server.transport.h2.messages import MessageReader, prefixed


def request(*raws: bytes, name: str = "m") -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name=name, id="7", raw_input_contents=raws)
    for number in range(len(raws)):
        message.inputs.add(name=f"x{number}", datatype="FP32", shape=[1, 2])
    message.outputs.add(name="y")
    return message


@given(st.lists(st.binary(max_size=300), max_size=4), st.text(max_size=20))
def test_a_message_is_the_same_in_two_parts(raws: list[bytes], name: str) -> None:
    message = request(*raws, name=name)
    apart = raw_contents.split(memoryview(message.SerializeToString()))
    assert apart is not None
    head = pb.ModelInferRequest.FromString(apart[0])
    assert [bytes(raw) for raw in apart[1]] == raws
    del message.raw_input_contents[:]
    assert head == message


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_places_are_where_raw_contents_lie(raws: list[bytes]) -> None:
    data = request(*raws).SerializeToString()
    places = raw_contents.places(memoryview(data))
    assert places is not None
    assert [data[start:end] for start, end in places] == raws
    assert raw_contents.places(memoryview(data + b"\x1a\x00")) is None
    assert raw_contents.places(memoryview(data[:-1])) is None or not raws[-1]


@given(st.lists(st.binary(max_size=20_000), max_size=3))
def test_what_is_appended_is_what_protobuf_reads(raws: list[bytes]) -> None:
    parts = [pb.ModelInferResponse(model_name="m").SerializeToString()]
    for raw in raws:
        raw_contents.append(parts, raw)
    expected = pb.ModelInferResponse(model_name="m", raw_output_contents=raws)
    assert b"".join(parts) == expected.SerializeToString()


@given(st.binary(max_size=200))
def test_any_bytes_mean_what_protobuf_says(data: bytes) -> None:
    apart = raw_contents.split(memoryview(data))
    if apart is None:
        return
    try:
        whole = pb.ModelInferRequest.FromString(data)
    except Exception:  # noqa: BLE001 - protobuf's own
        with pytest.raises(Exception, match="Error parsing"):
            pb.ModelInferRequest.FromString(apart[0])
        return
    assert [bytes(raw) for raw in apart[1]] == list(whole.raw_input_contents)
    del whole.raw_input_contents[:]
    assert pb.ModelInferRequest.FromString(apart[0]) == whole


@pytest.mark.parametrize(
    "data",
    [
        b"\x3a\x05abc",
        b"\x3a",
        b"\x3a\xff\xff\xff\xff\xff\x01",
        b"\x08\x01",
        b"\x3a\x01a" * 300,
    ],
    ids=["cut off", "no length", "a long length", "a number", "very many fields"],
)
def test_what_is_strange_is_left_to_protobuf(data: bytes) -> None:
    assert raw_contents.split(memoryview(data)) is None


@pytest.mark.parametrize("name", ["m", "a-longer-name", "x" * 127, "x" * 128])
def test_a_large_tensor_is_copied_once_and_lies_aligned(name: str) -> None:
    data = request(bytes(range(256)) * 300, name=name).SerializeToString()
    stream = b"".join(prefixed(data))
    reader = MessageReader(1 << 20, b"identity", raw_contents.padding)
    found = [
        one
        for place in range(0, len(stream), 16_384)
        for one in reader.feed(memoryview(stream)[place : place + 16_384])
    ]
    (message,) = found
    received = v2_grpc.parse(message)
    array = np.frombuffer(received.raws[0], np.float64)
    assert array.flags.aligned
    assert np.shares_memory(array, np.frombuffer(message, np.uint8))
    assert (received.head.model_name, bytes(received.raws[0])) == (name, bytes(range(256)) * 300)
    assert not received.head.raw_input_contents


def test_what_no_tensor_is_in_yet_needs_no_padding() -> None:
    for begin in (b"", b"\x0a", b"\x0a\x05abc", b"\x08\x01", b"\xff" * 20):
        assert raw_contents.padding(memoryview(begin)) == 0
