"""A head that came before is known by its bytes, and means what it meant."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_server.protocol import v2_grpc
from slipway_server.protocol.message_heads import MessageHeads
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from slipway_server.protocol.tensors import InferRequest, TensorSpec
from slipway_server.protocol.v2_grpc import V2Grpc
from tests.support.tensors import signature

TWO = signature(inputs=(TensorSpec("x", "FP32", (-1, 2)), TensorSpec("n", "INT64", (-1, 1))))
CODEC = V2Grpc(TWO)


def message(first: float = 1.0, second: int = 2, *, rows: int = 1, **more: Any) -> bytes:
    request = pb.ModelInferRequest(model_name="iris", **more)
    request.inputs.add(name="x", datatype="FP32", shape=[rows, 2])
    request.inputs.add(name="n", datatype="INT64", shape=[rows, 1])
    request.raw_input_contents.append(np.full((rows, 2), first, np.float32).tobytes())
    request.raw_input_contents.append(np.full((rows, 1), second, np.int64).tobytes())
    return request.SerializeToString()


def long_way(data: bytes) -> InferRequest:
    return CODEC.decode(v2_grpc.parse(data))


def learn(heads: MessageHeads, data: bytes) -> None:
    heads.learn(data, "iris", long_way(data), TWO)


def heads_that_saw(*messages: bytes) -> MessageHeads:
    heads = MessageHeads()
    for data in messages:
        learn(heads, data)
    return heads


def plain(request: InferRequest) -> tuple[object, ...]:
    feeds = {name: (a.dtype, a.shape, a.tobytes()) for name, a in request.feeds.items()}
    return feeds, request.id, request.outputs, request.binary


@given(st.floats(width=32), st.integers(-(2**63), 2**63 - 1), st.integers(1, 3))
def test_a_head_that_came_twice_is_read_as_before(first: float, second: int, rows: int) -> None:
    heads = heads_that_saw(message(rows=rows), message(5.0, rows=rows))
    data = message(first, second, rows=rows)
    known = heads.find(data)
    assert known is not None
    assert known.model == "iris"
    assert plain(known.read(data)) == plain(long_way(data))


def test_the_id_and_the_choice_of_outputs_belong_to_the_head() -> None:
    data = message(id="7", outputs=[{"name": "y"}])
    known = heads_that_saw(data, data).find(data)
    assert known is not None
    assert plain(known.read(data)) == plain(long_way(data))


def swapped_gap() -> bytes:
    """The second tensor's length in two bytes of the first's: as long, and not a message."""
    data = message()
    place = data.rindex(b"\x3a\x08")
    return data[:place] + b"\x3b" + data[place + 1 :]


@pytest.mark.parametrize(
    "data",
    [
        message(id="7"),
        message(model_version="r2"),
        message(rows=2),
        message() + b"\x1a\x00",
        swapped_gap(),
        b"",
    ],
    ids=["another id", "another version", "more rows", "a field behind", "another gap", "nothing"],
)
def test_other_bytes_are_not_known(data: bytes) -> None:
    assert heads_that_saw(message(), message()).find(data) is None


def test_what_came_once_is_not_kept() -> None:
    heads = heads_that_saw(message(id="1"), message(id="2"), message(id="1"))
    assert heads.find(message(id="1")) is None


def test_fields_behind_tensors_are_read_the_long_way() -> None:
    data = message() + b"\x1a\x017"  # an id: protobuf takes fields in any order
    assert long_way(data).id == "7"
    assert heads_that_saw(data, data).find(data) is None


def test_a_view_of_memory_is_read_the_long_way() -> None:
    heads = heads_that_saw(message(), message())
    assert heads.find(memoryview(bytearray(message()))) is None


def test_only_so_many_are_kept() -> None:
    heads = MessageHeads()
    for number in range(200):
        data = message(id=str(number))
        learn(heads, data)
        learn(heads, data)
    assert heads.find(message(id="199")) is not None
    assert heads.find(message(id="0")) is None
