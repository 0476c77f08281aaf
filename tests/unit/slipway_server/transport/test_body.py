import gzip

import numpy as np
import pytest

from slipway_server.transport.body import LARGE, Body, BodyRefused, plain_left
from slipway_server.transport.head import Head


def head(*lines: tuple[bytes, bytes]) -> Head:
    found = Head(b"/")
    for name, value in lines:
        found.add(name, value)
    return found


def test_pieces_become_one() -> None:
    body = Body(100)
    assert [body.add(b"ab"), body.add(memoryview(b"cde"))] == [2, 3]
    assert (body.size, body.whole(head())) == (5, b"abcde")


def test_one_piece_is_not_copied_and_none_is_empty() -> None:
    body, piece = Body(100), b"abc" * 10
    body.add(piece)
    assert body.whole(head()) is piece
    assert Body(100).whole(head()) == b""


@pytest.mark.parametrize("json_length", [1, 7, 8, 100, 4093])
def test_tensors_of_a_large_body_lie_aligned(json_length: int) -> None:
    data = bytes(range(256)) * (LARGE // 128)
    body = Body(1 << 20)
    body.add(memoryview(data)[:1000])
    body.add(data[1000:])
    asked = head((b"Inference-Header-Content-Length", b"%d" % json_length))
    whole = memoryview(body.whole(asked))
    assert whole == data
    assert hash(whole[:json_length]) == hash(data[:json_length])
    numbers = whole[json_length:]
    assert np.frombuffer(numbers[: len(numbers) // 8 * 8], np.float64).flags.aligned


def test_a_body_beyond_its_limit_is_refused() -> None:
    body = Body(3)
    body.add(b"abc")
    with pytest.raises(BodyRefused, match="larger than 3 bytes") as caught:
        body.add(b"d")
    assert caught.value.refusal[0] == 413


def test_what_is_compressed_is_decoded_within_the_limit() -> None:
    data = gzip.compress(b"body" * 100)
    body = Body(1000)
    body.decode(b"gzip")
    assert sum(body.add(memoryview(data)[n : n + 5]) for n in range(0, len(data), 5)) == 400
    body.finish()
    assert body.whole(head()) == b"body" * 100
    for limit, status in ((399, 413), (1000, 400)):
        other = Body(limit)
        other.decode(b"gzip")
        with pytest.raises(BodyRefused) as caught:
            other.add(data if status == 413 else b"no gzip at all, and much longer")
        assert caught.value.refusal[0] == status
    cut = Body(1000)
    cut.decode(b"gzip")
    cut.add(data[:-1])
    with pytest.raises(BodyRefused, match="is cut short"):
        cut.finish()


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ((b"Content-Length", b"101"), 90),
        ((b"Content-Length", b"100"), 0),
        ((b"Transfer-Encoding", b"chunked"), 0),
    ],
)
def test_the_rest_of_a_large_body_of_a_known_length_needs_no_parser(
    line: tuple[bytes, bytes], left: int
) -> None:
    assert plain_left(head(line), 11, beyond=100) == left
    assert plain_left(head(line, (b"Content-Encoding", b"gzip")), 11, beyond=100) == 0
