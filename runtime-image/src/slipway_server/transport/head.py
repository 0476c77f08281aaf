"""The head of a request: what framing, limits and doors need of it, and nothing else."""

import re
from collections.abc import Callable
from typing import Final

from slipway_server.transport import coding

# https://www.w3.org/TR/trace-context/#traceparent-header
_PARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VERSIONS: Final = ("1.1", "1.0")
Refusal = tuple[int, str]  # status and message


def too_long(limit: int) -> Refusal:
    """A head beyond its limit in bytes."""
    return 431, f"the request's head is larger than {limit} bytes"


def too_large(limit: int) -> Refusal:
    """A body beyond its limit in bytes."""
    return 413, f"the body is larger than {limit} bytes"


class Head:
    """The head of a request as far as it has been read.

    Attributes:
        target: as sent.
        size: bytes of the target and the headers.
        hosts: how many ``Host`` headers there are.
        length: ``Content-Length``.
        chunked, upgrade, expects: whether the body is chunked, another protocol is offered, the
            client waits for ``100 Continue``.
        json_length: ``Inference-Header-Content-Length``.
        content_type: as sent.
        coding: of the body; empty is none.
        accepts: the coding that an answer may have; empty is none.
        authorization: as sent.
        parent: ``traceparent``, if it is one.
        refusal: why the request is refused, if a header says so.
    """

    __slots__ = (
        "accepts", "authorization", "chunked", "coding", "content_type", "expects", "hosts",
        "json_length", "length", "parent", "refusal", "size", "target", "upgrade",
    )  # fmt: skip

    def __init__(self, target: bytes = b"") -> None:
        self.target = target
        self.size = 0
        self.hosts = 0
        self.length = 0
        self.chunked = False
        self.upgrade = False
        self.expects = False
        self.json_length: int | None = None
        self.content_type = b""
        self.coding = b""
        self.accepts = b""
        self.authorization = b""
        self.parent = b""
        self.refusal: Refusal | None = None

    def add(self, name: bytes, value: bytes) -> None:
        """Look at a header."""
        self.size += len(name) + len(value) + 4
        wanted = _HEADERS.get(name.lower())
        if wanted is not None:
            wanted(self, value)

    def problem(self, version: str, *, head_limit: int, body_limit: int) -> Refusal | None:
        """Why a complete head is refused before its body is read, or nothing.

        Args:
            version: of HTTP, as the request says.
            head_limit: bytes.
            body_limit: bytes.
        """
        if self.size > head_limit:
            return too_long(head_limit)
        if version not in _VERSIONS:
            return 400, f"the request is not valid HTTP/1.1: version {version}"
        if self.hosts != 1 and (self.hosts or version == "1.1"):
            return 400, "the request needs exactly one Host header"
        if self.refusal is not None:
            return self.refusal
        return too_large(body_limit) if self.length > body_limit else None

    def again(self, method: bytes, *, keeps: bool) -> bytes:
        """The same head without the offer of another protocol, for another parser."""
        lines = [b"%b %b HTTP/1.1\r\nhost: -" % (method, self.target)]
        if self.chunked:
            lines.append(b"transfer-encoding: chunked")
        else:
            lines.append(b"content-length: %d" % self.length)
        if self.json_length is not None:
            lines.append(b"inference-header-content-length: %d" % self.json_length)
        for name, value in (
            (b"content-type", self.content_type),
            (b"content-encoding", self.coding),
            (b"accept-encoding", self.accepts),
            (b"authorization", self.authorization),
            (b"traceparent", self.parent),
        ):
            if value:
                lines.append(b"%b: %b" % (name, value))
        if not keeps:
            lines.append(b"connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _refuse(self, status: int, message: str) -> None:
        if self.refusal is None:
            self.refusal = (status, message)

    def _content_length(self, value: bytes) -> None:
        if value.isdigit():
            self.length = int(value)

    def _transfer_encoding(self, _value: bytes) -> None:
        self.chunked = True  # the parser takes no other coding

    def _upgrade(self, _value: bytes) -> None:
        self.upgrade = True

    def _host(self, _value: bytes) -> None:
        self.hosts += 1

    def _json_length(self, value: bytes) -> None:
        if self.json_length is not None or not value.isdigit() or len(value) > 12:
            text = f"Inference-Header-Content-Length is {value[:40]!r}: send one number"
            self._refuse(400, f"header {text}")
        else:
            self.json_length = int(value)

    def _content_type(self, value: bytes) -> None:
        self.content_type = value

    def _expect(self, value: bytes) -> None:
        if value.lower() == b"100-continue":
            self.expects = True
        else:
            self._refuse(417, "this server meets no expectation but 100-continue")

    def _content_encoding(self, value: bytes) -> None:
        value = value.lower()
        if value in (b"", b"identity"):
            return
        if value not in coding.CODINGS or self.coding:
            known = b", ".join(coding.CODINGS).decode()
            text = f"Content-Encoding {value[:40]!r} is not supported: use one of {known}"
            self._refuse(415, text)
        self.coding = value

    def _accept_encoding(self, value: bytes) -> None:
        self.accepts = coding.chosen(value)

    def _authorization(self, value: bytes) -> None:
        self.authorization = value

    def _traceparent(self, value: bytes) -> None:
        if _PARENT.fullmatch(value):
            self.parent = value


_HEADERS: Final[dict[bytes, Callable[[Head, bytes], None]]] = {
    b"accept-encoding": Head._accept_encoding,  # noqa: SLF001 - a table of its own methods
    b"authorization": Head._authorization,  # noqa: SLF001 - as above
    b"content-encoding": Head._content_encoding,  # noqa: SLF001 - as above
    b"content-length": Head._content_length,  # noqa: SLF001 - as above
    b"content-type": Head._content_type,  # noqa: SLF001 - as above
    b"expect": Head._expect,  # noqa: SLF001 - as above
    b"host": Head._host,  # noqa: SLF001 - as above
    b"inference-header-content-length": Head._json_length,  # noqa: SLF001 - as above
    b"traceparent": Head._traceparent,  # noqa: SLF001 - as above
    b"transfer-encoding": Head._transfer_encoding,  # noqa: SLF001 - as above
    b"upgrade": Head._upgrade,  # noqa: SLF001 - as above
}
