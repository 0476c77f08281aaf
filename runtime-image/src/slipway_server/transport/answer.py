"""The bytes of an answer, and what is told of it."""

from collections.abc import Sequence
from time import monotonic

from slipway_server.observe import Request
from slipway_server.transport import coding
from slipway_server.transport.exchange import Exchange, HttpLimits


def compressed(
    exchange: Exchange, parts: Sequence[bytes], size: int, *, limits: HttpLimits
) -> tuple[Sequence[bytes], bytes]:
    """An answer's body as its client takes it, and the headers that say so.

    Args:
        exchange: says what the client accepts.
        parts: the body.
        size: of all parts.
        limits: which sizes are worth it.
    """
    accepts = exchange.head.accepts
    if not limits.coded_from <= size <= limits.coded_to:
        return parts, b""
    coded = coding.encode(accepts, b"".join(parts))
    if len(coded) >= size:
        return parts, b""
    return (coded,), b"content-encoding: %b\r\nvary: accept-encoding\r\n" % accepts


def seen(exchange: Exchange, status: int, sent: int) -> Request:
    """What observers are told.

    Args:
        exchange: what was asked.
        status: of the answer.
        sent: bytes of its body.
    """
    return Request(
        protocol="http",
        method=exchange.method.decode("ascii", "replace"),
        path=exchange.target.partition(b"?")[0].decode("ascii", "replace"),
        code=status,
        received=len(exchange.body),
        sent=sent,
        seconds=max(0.0, monotonic() - exchange.received),
        parent=exchange.head.parent.decode("ascii"),
    )
