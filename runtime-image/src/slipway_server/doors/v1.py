"""The door of KServe's V1 protocol, which is TensorFlow Serving's REST API."""

from typing import TYPE_CHECKING, Final

from slipway_server.doors.door import Body, Door, Seen
from slipway_server.state import Model, State
from slipway_server.transport.exchange import Exchange

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
        return self._codec.decode(exchange.body)

    def encode(self, request: "PredictRequest", arrays: "list[Array]") -> Body:
        """See ``Codec.encode``."""
        return Body((self._codec.encode(request, arrays),))


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


DOOR: Final = Door(
    name="v1",
    infer=tuple(f"{base}:predict" for base in _BASES),
    codec=V1,
    prefix="/v1/models/",
    server={"/v1/models": _models},
    model={
        **dict.fromkeys(_BASES, _status),
        **{f"{base}/metadata": _metadata for base in _BASES},
    },
)
