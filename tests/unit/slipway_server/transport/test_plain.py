"""Large bodies go past the parser, and nobody can tell."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_server.transport.exchange import HttpLimits
from tests.support.connections import Owner, talk

POST = b"POST /a HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n"


def post(size: int, *lines: bytes) -> bytes:
    body = bytes(n % 251 for n in range(size))
    return POST + b"Content-Length: %d\r\n" % size + b"".join(lines) + b"\r\n" + body


def answers(stream: bytes, piece: int, plain_from: int) -> list[bytes]:
    owner = Owner()
    owner.limits = replace(HttpLimits(head=2000, body=4000, buffered=8000), plain_from=plain_from)
    return talk(owner, stream, piece)


REQUESTS = {
    "large": post(300),
    "small": post(5),
    "at the bound": post(40),
    "none": GET,
    "chunked": POST + b"Transfer-Encoding: chunked\r\n\r\n60\r\n" + b"x" * 96 + b"\r\n0\r\n\r\n",
    "expects": post(200, b"Expect: 100-continue\r\n"),
    "upgrades": post(100, b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
    "bare lines": post(100).replace(b"\r\n", b"\n", 2),
    "too large": post(4001),
    "closes": post(100, b"Connection: close\r\n"),
    "broken": b"\r\n\r\n\x00 nothing\r\n\r\n",
}


@given(
    st.lists(st.sampled_from(sorted(REQUESTS)), min_size=1, max_size=5),
    st.integers(1, 700),
)
def test_answers_are_those_that_the_parser_alone_gives(names: list[str], piece: int) -> None:
    stream = b"".join(REQUESTS[name] for name in names)
    assert answers(stream, piece, 40) == answers(stream, piece, 1 << 20)


@pytest.mark.parametrize("piece", [1, 64, 1 << 16])
def test_what_follows_a_large_body_is_the_next_request(piece: int) -> None:
    found = answers(post(300) + GET + post(301), piece, 40)
    assert [
        b"content-length: %d" % size in one for size, one in zip((300, 0, 301), found, strict=True)
    ]
    assert found[2].endswith(post(301)[-301:])
