"""The gRPC door: the six methods of the Open Inference Protocol v2, and health checks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from slipway.errors import SlipwayError
from slipway_server.doors import outcomes
from slipway_server.doors.grpc_infer import InferMethod
from slipway_server.doors.guard import TokenGuard
from slipway_server.observe import Tell
from slipway_server.protocol.pb import health_pb2 as health
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from slipway_server.protocol.tensors import TensorSpec
from slipway_server.state import Model, State
from slipway_server.transport.rpc import Deferred, Method, RpcRefused, Watch
from slipway_server.transport.rpc import Message as Bytes

SERVICE: Final = "inference.GRPCInferenceService"
HEALTH: Final = "grpc.health.v1.Health"
_INFER: Final = f"{SERVICE}/ModelInfer"
_OPEN: Final = frozenset(
    (f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady", f"/{HEALTH}/Check", f"/{HEALTH}/Watch")
)
_M = TypeVar("_M", bound=Message)


class GrpcDoor:
    """The methods by path; each message names its model."""

    def __init__(
        self, state: State, *, clock: Callable[[], float], observer: Tell | None = None
    ) -> None:
        self._state = state
        self._infer = InferMethod(state, _INFER, clock=clock, observer=observer)

    def deferred(self) -> dict[str, Deferred]:
        """What is called often, by full path."""
        return {f"/{_INFER}": self._infer}

    def methods(self) -> dict[str, Method]:
        """Methods of one message and one answer, by full path."""
        return {
            f"/{SERVICE}/ServerLive": self._server_live,
            f"/{SERVICE}/ServerReady": self._server_ready,
            f"/{SERVICE}/ModelReady": self._model_ready,
            f"/{SERVICE}/ServerMetadata": self._server_metadata,
            f"/{SERVICE}/ModelMetadata": self._model_metadata,
            f"/{HEALTH}/Check": self._check,
        }

    def watches(self) -> dict[str, Watch]:
        """Methods that go on answering, by full path."""
        return {f"/{HEALTH}/Watch": self._watch}

    # ---- everything else

    async def _server_live(self, request: Bytes, *, seconds: float | None) -> bytes:
        del request, seconds
        return pb.ServerLiveResponse(live=True).SerializeToString()

    async def _server_ready(self, request: Bytes, *, seconds: float | None) -> bytes:
        del request, seconds
        return pb.ServerReadyResponse(ready=self._state.ready).SerializeToString()

    async def _model_ready(self, request: Bytes, *, seconds: float | None) -> bytes:
        del seconds
        message = _parsed(pb.ModelReadyRequest, request)
        model = self._model(message.name, message.version)
        return pb.ModelReadyResponse(ready=self._state.has(model)).SerializeToString()

    async def _server_metadata(self, request: Bytes, *, seconds: float | None) -> bytes:
        del request, seconds
        server = self._state.metadata()
        answer = pb.ServerMetadataResponse(
            name=server.name, version=server.version, extensions=server.extensions
        )
        return answer.SerializeToString()

    async def _model_metadata(self, request: Bytes, *, seconds: float | None) -> bytes:
        del seconds
        message = _parsed(pb.ModelMetadataRequest, request)
        model = self._model(message.name, message.version)
        try:
            plane = model.serving()
        except SlipwayError as error:
            raise RpcRefused(outcomes.fault_of(error).code, str(error)) from error
        signature = plane.signature
        answer = pb.ModelMetadataResponse(
            name=signature.identity.name,
            versions=[signature.identity.version],
            platform=plane.platform,
            inputs=[_tensor(spec) for spec in signature.inputs],
            outputs=[_tensor(spec) for spec in signature.outputs],
        )
        return answer.SerializeToString()

    async def _check(self, request: Bytes, *, seconds: float | None) -> bytes:
        del seconds
        message = _parsed(health.HealthCheckRequest, request)
        if message.service not in ("", SERVICE):
            self._model(message.service, "")
        return health.HealthCheckResponse(status=self._status(message.service)).SerializeToString()

    async def _watch(
        self, request: Bytes, *, ending: "asyncio.Future[None]"
    ) -> AsyncIterator[bytes]:
        """Tell the status now and whenever it is another one."""
        service = _parsed(health.HealthCheckRequest, request).service
        told = None
        while not ending.done():
            changed = self._state.changed()
            status = self._status(service)
            if status != told:
                told = status
                yield health.HealthCheckResponse(status=status).SerializeToString()
            await asyncio.wait((changed, ending), return_when=asyncio.FIRST_COMPLETED)
        raise RpcRefused("UNAVAILABLE", "the connection ends: watch on another one")

    def _status(self, service: str) -> health.HealthCheckResponse.ServingStatus:
        kind = health.HealthCheckResponse
        if service in ("", SERVICE):
            return kind.SERVING if self._state.ready else kind.NOT_SERVING
        try:
            model = self._state.model(service)
        except SlipwayError:
            return kind.SERVICE_UNKNOWN
        return kind.SERVING if self._state.has(model) else kind.NOT_SERVING

    def _model(self, name: str, version: str) -> Model:
        try:
            return self._state.model(name, version)
        except SlipwayError as error:
            raise RpcRefused(outcomes.fault_of(error).code, str(error)) from error


def allows(guard: TokenGuard, path: str, authorization: bytes) -> bool:
    """Whether a call may be made: health is open, as over HTTP."""
    return path in _OPEN or guard.allows(authorization)


def _parsed(kind: type[_M], data: Bytes) -> _M:
    try:
        return kind.FromString(bytes(data))
    except DecodeError as error:
        raise RpcRefused("INVALID_ARGUMENT", f"the message is not a {kind.__name__}") from error


def _tensor(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.datatype, shape=spec.shape
    )
