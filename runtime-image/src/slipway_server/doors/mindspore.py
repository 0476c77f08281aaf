"""The door of MindSpore Serving's REST API."""

from typing import TYPE_CHECKING, Final

from slipway_server.doors.door import STRING, Body, Door, Form, record
from slipway_server.transport.exchange import JSON, Exchange

if TYPE_CHECKING:
    from slipway_server.protocol.tensors import Array, InferRequest, Signature


class Methods:
    """Implements ``Codec``."""

    def __init__(self, signature: "Signature") -> None:
        from slipway_server.protocol.mindspore import MindSpore

        self._codec = MindSpore(signature)

    def decode(self, exchange: Exchange) -> "InferRequest":
        """See ``Codec.decode``."""
        return self._codec.decode(bytes(exchange.body))

    def encode(self, request: "InferRequest", arrays: "list[Array]") -> Body:
        """See ``Codec.encode``."""
        return (self._codec.encode(request, arrays),), JSON, b""


def _error(_status: int, message: str) -> object:
    return {"error_msg": message}


_ROW: Final = {"type": "object", "minProperties": 1}
_ROWS: Final = {"type": "array", "minItems": 1, "items": _ROW}
# A model is one function here, so it has one method: others do what a client must do itself.
DOOR: Final[Door] = Door(
    name="mindspore",
    infer=("/model/{model}:predict", "/model/{model}/version/{version}:predict"),
    codec=Methods,
    form=Form(
        summary="Predict (MindSpore Serving)",
        request={
            JSON.decode(): {
                "type": "object",
                "required": ["instances"],
                "additionalProperties": False,
                "properties": {"instances": {"anyOf": [_ROW, _ROWS]}},
            }
        },
        answer={JSON.decode(): record(instances={"type": "array", "items": {"type": "object"}})},
        error=record(error_msg=STRING),
    ),
    prefix="/model/",
    error=_error,
)
