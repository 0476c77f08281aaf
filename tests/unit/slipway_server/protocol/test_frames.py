import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import Invalid
from slipway_server.protocol import v2_client
from slipway_server.protocol.frames import BinaryHeads, JsonFrames
from slipway_server.protocol.json_tensors import JsonReader
from slipway_server.protocol.tensors import OutputChoice, TensorSpec
from slipway_server.protocol.v2_rest import V2Rest
from tests.support.tensors import signature

TWO = signature(inputs=(TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT64", (-1,))))


def document(data: Any, **more: Any) -> bytes:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor], **more}).encode()


def taught(*bodies: bytes) -> JsonFrames:
    codec, frames = V2Rest(signature()), JsonFrames(signature(), JsonReader())
    for body in bodies:
        frames.learn(body, codec.decode(body, None))
    return frames


def told(codec: V2Rest, body: bytes) -> object:
    try:
        request = codec.decode(body, None)
    except Invalid as refused:
        return str(refused)
    return {name: array.tolist() for name, array in request.feeds.items()}, request.outputs


def test_a_frame_that_came_twice_is_known() -> None:
    again = document([5, 6, 7, 8], id="7", outputs=[{"name": "y"}])
    frames = taught(again, document([1, 2, 3, 4], id="7", outputs=[{"name": "y"}]))
    request = frames.read(again)
    assert request is not None
    assert request.feeds["x"].tolist() == [[5, 6, 7, 8]]
    assert (request.id, request.outputs) == ("7", (OutputChoice(0, binary=False),))


def test_a_frame_that_came_once_is_not_known() -> None:
    assert taught(document([1, 2, 3, 4])).read(document([1, 2, 3, 4])) is None


def test_nested_data_is_known_and_its_nesting_checked() -> None:
    frames = taught(*[document([[1, 2, 3, 4]])] * 2)
    request = frames.read(document([[5, 6, 7, 8]]))
    assert request is not None
    assert request.feeds["x"].tolist() == [[5, 6, 7, 8]]
    assert frames.read(document([[5, 6], [7, 8]])) is None


@pytest.mark.parametrize(
    "changed",
    [
        document([1, 2, 3]),
        document([1, 2, 3, "4"]),
        document([1, 2, 3, 4], id="7"),
        document([1, 2, 3, 4])[:-1],
        document([1, 2, 3, 4]).replace(b"4]}", b'4], "data": [1, 2, 3, 4]}'),
        document([1, 2, 3, 4]).replace(b"[1, 2, 3, 4]", b""),
        b"",
        b'"data"',
    ],
)
def test_what_differs_is_read_the_long_way(changed: bytes) -> None:
    assert taught(*[document([1, 2, 3, 4])] * 2).read(changed) is None


def test_text_that_looks_like_data_makes_no_frame() -> None:
    named = json.dumps({"id": "data", **json.loads(document([1, 2, 3, 4]))}).encode()
    assert taught(named, named).read(named) is None


def test_a_long_frame_is_not_kept() -> None:
    body = document([1, 2, 3, 4], id="7" * 5000)
    assert taught(body, body).read(body) is None


PIECES = st.sampled_from(
    [
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        '"data"',
        '"',
        "1",
        " ",
        "null",
        '"x"',
        "\\",
        '"id"',
        "[1,2,3,4]",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join), st.integers(0, 200), st.integers(0, 12))
def test_who_knows_frames_reads_what_everybody_reads(text: str, at: int, drop: int) -> None:
    body = document([1, 2, 3, 4], id="a")
    changed = body[:at] + text.encode() + body[at + drop :]
    knowing = V2Rest(signature())
    for known in (body, body, body, changed, changed):
        told(knowing, known)
    assert told(knowing, changed) == told(V2Rest(signature()), changed)
    assert told(knowing, body) == told(V2Rest(signature()), body)


def binary() -> tuple[BinaryHeads, bytes, int]:
    body = document([1, 2, 3, 4])
    feeds = V2Rest(signature()).decode(body, None).feeds
    data, length = v2_client.encode_request(signature().inputs, feeds)
    heads = BinaryHeads(signature())
    heads.learn(data, length, V2Rest(signature()).decode(data, length))
    return heads, data, length


def test_the_head_of_binary_tensors_is_known() -> None:
    heads, data, length = binary()
    request = heads.read(data[:length] + bytes(16), length)
    assert request is not None
    assert request.feeds["x"].tolist() == [[0, 0, 0, 0]]


def test_a_body_of_another_length_is_read_the_long_way() -> None:
    heads, data, length = binary()
    assert heads.read(data + b"\0", length) is None
    assert heads.read(data[:-1], length) is None
    assert heads.read(data, length - 1) is None


def test_tensors_that_are_partly_json_are_read_the_long_way() -> None:
    mixed = {
        "inputs": [
            {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
            {"name": "b", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": 8}},
        ]
    }
    head = json.dumps(mixed).encode()
    heads, body = BinaryHeads(TWO), head + bytes(8)
    heads.learn(body, len(head), V2Rest(TWO).decode(body, len(head)))
    assert heads.read(body, len(head)) is None
