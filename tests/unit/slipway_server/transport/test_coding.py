import gzip
import zlib
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from slipway_server.transport.coding import (
    CODINGS,
    CodingError,
    Decoder,
    SizeError,
    chosen,
    encode,
)

THEIRS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"zstd": zstd.compress,
}
BACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.decompress,
    b"deflate": zlib.decompress,
    b"zstd": zstd.decompress,
}


def decoded(coding: bytes, data: bytes, *, piece: int = 1 << 20, room: int = 1 << 20) -> bytes:
    decoder, found = Decoder(coding), b""
    for start in range(0, len(data), piece):
        found += decoder.feed(data[start : start + piece], room=room - len(found))
    decoder.finish()
    return found


@given(st.sampled_from(CODINGS), st.binary(max_size=5000), st.integers(1, 400))
def test_what_others_encode_is_decoded_however_it_is_cut(
    coding: bytes, body: bytes, piece: int
) -> None:
    assert decoded(coding, THEIRS[coding](body), piece=piece) == body
    assert BACK[coding](encode(coding, body)) == body


@pytest.mark.parametrize("coding", CODINGS)
def test_members_may_follow_each_other(coding: bytes) -> None:
    both = THEIRS[coding](b"one") + THEIRS[coding](b"two")
    for piece in (1, 7, 1000):
        assert decoded(coding, both, piece=piece) == b"onetwo"


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_never_decoded_beyond_its_room(coding: bytes) -> None:
    bomb = THEIRS[coding](bytes(50_000_000))
    assert len(bomb) < 100_000
    for piece in (1000, 1 << 20):
        with pytest.raises(SizeError):
            decoded(coding, bomb, piece=piece, room=1_000_000)
    assert decoded(coding, THEIRS[coding](bytes(1000)), room=1000) == bytes(1000)
    with pytest.raises(SizeError):
        decoded(coding, THEIRS[coding](bytes(1001)), room=1000)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_that_is_cut_short_or_something_else_is_refused(coding: bytes) -> None:
    whole = THEIRS[coding](b"text" * 100)
    for cut in range(1, len(whole) - 1, 5):
        with pytest.raises(CodingError, match="is cut short"):
            decoded(coding, whole[:cut])
    with pytest.raises(CodingError, match=f"is not {coding.decode()}"):
        decoded(coding, b"nonsense" * 10)
    with pytest.raises(CodingError, match=f"is not {coding.decode()}"):
        decoded(coding, whole + b"nonsense" * 10)


@pytest.mark.parametrize("coding", CODINGS)
def test_members_that_decode_to_nothing_are_bounded(coding: bytes) -> None:
    empty = THEIRS[coding](b"")
    assert decoded(coding, empty * 1024) == b""
    with pytest.raises(CodingError, match="has more than 1024"):
        decoded(coding, empty * 1_000_000)


def test_a_zstd_window_that_needs_much_memory_is_refused() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27}
    greedy = zstd.ZstdCompressor(options=options)
    data = greedy.compress(bytes(1000)) + greedy.flush()
    with pytest.raises(CodingError, match="is not zstd"):
        decoded(b"zstd", data)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip, deflate", b"gzip"),  # requests
        (b"gzip, deflate, br, zstd", b"zstd"),  # browsers
        (b"gzip;q=1.0, zstd;q=0.5", b"gzip"),
        (b"gzip;q=0", b""),
        (b"identity", b""),
        (b"br", b""),
        (b"*", b"zstd"),
        (b"zstd;q=0, *", b"gzip"),
        (b"", b""),
        (b"GZIP", b"gzip"),
        (b"gzip;q=nonsense", b""),
        (b",,;;=", b""),
    ],
)
def test_the_clients_favourite_is_chosen(accepted: bytes, coding: bytes) -> None:
    assert chosen(accepted) == coding
