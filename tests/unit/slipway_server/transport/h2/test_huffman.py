"""The Huffman code, against the tables and the coder of another library."""

import hpack
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given
from hypothesis import strategies as st

from slipway_server.transport.h2 import huffman

ENCODER = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


@given(st.binary(max_size=200))
def test_what_another_library_encodes_is_decoded(text: bytes) -> None:
    assert huffman.decode(ENCODER.encode(text)) == text


def test_every_symbol_is_known() -> None:
    text = bytes(range(256))
    assert huffman.decode(ENCODER.encode(text)) == text


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff\xff", b"\xff", b"\x00", b"\x1f\xff"],
    ids=["the end symbol", "eight bits of padding", "padding with zeros", "a byte of padding"],
)
def test_what_the_code_does_not_allow_is_refused(data: bytes) -> None:
    with pytest.raises(huffman.HuffmanError, match="ends in the middle"):
        huffman.decode(data)
    with pytest.raises(hpack.HPACKDecodingError):
        hpack.huffman_table.decode_huffman(data)
