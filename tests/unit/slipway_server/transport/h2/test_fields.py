"""What HTTP/2 itself asks of header fields."""

import pytest

from slipway_server.transport.h2.fields import Headers, trailers_fault
from tests.support import h2

GOOD = h2.call_fields()


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ([*GOOD, (b":path", b"/")], "pseudo"),
        ([(b":path", b"/x"), *GOOD], "pseudo"),
        ([(b":status", b"200"), *GOOD], "pseudo"),
        ([*GOOD[:4], (b"x", b""), (b":authority", b"")], "pseudo"),
        (GOOD[1:], "without method"),
        ([GOOD[0], *GOOD[2:]], "without method"),
        ([GOOD[0], GOOD[1], (b":path", b"")], "without method"),
        ([*GOOD, (b"Upper", b"")], "lower-case"),
        ([*GOOD, (b"", b"")], "lower-case"),
        ([*GOOD, (b"a b", b"")], "lower-case"),
        ([*GOOD, (b"connection", b"close")], "HTTP/1.1"),
        ([*GOOD, (b"transfer-encoding", b"chunked")], "HTTP/1.1"),
        ([*GOOD, (b"te", b"gzip")], "HTTP/1.1"),
        ([*GOOD, (b"x", b"a\r\nb")], "line break"),
        ([*GOOD, (b"x", b"\0")], "line break"),
        ([*GOOD, (b"content-length", b"1x")], "no number"),
        ([*GOOD, (b"content-length", b"1" * 30)], "no number"),
        ([*GOOD, (b"content-length", b"1"), (b"content-length", b"2")], "two values"),
    ],
)
def test_what_makes_a_request_malformed(fields: h2.Fields, fault: str) -> None:
    assert fault in (Headers(tuple(fields)).fault or "")


def test_a_good_request() -> None:
    headers = Headers((*GOOD, (b"content-length", b"7"), (b"content-length", b"7")))
    assert (headers.fault, headers.length) == (None, 7)


def test_trailers() -> None:
    assert trailers_fault(((b"x-sum", b"1"),)) is None
    for bad in ((b":path", b"/"), (b"Upper", b""), (b"connection", b""), (b"x", b"\n")):
        assert trailers_fault((bad,)) is not None
