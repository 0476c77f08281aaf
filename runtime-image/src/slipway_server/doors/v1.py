"""The door of KServe's V1 protocol, which is TensorFlow Serving's REST API."""

from typing import TYPE_CHECKING, Final

from slipway_server.doors.door import (
    ANY,
    FLAG,
    PLAIN_ERROR,
    STRING,
    Body,
    Door,
    Form,
    ModelView,
    Seen,
    ServerView,
    record,
)
from slipway_server.state import Model, State
from slipway_server.transport.exchange import JSON, Exchange

if TYPE_CHECKING:
    from slipway_server.protocol.tensors import Array, Signature
    from slipway_server.protocol.v1_rest import PredictRequest

_BASES: Final = ("/v1/models/{model}", "/v1/models/{model}/versions/{version}")


class V1:
    """Implements ``Codec``."""

    def __init__(self, signature: "Signature") -> None:
        from slipway_server.protocol.v1_rest import V1Rest

        self._codec = V1Rest(signature)

    def decode(self, exchange: Exchange) -> "PredictRequest":
        """See ``Codec.decode``."""
        return self._codec.decode(bytes(exchange.body))

    def encode(self, request: "PredictRequest", arrays: "list[Array]") -> Body:
        """See ``Codec.encode``."""
        return (self._codec.encode(request, arrays),), JSON, b""


def _models(state: State) -> Seen:
    return 200, {"models": [model.identity.name for model in state.models]}


def _status(state: State, model: Model) -> Seen:
    """What KServe's clients read (name, ready) and what TensorFlow Serving's read."""
    ready = state.has(model)
    lifecycle = "AVAILABLE" if ready else "UNLOADING" if state.draining else "LOADING"
    version = {
        "version": model.identity.version,
        "state": lifecycle,
        "status": {"error_code": "OK", "error_message": ""},
    }
    body = {"name": model.identity.name, "ready": ready, "model_version_status": [version]}
    return (200 if ready else 503), body


def _metadata(_state: State, model: Model) -> Seen:
    from slipway_server.protocol.v1_rest import metadata

    return 200, metadata(model.serving().signature)


_REQUEST: Final = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "signature_name": STRING,
        "instances": {"type": "array", "minItems": 1, "items": ANY},
        "inputs": ANY,
    },
    "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
}
_ANSWER: Final = {
    "type": "object",
    "properties": {"predictions": {"type": "array"}, "outputs": ANY},
    "oneOf": [{"required": ["predictions"]}, {"required": ["outputs"]}],
}
_VERSION: Final = record(
    version=STRING, state=STRING, status=record(error_code=STRING, error_message=STRING)
)
_STATUS: Final = record(
    name=STRING, ready=FLAG, model_version_status={"type": "array", "items": _VERSION}
)
_OBJECT: Final = {"type": "object"}
DOOR: Final[Door] = Door(
    name="v1",
    infer=tuple(f"{base}:predict" for base in _BASES),
    codec=V1,
    form=Form(
        summary="Predict (KServe V1, TensorFlow Serving)",
        request={JSON.decode(): _REQUEST},
        answer={JSON.decode(): _ANSWER},
        error=PLAIN_ERROR,
    ),
    prefix="/v1/models/",
    server={
        "/v1/models": ServerView(
            "Names of the models", _models, record(models={"type": "array", "items": STRING})
        )
    },
    model={
        **dict.fromkeys(_BASES, ModelView("State of the model", _status, _STATUS)),
        **{
            f"{base}/metadata": ModelView(
                "Inputs and outputs, as TensorFlow Serving tells them",
                _metadata,
                record(model_spec=_OBJECT, metadata=_OBJECT),
            )
            for base in _BASES
        },
    },
)
