"""The one table from kinds of error to statuses of HTTP and of gRPC. Pure."""

from dataclasses import dataclass
from typing import Final

from slipway.contract import Outcome
from slipway.errors import Invalid, NotFound
from slipway_server.errors import DeadlineExpired, ModelFailed, NotReady, Overloaded

GRPC: Final = "grpc"
CLIENT_GONE: Final = 499


@dataclass(frozen=True, slots=True)
class Fault:
    """How an error is told.

    Attributes:
        status: of HTTP.
        code: of gRPC, by name.
        outcome: ``CLIENT_ERROR`` only when the client must change its request; a server that is
            full or late counts against the model that it serves.
    """

    status: int
    code: str
    outcome: Outcome


BUG: Final = Fault(500, "INTERNAL", Outcome.SERVER_ERROR)
_FAULTS: Final = (
    (NotFound, Fault(404, "NOT_FOUND", Outcome.CLIENT_ERROR)),
    (Invalid, Fault(400, "INVALID_ARGUMENT", Outcome.CLIENT_ERROR)),
    (Overloaded, Fault(429, "RESOURCE_EXHAUSTED", Outcome.SERVER_ERROR)),
    (DeadlineExpired, Fault(504, "DEADLINE_EXCEEDED", Outcome.SERVER_ERROR)),
    (NotReady, Fault(503, "UNAVAILABLE", Outcome.SERVER_ERROR)),
    (ModelFailed, Fault(500, "INTERNAL", Outcome.SERVER_ERROR)),
)


def fault_of(error: BaseException) -> Fault:
    """How to tell ``error``; what is no expected kind is a bug."""
    for kind, fault in _FAULTS:
        if isinstance(error, kind):
            return fault
    return BUG


def text_of(error: BaseException) -> str:
    """What the client reads: nothing of a bug's inside."""
    known = fault_of(error) is not BUG
    return str(error) if known else "internal error: see the server's log"
