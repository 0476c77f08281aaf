"""What clients of the doors may send, as functions of bytes: each parser refuses or answers.

A target raises when the parser does anything but refuse with a short text that tells nothing of
its inside (``Invalid``). ``TARGETS`` names them, ``SEEDS`` has well-formed inputs to start from,
``WORDS`` what to put in.
"""

import contextlib
import gzip
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from backports import zstd

from slipway.errors import Invalid, SlipwayError
from slipway_server.protocol import v2_client, v2_grpc
from slipway_server.protocol.binary_tensors import read_tensor, write_tensor
from slipway_server.protocol.message_heads import MessageHeads
from slipway_server.protocol.mindspore import MindSpore
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from slipway_server.protocol.tensors import DTYPES, InferRequest, Signature, TensorSpec
from slipway_server.protocol.torchserve import TorchServe
from slipway_server.protocol.v1_rest import V1Rest
from slipway_server.protocol.v2_grpc import V2Grpc
from slipway_server.protocol.v2_rest import V2Rest
from slipway_server.state import Identity
from slipway_server.transport.coding import CODINGS, CodingError, Decoder, SizeError
from tests.support.connections import Owner, talk

WORDS: Final = (
    b'"', b"[", b"]", b"{", b"}", b",", b":", b"null", b"true", b"-1", b"0", b"1.5", b"1e999",
    b"18446744073709551616", b"2147483648", b"99999999999", b'"\\ud800"', b'"b64"', b"[]", b"{}",
    b"\xff", b"\x00", b"\r\n", b"\n", b"\r", b" ", b"\t", b"--a", b"Content-Length: 1\r\n",
)  # fmt: skip
_IDENTITY: Final = Identity("iris", "r1")
_ONE: Final = Signature(
    _IDENTITY, (TensorSpec("x", "FP32", (-1, 4)),), (TensorSpec("y", "FP32", (-1, 3)),)
)
_EVERY: Final = Signature(
    _IDENTITY,
    tuple(TensorSpec(kind.lower(), kind, (-1, -1)) for kind in DTYPES),
    (TensorSpec("y", "FP32", (-1,)),),
)
_TEXT: Final = Signature(
    _IDENTITY, (TensorSpec("s", "BYTES", (-1,)),), (TensorSpec("t_bytes", "BYTES", (-1,)),)
)
_SCALAR: Final = Signature(
    _IDENTITY, (TensorSpec("n", "UINT8", ()),), (TensorSpec("y", "FP32", ()),)
)
SIGNATURES: Final = (_ONE, _EVERY, _TEXT, _SCALAR)
_ROOM: Final = 1 << 16


def _checked(decode: Callable[[], InferRequest], signature: Signature) -> None:
    """Decode; what is accepted must be what the model takes, what is refused told in short."""
    try:
        request = decode()
    except Invalid as refused:
        text = str(refused)
        assert 0 < len(text) < 800, text
        assert "Traceback" not in text
        assert "object at 0x" not in text, text
        text.encode()
        return
    assert list(request.feeds) != []
    for spec in signature.inputs:
        array = request.feeds[spec.name]
        assert array.dtype == spec.dtype
        assert spec.check_shape(array.shape) == array.size
        if array.dtype.kind == "O":
            for item in array.ravel():
                assert type(item) is str
                item.encode()


_V2 = [(V2Rest(signature), signature) for signature in SIGNATURES]
_V1 = [(V1Rest(signature), signature) for signature in SIGNATURES]
_TORCH = [(TorchServe(signature), signature) for signature in SIGNATURES]
_MIND = [(MindSpore(signature), signature) for signature in SIGNATURES]
_GRPC = [(V2Grpc(signature), signature, MessageHeads()) for signature in SIGNATURES]
_TYPES: Final = (
    b"",
    b"application/json",
    b"application/octet-stream",
    b"multipart/form-data; boundary=a",
)


def _told(codec: V2Rest, data: bytes, length: int | None) -> tuple[object, ...]:
    """What a decoder makes of a body, comparable."""
    return _fed(lambda: codec.decode(data, length))


def _fed(decode: Callable[[], InferRequest]) -> tuple[object, ...]:
    try:
        request = decode()
    except Invalid as refused:
        return (str(refused),)
    feeds = [
        (name, a.dtype, a.shape, a.tolist() if a.dtype.kind == "O" else a.tobytes())  # NaN, too
        for name, a in request.feeds.items()
    ]
    return feeds, request.id, request.outputs, request.binary


def json_v2(data: bytes) -> None:
    """A body of ``/v2/models/{model}/infer`` in JSON, also for one who has seen others."""
    for codec, signature in _V2:
        _checked(lambda codec=codec: codec.decode(data, None), signature)  # type: ignore[misc] # a default binds the loop's value
        assert _told(codec, data, None) == _told(V2Rest(signature), data, None)


def binary_v2(data: bytes) -> None:
    """A body with binary tensors behind as much JSON as its first two bytes say."""
    if len(data) < 2:
        return
    (length,) = struct.unpack_from("<H", data)
    for codec, signature in _V2:
        _checked(lambda codec=codec: codec.decode(data[2:], length), signature)  # type: ignore[misc] # as above
        assert _told(codec, data[2:], length) == _told(V2Rest(signature), data[2:], length)


def json_v1(data: bytes) -> None:
    """A body of ``:predict``."""
    for codec, signature in _V1:
        _checked(lambda codec=codec: codec.decode(data), signature)  # type: ignore[misc] # as above


def mindspore(data: bytes) -> None:
    """A body of ``/model/{model}:predict``."""
    for codec, signature in _MIND:
        _checked(lambda codec=codec: codec.decode(data), signature)  # type: ignore[misc] # as above


def torchserve(data: bytes) -> None:
    """A body of ``/predictions/{model}``, of the content type that its first byte picks."""
    if not data:
        return
    kind = _TYPES[data[0] % len(_TYPES)]
    for codec, signature in _TORCH:
        _checked(lambda codec=codec: codec.decode(data[1:], kind), signature)  # type: ignore[misc] # as above


def grpc_message(data: bytes) -> None:
    """A ``ModelInferRequest``, also for one who has seen others."""
    for codec, signature, heads in _GRPC:
        _checked(lambda codec=codec: codec.decode(v2_grpc.parse(data)), signature)  # type: ignore[misc] # as above
        known = heads.find(data)
        if known is not None:
            long_way = _fed(lambda codec=codec: codec.decode(v2_grpc.parse(data)))  # type: ignore[misc] # as above
            assert _fed(lambda known=known: known.read(data)) == long_way  # type: ignore[misc] # as above
        with contextlib.suppress(SlipwayError):
            request = codec.decode(v2_grpc.parse(data))
            for _ in range(2):
                heads.learn(data, "m", request, signature)


def strings(data: bytes) -> None:
    """The bytes of a BYTES tensor with as many elements as the first byte says."""
    if not data:
        return
    spec, count = _TEXT.inputs[0], data[0] + 1
    try:
        array = read_tensor(spec, memoryview(data)[1:], [count], count=count)
    except Invalid:
        return
    assert write_tensor(array) == data[1:]


def coded(data: bytes) -> None:
    """A compressed body, of the coding that its first byte picks, in pieces."""
    if len(data) < 2:
        return
    decoder, room = Decoder(CODINGS[data[0] % len(CODINGS)]), _ROOM
    piece = data[1] + 1
    try:
        for start in range(2, len(data), piece):
            found = len(decoder.feed(data[start : start + piece], room=room))
            room -= found
            assert room >= 0
        decoder.finish()
    except (CodingError, SizeError):
        return


def http_1(data: bytes) -> None:
    """What a peer sends on a connection, in pieces as large as the first byte says."""
    if not data:
        return
    owner, piece = Owner(), data[0] * 8 + 1
    first = talk(owner, data[1:], piece)
    assert talk(owner, data[1:], piece) == first  # by now the server knows the heads
    for answer in first:
        assert answer.startswith(b"HTTP/1.1 ")


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "json-v2": json_v2,
    "binary-v2": binary_v2,
    "json-v1": json_v1,
    "mindspore": mindspore,
    "torchserve": torchserve,
    "grpc-message": grpc_message,
    "strings": strings,
    "content-coding": coded,
    "http-1": http_1,
}


def _document(signature: Signature) -> dict[str, Any]:
    inputs = []
    for spec in signature.inputs:
        shape = [1 if size == -1 else size for size in spec.shape]
        values: object = "a" if spec.datatype == "BYTES" else spec.datatype == "BOOL" or 1
        data = np.full(shape, values, object).ravel().tolist()
        inputs.append({"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": data})
    return {"inputs": inputs}


def _named(signature: Signature) -> dict[str, Any]:
    return {
        tensor["name"]: np.array(tensor["data"], object).reshape(tensor["shape"]).tolist()
        for tensor in _document(signature)["inputs"]
    }


def _feeds(signature: Signature) -> dict[str, Any]:
    return {
        spec.name: np.full([1 if size == -1 else size for size in spec.shape], "", spec.dtype)
        if spec.datatype == "BYTES"
        else np.ones([1 if size == -1 else size for size in spec.shape], spec.dtype)
        for spec in signature.inputs
    }


def _binary(signature: Signature) -> bytes:
    body, length = v2_client.encode_request(signature.inputs, _feeds(signature))
    return struct.pack("<H", length) + body


def _message(signature: Signature, *, raw: bool) -> bytes:
    request = pb.ModelInferRequest(model_name="iris", id="7")
    for spec in signature.inputs:
        shape = [1 if size == -1 else size for size in spec.shape]
        tensor = request.inputs.add(name=spec.name, datatype=spec.datatype, shape=shape)
        array = _feeds(signature)[spec.name]
        if raw:
            request.raw_input_contents.append(write_tensor(array))
        elif spec.datatype in v2_grpc._FIELDS:
            values = [b"a"] if spec.datatype == "BYTES" else array.ravel().tolist()
            getattr(tensor.contents, v2_grpc._FIELDS[spec.datatype]).extend(values)
    return request.SerializeToString()


_POST: Final = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\n"
_FORM: Final = b'--a\r\nContent-Disposition: form-data; name="data"\r\n\r\n%b\r\n--a--'
_ROWS: Final = [json.dumps({"instances": [_named(s)]}).encode() for s in SIGNATURES]
SEEDS: Final[dict[str, list[bytes]]] = {
    "json-v2": [
        *(json.dumps(_document(signature)).encode() for signature in SIGNATURES),
        b'{"id":"7","parameters":{"binary_data_output":true},"inputs":[],"outputs":[{"name":"y"}]}',
    ],
    "binary-v2": [_binary(signature) for signature in SIGNATURES],
    "json-v1": [
        *_ROWS,
        *(json.dumps({"inputs": _named(signature)}).encode() for signature in SIGNATURES),
        b'{"instances":["a",{"b64":"YQ=="}],"signature_name":"a"}',
        b'{"inputs":{"b64":"AQ==","type":"uint8","shape":[1]}}',
    ],
    "mindspore": [*_ROWS, b'{"instances":{"s":{"b64":"YQ==","type":"str","shape":[1]}}}'],
    "torchserve": [
        b"\1" + _ROWS[0],
        b"\1[[1,2,3,4]]",
        b"\0text",
        b"\2" + bytes(16),
        b"\3" + _FORM % bytes(16),
    ],
    "grpc-message": [_message(s, raw=raw) for s in SIGNATURES for raw in (True, False)],
    "strings": [b"\1" + struct.pack("<I", 1) + b"a" + struct.pack("<I", 0)],
    "content-coding": [
        b"\0\x10" + zstd.compress(b"body" * 50),
        b"\1\xff" + gzip.compress(b"body" * 50) * 2,
        b"\2\3" + zlib.compress(bytes(1000)),
    ],
    "http-1": [
        b"\xff" + _POST + b"Content-Length: 2\r\n\r\n{}" + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\1" + _POST + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n",
        b"\5" + _POST + b"Expect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1",
        b"\7" + _POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
        b"\x1f"
        + _POST
        + b"Content-Length: 60\r\n\r\n"
        + b"x" * 60
        + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x09"
        + _POST
        + b"Content-Encoding: gzip\r\nAccept-Encoding: zstd\r\nContent-Length: %d\r\n\r\n"
        % len(gzip.compress(b"body" * 100))
        + gzip.compress(b"body" * 100),
    ],
}
