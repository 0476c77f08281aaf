"""What a call's headers say, and the headers of answers."""

import pytest

from slipway_server.transport.h2 import heads, hpack
from slipway_server.transport.h2.fields import Headers
from slipway_server.transport.h2.heads import Blocks, Head, NotGrpc, Refusal
from tests.support import h2

PATH = h2.PATH.decode()


def read(fields: h2.Fields | None) -> Head | NotGrpc | Refusal:
    headers = Headers(None if fields is None else tuple(fields))
    assert headers.fault is None
    return heads.read(headers)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"2H", 7200), (b"3M", 180), (b"4S", 4), (b"50m", 0.05), (b"70u", 7e-5), (b"8n", 8e-9)],
)
def test_timeouts_in_every_unit(value: bytes, seconds: float) -> None:
    head = read(h2.call_fields(grpc_timeout=value))
    assert isinstance(head, Head)
    assert head.seconds == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"1", b"S", b"123456789S", b"-1S", b"1.5S", b"1s", b"1SS"])
def test_a_timeout_that_is_none_is_refused(value: bytes) -> None:
    text = "grpc-timeout is not up to 8 digits and one of H M S m u n"
    assert read(h2.call_fields(grpc_timeout=value)) == Refusal("INTERNAL", text)


@pytest.mark.parametrize(
    "value", [b"application/grpc", b"application/grpc+proto", b"Application/gRPC;charset=x"]
)
def test_content_types_of_grpc(value: bytes) -> None:
    fields = [pair for pair in h2.call_fields() if pair[0] != b"content-type"]
    assert read([*fields, (b"content-type", value)]) == Head(PATH)


@pytest.mark.parametrize("value", [b"application/json", b"application/grpc-web", b""])
def test_other_content_types_are_answered_as_http(value: bytes) -> None:
    fields = [pair for pair in h2.call_fields() if pair[0] != b"content-type"]
    answer = read([*fields, (b"content-type", value)])
    assert isinstance(answer, NotGrpc)
    assert (answer.status, "application/grpc" in answer.text) == (415, True)


def test_other_http_methods_are_told_so() -> None:
    fields = [(b":method", b"PUT"), *h2.call_fields()[1:]]
    assert read(fields) == NotGrpc(405, "this port speaks gRPC: the method has to be POST\n")


def test_encodings() -> None:
    assert read(h2.call_fields(grpc_encoding=b"gzip")) == Head(PATH, encoding=b"gzip")
    assert read(h2.call_fields(grpc_encoding=b"br")) == Refusal(
        "UNIMPLEMENTED", "grpc-encoding is not one of identity,deflate,gzip"
    )


def test_too_much_metadata_is_refused() -> None:
    assert read(None) == Refusal(
        "RESOURCE_EXHAUSTED", "the call has more metadata than this server takes"
    )


BLOCKS = Blocks((("Slipway-Revision", "m-1"),))


def fields_of(block: bytes) -> dict[bytes, bytes]:
    return dict(hpack.Decoder(1 << 16).decode(block) or ())


def test_the_answers_of_every_kind() -> None:
    ok = {b":status": b"200", b"content-type": b"application/grpc"}
    labels = {b"slipway-revision": b"m-1"}
    assert fields_of(BLOCKS.headers) == ok
    assert fields_of(BLOCKS.ok) == {b"grpc-status": b"0"} | labels
    failed = {b"grpc-status": b"5", b"grpc-message": b"no"} | labels
    assert fields_of(BLOCKS.trailers("NOT_FOUND", "no")) == failed
    assert fields_of(BLOCKS.refusal("NOT_FOUND", "no")) == ok | failed
    unknown = fields_of(BLOCKS.refusal("UNIMPLEMENTED", "no"))
    assert unknown[b"grpc-accept-encoding"] == b"identity,deflate,gzip"
    block, body = BLOCKS.http(NotGrpc(415, "text"))
    plain = {b":status": b"415", b"content-type": b"text/plain", b"content-length": b"4"}
    assert (fields_of(block), body) == (plain, b"text")


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("plain text", b"plain text"),
        ("50% of ä\r\n\0", b"50%25 of %C3%A4%0D%0A%00"),
        ("x" * 5000, b"x" * 1024),
        ("\ud800", b"?"),
    ],
)
def test_messages_of_errors_are_percent_encoded_and_cut(text: str, sent: bytes) -> None:
    assert fields_of(BLOCKS.trailers("INTERNAL", text))[b"grpc-message"] == sent


def test_refusals_that_repeat_are_kept_and_stay_apart() -> None:
    blocks = Blocks(())
    for number in range(100):
        for code, status in (("NOT_FOUND", b"5"), ("INTERNAL", b"13")):
            fields = fields_of(blocks.refusal(code, f"text {number % 40}"))
            assert fields[b"grpc-status"] == status
            assert fields[b"grpc-message"] == b"text %d" % (number % 40)
