"""The HTTP doors: Open Inference Protocol v2 and KServe V1, health, metrics."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from slipway.contract import REPLAY_DOOR, REPLAY_PATH, Outcome
from slipway.errors import SlipwayError
from slipway_server.doors import outcomes
from slipway_server.errors import NonFiniteOutput
from slipway_server.metrics import CONTENT_TYPE, Metrics
from slipway_server.state import State
from slipway_server.transport.exchange import JSON, Exchange

if TYPE_CHECKING:  # numpy is imported while the model downloads, after the doors opened
    from slipway_server.batch import Job
    from slipway_server.batch import Outcome as Answer
    from slipway_server.protocol.tensors import Array, InferRequest, Signature
    from slipway_server.protocol.v1_rest import PredictRequest

_LOG = logging.getLogger("slipway_server.rest")
_BINARY: Final = b"application/octet-stream"
_GET: Final = b"GET"
_POST: Final = b"POST"
Handle = Callable[[Exchange], None]
Body = tuple[tuple[bytes, ...], bytes, bytes]  # parts, content type, further header lines


@dataclass(frozen=True, slots=True)
class _Door:
    """A protocol: its name in metrics, and its codec."""

    name: str
    decode: "Callable[[Exchange], InferRequest]"
    encode: "Callable[[Any, list[Array]], Body]"


class _Call:
    """One inference request between its decoding and its answer."""

    __slots__ = ("_door", "_exchange", "_rest", "job", "request")

    def __init__(self, rest: "RestDoor", door: _Door, exchange: Exchange) -> None:
        self._rest = rest
        self._door = door
        self._exchange = exchange
        self.request: InferRequest | None = None
        self.job: Job | None = None

    def answer(self, outcome: "Answer") -> None:
        """The model has answered."""
        door, exchange = self._door, self._exchange
        if isinstance(outcome, BaseException):
            self._rest.fail(door.name, exchange, outcome)
            return
        try:
            parts, content_type, headers = door.encode(self.request, outcome)
        except SlipwayError as error:
            self._rest.fail(door.name, exchange, error)
            return
        self._rest.count(door.name, 200, Outcome.SUCCESS, exchange)
        exchange.reply(200, parts, content_type=content_type, headers=headers)

    def abandon(self) -> None:
        """The client has left: the job is dropped, or its answer is."""
        if self.job is not None:
            self.job.done = None
        self._rest.count(
            self._door.name, outcomes.CLIENT_GONE, Outcome.CLIENT_ERROR, self._exchange
        )


class RestDoor:
    """Finds the handler of a request; every path that exists is in one table."""

    def __init__(self, state: State, metrics: Metrics, *, clock: Callable[[], float]) -> None:
        self._state = state
        self._metrics = metrics
        self._clock = clock
        self._name = state.identity.name
        v2 = f"/v2/models/{self._name}"
        versioned = f"{v2}/versions/{state.identity.version}"
        v1 = f"/v1/models/{self._name}"
        self._routes: dict[bytes, tuple[bytes, Handle]] = {
            b"/": (_GET, self._alive),
            b"/v2": (_GET, self._server),
            b"/v2/health/live": (_GET, self._live),
            b"/v2/health/ready": (_GET, self._ready),
            b"/v1/models": (_GET, self._v1_models),
            v1.encode(): (_GET, self._v1_model),
            b"/metrics": (_GET, self._render),
        }
        for base in (v2, versioned):
            self._routes[base.encode()] = (_GET, self._model)
            self._routes[f"{base}/ready".encode()] = (_GET, self._ready)
        self._infer_paths = {
            f"{v2}/infer".encode(): outcomes.REST,
            f"{versioned}/infer".encode(): outcomes.REST,
            f"{v1}:predict".encode(): outcomes.V1,
            REPLAY_PATH.format(model=self._name).encode(): REPLAY_DOOR,
        }
        for path, door in self._infer_paths.items():
            self._routes[path] = (_POST, partial(self._not_ready, door))

    def open(self, signature: "Signature") -> None:
        """Start to take inference requests; the model is loaded."""
        from slipway_server.protocol.v1_rest import V1Rest
        from slipway_server.protocol.v2_rest import V2Rest

        v2, v1 = V2Rest(signature), V1Rest(signature)

        def encode_v2(request: "InferRequest", arrays: "list[Array]") -> Body:
            parts, json_length = v2.encode(request, arrays)
            if json_length is None:
                return parts, JSON, b""
            return parts, _BINARY, b"inference-header-content-length: %d\r\n" % json_length

        def encode_v1(request: "PredictRequest", arrays: "list[Array]") -> Body:
            return (v1.encode(request, arrays),), JSON, b""

        doors = {
            outcomes.REST: _Door(
                outcomes.REST,
                lambda exchange: v2.decode(exchange.body, exchange.json_length),
                encode_v2,
            ),
            outcomes.V1: _Door(outcomes.V1, lambda exchange: v1.decode(exchange.body), encode_v1),
        }
        doors[REPLAY_DOOR] = replace(doors[outcomes.REST], name=REPLAY_DOOR)
        for path, name in self._infer_paths.items():
            self._routes[path] = (_POST, partial(self._infer, doors[name]))

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        route = self._routes.get(exchange.target) or self._routes.get(_plain(exchange.target))
        if route is None:
            self._tell(exchange, 404, _unknown(exchange.target, self._name))
            return
        method, handler = route
        given = exchange.method
        if given == method or (given == b"HEAD" and method == _GET):
            handler(exchange)
            return
        allowed = b"GET, HEAD" if method == _GET else method
        headers = b"allow: %b\r\n" % allowed
        text = f"method {_shown(given)} is not allowed here: use {allowed.decode()}"
        self._tell(exchange, 405, text, headers=headers)

    def refuse(self, exchange: Exchange, status: int, message: str) -> None:
        """Answer a request that the transport could not take."""
        door = self._infer_paths.get(_plain(exchange.target))
        if door is not None:
            fault = Outcome.CLIENT_ERROR if status not in (429, 500) else Outcome.SERVER_ERROR
            seconds = max(0.0, self._clock() - exchange.received)
            self._metrics.observe(door, status, outcome=fault, seconds=seconds)
        headers = b"retry-after: 1\r\n" if status == 429 else b""
        self._tell(exchange, status, message, headers=headers)

    # ---- inference

    def _infer(self, door: "_Door", exchange: Exchange) -> None:
        self._metrics.in_flight += 1
        call = _Call(self, door, exchange)
        try:
            plane = self._state.serving()
            request = call.request = door.decode(exchange)
            call.job = plane.infer(request, exchange.received, call.answer)
        except SlipwayError as error:
            self.fail(door.name, exchange, error)
            return
        except BaseException:
            self._metrics.in_flight -= 1
            raise
        exchange.abandoned = call.abandon

    def fail(self, door: str, exchange: Exchange, error: BaseException) -> None:
        """Answer and count a request that was taken and failed."""
        fault = outcomes.fault_of(error)
        if fault is outcomes.BUG:
            _LOG.error("a request hit a bug", exc_info=error)
        if isinstance(error, NonFiniteOutput):
            self._metrics.nonfinite += 1
        self.count(door, fault.status, fault.outcome, exchange)
        later = getattr(error, "retry_after", None) is not None
        headers = b"retry-after: 1\r\n" if later else b""
        self._tell(exchange, fault.status, outcomes.text_of(error), headers=headers)

    def count(self, door: str, code: int, outcome: Outcome, exchange: Exchange) -> None:
        """Count a request that was taken and is answered now."""
        metrics = self._metrics
        metrics.in_flight -= 1
        seconds = self._clock() - exchange.received
        metrics.observe(door, code, outcome=outcome, seconds=seconds)

    def _not_ready(self, door: str, exchange: Exchange) -> None:
        self._metrics.in_flight += 1
        try:
            self._state.serving()
        except SlipwayError as error:
            self.fail(door, exchange, error)

    # ---- everything else

    def _alive(self, exchange: Exchange) -> None:
        _json(exchange, 200, {"status": "alive"})

    def _live(self, exchange: Exchange) -> None:
        _json(exchange, 200, {"live": True})

    def _ready(self, exchange: Exchange) -> None:
        ready = self._state.ready
        body: dict[str, object] = {"name": self._name, "ready": ready}
        if not ready:
            body["reason"] = "draining" if self._state.draining else self._state.phase
        _json(exchange, 200 if ready else 503, body)

    def _server(self, exchange: Exchange) -> None:
        _json(exchange, 200, asdict(self._state.metadata()))

    def _model(self, exchange: Exchange) -> None:
        try:
            _json(exchange, 200, self._state.serving().metadata())
        except SlipwayError as error:
            self._tell(exchange, outcomes.fault_of(error).status, str(error))

    def _v1_models(self, exchange: Exchange) -> None:
        _json(exchange, 200, {"models": [self._name]})

    def _v1_model(self, exchange: Exchange) -> None:
        ready = self._state.ready
        _json(exchange, 200 if ready else 503, {"name": self._name, "ready": ready})

    def _render(self, exchange: Exchange) -> None:
        body = self._metrics.render()
        exchange.reply(200, (body,), content_type=CONTENT_TYPE.encode())

    def _tell(self, exchange: Exchange, status: int, message: str, *, headers: bytes = b"") -> None:
        _json(exchange, status, {"error": message}, headers=headers)


def _json(exchange: Exchange, status: int, value: object, *, headers: bytes = b"") -> None:
    exchange.reply(status, (json.dumps(value).encode(),), headers=headers)


def _plain(target: bytes) -> bytes:
    """The path alone, percent-decoded."""
    return unquote_to_bytes(target.partition(b"?")[0])


def _shown(data: bytes) -> str:
    return data[:100].decode("ascii", "replace")


def _unknown(target: bytes, name: str) -> str:
    path = _plain(target)
    if path.startswith((b"/v2/models/", b"/v1/models/")):
        return f"'{_shown(path)}' is not served here: the model is '{name}'"
    return f"'{_shown(path)}' does not exist: see /v2 and /v2/models/{name}"
