"""Header blocks: the examples of RFC 7541, another library's encoder, and hostile ones."""

import hpack as other
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_server.transport.h2 import hpack
from slipway_server.transport.h2.frames import Code, ConnectionFault

FIELDS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=8)
FIRST = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]
HOST = (b":authority", b"www.example.com")
LAST = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/index.html"), HOST]
REQUESTS = [
    [*FIRST, HOST],
    [*FIRST, HOST, (b"cache-control", b"no-cache")],
    [*LAST, (b"custom-key", b"custom-value")],
]
PLAIN = (
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
)
HUFFMAN = (
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
)


@pytest.mark.parametrize("examples", [PLAIN, HUFFMAN], ids=["C.3", "C.4"])
def test_the_requests_of_the_rfc(examples: tuple[str, ...]) -> None:
    decoder = hpack.Decoder(4096)
    assert [list(decoder.decode(bytes.fromhex(block)) or ()) for block in examples] == REQUESTS


@given(st.lists(st.tuples(FIELDS, st.booleans(), st.sampled_from([None, 0, 60, 4096])), max_size=6))
def test_whatever_another_encoder_writes_is_read(blocks: list[tuple[list[hpack.Field], bool, int | None]]) -> None:  # noqa: E501 # fmt: skip
    encoder, decoder = other.Encoder(), hpack.Decoder(1 << 16)
    for fields, coded, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        assert decoder.decode(encoder.encode(fields, huffman=coded)) == tuple(fields)


@given(FIELDS)
def test_what_is_encoded_here_is_read_there(fields: list[hpack.Field]) -> None:
    assert other.Decoder().decode(hpack.encode(fields), raw=True) == fields


@given(FIELDS, FIELDS)
def test_a_block_that_leaves_the_version_alone_means_the_same_again(
    before: list[hpack.Field], fields: list[hpack.Field]
) -> None:
    encoder, decoder = other.Encoder(), hpack.Decoder(1 << 16)
    decoder.decode(encoder.encode(before))
    decoder.decode(encoder.encode(fields))
    block, version = encoder.encode(fields), decoder.version
    first = decoder.decode(block)
    if decoder.version == version:
        assert decoder.decode(block) == first == tuple(fields)


def test_a_list_over_the_limit_is_dropped_and_the_table_is_kept() -> None:
    encoder, decoder = other.Encoder(), hpack.Decoder(200)
    large = [(b"a", b"x" * 150), (b"b", b"y" * 150)]
    assert decoder.decode(encoder.encode(large, huffman=False)) is None
    again = encoder.encode([(b"a", b"x" * 150)])
    assert len(again) == 1
    assert decoder.decode(again) == ((b"a", b"x" * 150),)


def failure(*blocks: bytes) -> tuple[Code, str]:
    decoder = hpack.Decoder(200)
    for block in blocks[:-1]:
        decoder.decode(block)
    with pytest.raises(ConnectionFault) as caught:
        decoder.decode(blocks[-1])
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ("80", "index 0"),
        ("be", "beyond the table"),
        ("7f80", "cut off"),
        ("40", "cut off"),
        ("400a6162", "cut off"),
        ("7f" + "ff" * 9 + "00", "too long"),
        ("7fffffffff07", "too large"),
        ("8220", "inside a header block"),
        ("3fe21f", "beyond what the settings allow"),
        ("4081ff00", "middle of a symbol"),
    ],
)
def test_what_is_no_hpack_ends_the_connection(block: str, text: str) -> None:
    code, message = failure(bytes.fromhex(block))
    assert (code, text in message) == (Code.COMPRESSION_ERROR, True), message


def test_what_has_left_the_table_cannot_be_referred_to() -> None:
    decoder = hpack.Decoder(1 << 16)
    for _ in range(125):
        decoder.decode(b"\x40\x01a\x01b")  # 34 bytes: 120 of these fit into 4096
    assert decoder.decode(b"\xff\x36") == ((b"a", b"b"),)  # the 120th
    with pytest.raises(ConnectionFault, match="beyond the table"):
        decoder.decode(b"\xff\x37")
    with pytest.raises(ConnectionFault, match="beyond the table"):
        decoder.decode(b"\x20\xbe")  # a table of size 0 holds nothing


def test_a_bomb_of_references_to_a_large_entry_is_stopped() -> None:
    entry = b"\x40\x01a\x7f\xd1\x0e" + b"x" * 2000  # an entry of 2 KB
    assert failure(entry + b"\xbe" * 60_000) == (Code.ENHANCE_YOUR_CALM, "a header block is a bomb")
