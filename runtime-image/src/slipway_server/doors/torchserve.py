"""The door of TorchServe's and MXNet Model Server's inference API."""

from typing import TYPE_CHECKING, Final

from slipway_server.doors.door import (
    ANY,
    POST,
    PUT,
    STRING,
    Body,
    Door,
    Form,
    Seen,
    ServerView,
    record,
)
from slipway_server.state import State
from slipway_server.transport.exchange import JSON, Exchange

if TYPE_CHECKING:
    from slipway_server.protocol.tensors import Array, Signature
    from slipway_server.protocol.torchserve import PredictionRequest

_TYPES: Final = {
    400: "BadRequestException",
    404: "ModelNotFoundException",
    405: "MethodNotAllowedException",
    503: "ServiceUnavailableException",
}


class Predictions:
    """Implements ``Codec``."""

    def __init__(self, signature: "Signature") -> None:
        from slipway_server.protocol.torchserve import TorchServe

        self._codec = TorchServe(signature)

    def decode(self, exchange: Exchange) -> "PredictionRequest":
        """See ``Codec.decode``."""
        return self._codec.decode(bytes(exchange.body), exchange.head.content_type)

    def encode(self, request: "PredictionRequest", arrays: "list[Array]") -> Body:
        """See ``Codec.encode``."""
        return (self._codec.encode(request, arrays),), JSON, b""


def _ping(state: State) -> Seen:
    """Releases of the two servers differ in the key: clients look for one or the other."""
    if state.ready:
        return 200, {"status": "Healthy", "health": "healthy!"}
    return 500, {"status": "Unhealthy", "health": "unhealthy"}


def _error(status: int, message: str) -> object:
    kind = _TYPES.get(status, "InternalServerException" if status >= 500 else _TYPES[400])
    return {"code": status, "type": kind, "message": message}


_BYTES: Final = {"type": "string", "format": "binary"}
DOOR: Final[Door] = Door(
    name="torchserve",
    infer=("/predictions/{model}", "/predictions/{model}/{version}"),
    codec=Predictions,
    form=Form(
        summary="Predict (TorchServe, MXNet Model Server)",
        request={
            JSON.decode(): ANY,
            "multipart/form-data": {"type": "object", "properties": {"data": _BYTES}},
            "application/octet-stream": _BYTES,
        },
        answer={JSON.decode(): ANY},
        error=record(code={"type": "integer"}, type=STRING, message=STRING),
    ),
    methods=(POST, PUT),  # curl -T sends PUT
    prefix="/predictions/",
    server={
        "/ping": ServerView("Health", _ping, record(status=STRING, health=STRING)),
    },
    error=_error,
)
