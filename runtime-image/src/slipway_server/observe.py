"""What is told of each request to those who asked: a JSON line, a span."""

import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

ACCESS: Final = "slipway_server.access"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered.

    Attributes:
        protocol: ``http`` or ``grpc``.
        method: HTTP's, or the path of the RPC.
        path: without its query, which may hold what is private; empty for gRPC.
        code: HTTP status or gRPC code.
        received, sent: bytes of the bodies.
        seconds: from the last byte of the request to the first of the answer.
        parent: ``traceparent`` as the client sent it, if it did.
    """

    protocol: str
    method: str
    path: str
    code: int | str
    received: int
    sent: int
    seconds: float
    parent: str = ""


Tell = Callable[[Request], None]


class Observer(Protocol):
    """Somebody who is told of requests."""

    def tell(self, request: Request) -> None:
        """A request was answered. Called on the loop: must be quick."""

    def close(self) -> None:
        """The server ends."""


class AccessLog:
    """Writes a JSON line on stdout for each request. Implements ``Observer``."""

    def __init__(self) -> None:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._log = logging.getLogger(ACCESS)
        self._log.handlers, self._log.propagate = [handler], False
        self._log.setLevel(logging.INFO)

    def tell(self, request: Request) -> None:
        """See ``Observer.tell``."""
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "protocol": request.protocol,
            "method": request.method,
            "path": request.path,
            "code": request.code,
            "received": request.received,
            "sent": request.sent,
            "ms": round(request.seconds * 1e3, 3),
            "traceparent": request.parent,
        }
        self._log.info("%s", json.dumps({key: value for key, value in line.items() if value != ""}))

    def close(self) -> None:
        """See ``Observer.close``."""


def together(observers: Sequence[Observer]) -> Tell | None:
    """One call that tells all of them; ``None`` when there are none."""
    if len(observers) < 2:
        return observers[0].tell if observers else None

    def tell(request: Request) -> None:
        for observer in observers:
            observer.tell(request)

    return tell
