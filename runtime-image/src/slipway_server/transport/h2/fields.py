"""What a request's header fields must be for HTTP/2 itself (RFC 9113, section 8). Pure."""

import re
from typing import Final

from slipway_server.transport.h2.hpack import Field

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE: Final = re.compile(rb"[^\0\r\n]*")
_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority"))
_OF_A_CONNECTION: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)
_MAX_DIGITS: Final = 15


class Headers:
    """The header list of a request, checked.

    Attributes:
        fields: as sent; ``None`` when they are more than the limit.
        fault: what makes the request malformed, or ``None``.
        length: value of ``content-length``.
        parsed: what the layer above made of it. Blocks that repeat share one object, so it is made
            once.
    """

    __slots__ = ("fault", "fields", "length", "parsed")

    def __init__(self, fields: tuple[Field, ...] | None) -> None:
        self.fields = fields
        self.length: int | None = None
        self.parsed: object = None
        self.fault = self._check(fields) if fields is not None else None

    def _check(self, fields: tuple[Field, ...]) -> str | None:
        pseudo: dict[bytes, bytes] = {}
        regular = False
        for name, value in fields:
            if name.startswith(b":"):
                if regular or name in pseudo or name not in _PSEUDO:
                    return "a pseudo-header field that is unknown, repeated or late"
                pseudo[name] = value
            else:
                regular = True
                fault = self._check_regular(name, value)
                if fault is not None:
                    return fault
            if not _VALUE.fullmatch(value):
                return "a header value with a line break or a zero byte"
        if not pseudo.get(b":method") or b":scheme" not in pseudo or not pseudo.get(b":path"):
            return "a request without method, scheme or path"
        return None

    def _check_regular(self, name: bytes, value: bytes) -> str | None:
        if not _NAME.fullmatch(name):
            return "a header name that is no lower-case token"
        if name in _OF_A_CONNECTION or (name == b"te" and value != b"trailers"):
            return "a header field of HTTP/1.1 connections"
        if name == b"content-length":
            if not value.isdigit() or len(value) > _MAX_DIGITS:
                return "a content-length that is no number"
            if self.length is not None and self.length != int(value):
                return "two values of content-length"
            self.length = int(value)
        return None


def trailers_fault(fields: tuple[Field, ...]) -> str | None:
    """What makes trailers malformed, or ``None``."""
    for name, value in fields:
        if not _NAME.fullmatch(name) or name in _OF_A_CONNECTION or not _VALUE.fullmatch(value):
            return "a trailer that is a pseudo-header field or malformed"
    return None
