"""The door of the Open Inference Protocol v2 over REST, which Triton and KServe speak."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from slipway.contract import REPLAY_DOOR, REPLAY_PATH
from slipway_server.doors.door import Body, Door, Seen
from slipway_server.state import Model, State
from slipway_server.transport.exchange import JSON, Exchange

if TYPE_CHECKING:
    from slipway_server.protocol.tensors import Array, InferRequest, Signature

_BINARY: Final = b"application/octet-stream"
_BASES: Final = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")


class V2:
    """Implements ``Codec``."""

    def __init__(self, signature: "Signature") -> None:
        from slipway_server.protocol.v2_rest import V2Rest

        self._codec = V2Rest(signature)

    def decode(self, exchange: Exchange) -> "InferRequest":
        """See ``Codec.decode``."""
        return self._codec.decode(exchange.body, exchange.json_length)

    def encode(self, request: "InferRequest", arrays: "list[Array]") -> Body:
        """See ``Codec.encode``."""
        parts, json_length = self._codec.encode(request, arrays)
        if json_length is None:
            return Body(parts, JSON)
        return Body(parts, _BINARY, b"inference-header-content-length: %d\r\n" % json_length)


def _alive(_state: State) -> Seen:
    return 200, {"live": True}


def _server_ready(state: State) -> Seen:
    single = state.single
    name = "slipway" if single is None else single.identity.name
    return _readiness(name, state.ready, state.reason(state.models))


def _model_ready(state: State, model: Model) -> Seen:
    return _readiness(model.identity.name, state.has(model), state.reason((model,)))


def _readiness(name: str, ready: bool, reason: str) -> Seen:  # noqa: FBT001 - private, a fact
    body: dict[str, object] = {"name": name, "ready": ready}
    if not ready:
        body["reason"] = reason
    return (200 if ready else 503), body


def _metadata(state: State) -> Seen:
    return 200, asdict(state.metadata())


def _model_metadata(_state: State, model: Model) -> Seen:
    return 200, model.serving().metadata()


DOOR: Final = Door(
    name="rest",
    infer=tuple(f"{base}/infer" for base in _BASES),
    codec=V2,
    prefix="/v2/models/",
    server={
        "/v2": _metadata,
        "/v2/health/live": _alive,
        "/v2/health/ready": _server_ready,
    },
    model={
        **dict.fromkeys(_BASES, _model_metadata),
        **{f"{base}/ready": _model_ready for base in _BASES},
    },
)
# What the operator replays is nobody's traffic, so it is counted apart.
REPLAY: Final = Door(name=REPLAY_DOOR, infer=(REPLAY_PATH,), codec=V2)
