"""The door of the Open Inference Protocol v2 over REST, which Triton and KServe speak."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from slipway.contract import REPLAY_DOOR, REPLAY_PATH
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
        return self._codec.decode(exchange.body, exchange.head.json_length)

    def encode(self, request: "InferRequest", arrays: "list[Array]") -> Body:
        """See ``Codec.encode``."""
        parts, json_length = self._codec.encode(request, arrays)
        if json_length is None:
            return parts, JSON, b""
        return parts, _BINARY, b"inference-header-content-length: %d\r\n" % json_length


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


_SHAPE: Final = {"type": "array", "items": {"type": "integer"}}
_TENSOR: Final = record(name=STRING, datatype=STRING, shape=_SHAPE)
_TENSORS: Final = {"type": "array", "items": _TENSOR}
_OPTIONS: Final = {"type": "object"}
_MODEL: Final = record(
    name=STRING,
    versions={"type": "array", "items": STRING},
    platform=STRING,
    inputs=_TENSORS,
    outputs=_TENSORS,
    parameters=_OPTIONS,
)
_REQUEST: Final = {
    "type": "object",
    "required": ["inputs"],
    "additionalProperties": False,
    "properties": {
        "id": STRING,
        "model_name": STRING,
        "model_version": STRING,
        "parameters": _OPTIONS,
        "inputs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "additionalProperties": False,
                "properties": {
                    "name": STRING,
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
                    "datatype": STRING,
                    "parameters": _OPTIONS,
                    "data": {"type": "array", "items": ANY},
                },
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {"name": STRING, "parameters": _OPTIONS},
            },
        },
    },
}
_ANSWER: Final = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": STRING,
        "model_version": STRING,
        "id": STRING,
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "datatype", "shape"],
                "properties": {
                    "name": STRING,
                    "datatype": STRING,
                    "shape": _SHAPE,
                    "data": {"type": "array"},
                    "parameters": _OPTIONS,
                },
            },
        },
    },
}
_READY: Final = {
    "type": "object",
    "required": ["name", "ready"],
    "properties": {"name": STRING, "ready": FLAG, "reason": STRING},
}
_BYTES: Final = {"type": "string", "format": "binary"}
DOOR: Final[Door] = Door(
    name="rest",
    infer=tuple(f"{base}/infer" for base in _BASES),
    codec=V2,
    form=Form(
        summary="Infer (Open Inference Protocol v2), also with binary tensors",
        request={JSON.decode(): _REQUEST},
        answer={JSON.decode(): _ANSWER, _BINARY.decode(): _BYTES},
        error=PLAIN_ERROR,
    ),
    prefix="/v2/models/",
    server={
        "/v2": ServerView(
            "Name, version and extensions of the server",
            _metadata,
            record(name=STRING, version=STRING, extensions={"type": "array", "items": STRING}),
        ),
        "/v2/health/live": ServerView("Whether the process lives", _alive, record(live=FLAG)),
        "/v2/health/ready": ServerView("Whether every model is ready", _server_ready, _READY),
    },
    model={
        **dict.fromkeys(_BASES, ModelView("Inputs and outputs", _model_metadata, _MODEL)),
        **{
            f"{base}/ready": ModelView("Whether the model is ready", _model_ready, _READY)
            for base in _BASES
        },
    },
)
# What the operator replays is nobody's traffic, so it is counted apart.
REPLAY: Final[Door] = Door(name=REPLAY_DOOR, infer=(REPLAY_PATH,), codec=V2)
