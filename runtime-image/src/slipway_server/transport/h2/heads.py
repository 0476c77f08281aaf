"""What stands before and behind messages: requests' headers read, answers' written. Pure."""

import re
from dataclasses import dataclass
from typing import Final

from slipway_server.transport.h2 import hpack, messages
from slipway_server.transport.h2.fields import Headers

STATUS: Final = {
    name: str(number).encode()
    for number, name in enumerate(
        (
            "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
            "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
            "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
            "UNAUTHENTICATED",
        )
    )
}  # fmt: skip
_UNITS: Final = {72: 3600.0, 77: 60.0, 83: 1.0, 109: 1e-3, 117: 1e-6, 110: 1e-9}  # H M S m u n
_TIMEOUT: Final = re.compile(rb"[0-9]{1,8}[HMSmun]")
_CONTENT_TYPE: Final = re.compile(rb"application/grpc(?:[+;].*)?", re.IGNORECASE)
_UNSAFE: Final = re.compile(rb"[^ -$&-~]")
_MAX_MESSAGE: Final = 1024
_KEPT: Final = 32  # refusals
_HEADERS: Final = ((b":status", b"200"), (b"content-type", b"application/grpc"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of gRPC that is known from the headers already."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class NotGrpc:
    """A request that is none of gRPC; it is answered as HTTP."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Head:
    """A call's headers.

    Attributes:
        path: ``/package.Service/Method``.
        seconds: the client's timeout.
        encoding: of compressed messages.
        authorization: as sent.
        parent: ``traceparent``, as sent.
    """

    path: str
    seconds: float | None = None
    encoding: bytes = b"identity"
    authorization: bytes = b""
    parent: str = ""


def read(headers: Headers) -> Head | Refusal | NotGrpc:
    """What a request asks for."""
    if headers.fields is None:
        return Refusal("RESOURCE_EXHAUSTED", "the call has more metadata than this server takes")
    fields = dict(headers.fields)
    if not _CONTENT_TYPE.fullmatch(fields.get(b"content-type", b"")):
        return NotGrpc(415, "this port speaks gRPC: the content-type has to be application/grpc\n")
    if fields[b":method"] != b"POST":
        return NotGrpc(405, "this port speaks gRPC: the method has to be POST\n")
    seconds = None
    timeout = fields.get(b"grpc-timeout")
    if timeout is not None:
        if not _TIMEOUT.fullmatch(timeout):
            return Refusal("INTERNAL", "grpc-timeout is not up to 8 digits and one of H M S m u n")
        seconds = int(timeout[:-1]) * _UNITS[timeout[-1]]
    encoding = fields.get(b"grpc-encoding", b"identity")
    if not messages.encoding_is_known(encoding):
        known = messages.ENCODINGS.decode()
        return Refusal("UNIMPLEMENTED", f"grpc-encoding is not one of {known}")
    return Head(
        fields[b":path"].decode("latin-1"),
        seconds,
        encoding,
        fields.get(b"authorization", b""),
        fields.get(b"traceparent", b"").decode("latin-1"),
    )


class Blocks:
    """The header blocks of answers; all that a server sends often is made once.

    Attributes:
        headers: of every answer with a body.
        ok: trailers of one that went well.
    """

    def __init__(self, trailers: tuple[tuple[str, str], ...]) -> None:
        """Prepare; ``trailers`` are metadata of every answer."""
        self._extra = [(name.lower().encode(), value.encode()) for name, value in trailers]
        self._refusals: dict[tuple[str, str], bytes] = {}
        self.headers = hpack.encode(list(_HEADERS))
        self.ok = hpack.encode([(b"grpc-status", b"0"), *self._extra])

    def trailers(self, code: str, message: str) -> bytes:
        """Trailers of an error that comes behind messages."""
        return hpack.encode(self._status(code, message))

    def refusal(self, code: str, message: str) -> bytes:
        """An answer that is nothing but an error. A full queue tells everybody the same."""
        block = self._refusals.get((code, message))
        if block is None:
            fields = [*_HEADERS, *self._status(code, message)]
            if code == "UNIMPLEMENTED":
                fields.append((b"grpc-accept-encoding", messages.ENCODINGS))
            block = hpack.encode(fields)
            if len(self._refusals) >= _KEPT:
                self._refusals.clear()
            self._refusals[code, message] = block
        return block

    def http(self, answer: NotGrpc) -> tuple[bytes, bytes]:
        """Block and body of an answer in plain HTTP."""
        body = answer.text.encode()
        fields = [
            (b":status", str(answer.status).encode()),
            (b"content-type", b"text/plain"),
            (b"content-length", str(len(body)).encode()),
        ]
        return hpack.encode(fields), body

    def _status(self, code: str, message: str) -> list[hpack.Field]:
        fields = [(b"grpc-status", STATUS[code]), *self._extra]
        if message:
            fields.insert(1, (b"grpc-message", _percent_encoded(message)))
        return fields


def _percent_encoded(text: str) -> bytes:
    """As ``grpc-message`` needs it; what is very long is cut."""
    data = text.encode(errors="replace")[:_MAX_MESSAGE]
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], data)
