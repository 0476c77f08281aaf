"""gRPC messages: any cut of the bytes means the same, and sizes are bounded."""

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_server.transport.h2.messages import MessageReader, prefixed
from slipway_server.transport.rpc import RpcRefused
from tests.support import h2

LIMIT = 1000
OVER = gzip.compress(bytes(LIMIT + 1), mtime=0)
BOMB = gzip.compress(bytes(10**7), mtime=0)[:900]
BODIES = st.lists(st.binary(max_size=80), max_size=6)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(BODIES, st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cut_gives_the_same_messages(bodies: list[bytes], places: list[int]) -> None:
    reader = MessageReader(LIMIT, b"identity")
    stream = b"".join(b"".join(prefixed(body)) for body in bodies)
    found = [one for piece in cut(stream, places) for one in reader.feed(memoryview(piece))]
    assert ([bytes(one) for one in found], reader.held) == (bodies, 0)


def test_what_waits_is_counted() -> None:
    reader = MessageReader(LIMIT, b"identity")
    assert reader.feed(b"\0\0\0\0") == []
    assert reader.held == 4
    assert reader.feed(b"\x05abc") == []
    assert reader.held == 8
    assert reader.feed(b"de" + h2.message(b"f")) == [b"abcde", b"f"]
    assert reader.held == 0


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [(b"gzip", gzip.compress(b"abc" * 99, mtime=0)), (b"deflate", zlib.compress(b"abc" * 99))],
)
def test_compressed_messages_are_read(encoding: bytes, packed: bytes) -> None:
    reader = MessageReader(LIMIT, encoding)
    assert reader.feed(h2.message(packed, flag=1) + h2.message(b"plain")) == [b"abc" * 99, b"plain"]


@pytest.mark.parametrize(
    ("data", "encoding", "code", "text"),
    [
        (h2.message(bytes(LIMIT + 1)), b"identity", "RESOURCE_EXHAUSTED", "1001 bytes: at most"),
        (b"\0\xff\xff\xff\xff", b"identity", "RESOURCE_EXHAUSTED", "4294967295 bytes: at most"),
        (h2.message(OVER, flag=1), b"gzip", "RESOURCE_EXHAUSTED", "after decompression"),
        (h2.message(BOMB, flag=1), b"gzip", "RESOURCE_EXHAUSTED", "after decompression"),
        (h2.message(gzip.compress(b"abc", mtime=0)[:-1], flag=1), b"gzip", "INTERNAL", "cut off"),
        (h2.message(b"nonsense", flag=1), b"gzip", "INTERNAL", "cannot be decompressed"),
        (h2.message(b"abc", flag=1), b"identity", "INTERNAL", "names no way"),
        (h2.message(b"abc", flag=2), b"gzip", "INTERNAL", "begins with 2"),
    ],
)  # fmt: skip
def test_what_is_too_large_or_unreadable_is_refused(
    data: bytes, encoding: bytes, code: str, text: str
) -> None:
    with pytest.raises(RpcRefused) as caught:
        MessageReader(LIMIT, encoding).feed(data)
    assert (caught.value.code, text in str(caught.value)) == (code, True), str(caught.value)


def test_a_promise_of_a_large_message_reserves_nothing() -> None:
    reader = MessageReader(1 << 30, b"identity")
    reader.feed(b"\0\x3f\xff\xff\xffabc")
    assert reader.held == 8
