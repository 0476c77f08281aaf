"""The HTTP side of every door: finds the handler of a request, runs the model, tells errors."""

import json
import logging
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from slipway.contract import Outcome
from slipway.errors import SlipwayError
from slipway_server.doors import outcomes
from slipway_server.doors.door import GET, Codec, Door, ModelView, ServerView, plain_error
from slipway_server.doors.guard import TokenGuard
from slipway_server.doors.table import DOORS
from slipway_server.errors import NonFiniteOutput
from slipway_server.metrics import CONTENT_TYPE, render
from slipway_server.state import Model, State
from slipway_server.transport.exchange import Exchange
from slipway_server.usage import Look, look

if TYPE_CHECKING:  # numpy is imported while the model downloads, after the doors opened
    from slipway_server.batch import Job
    from slipway_server.batch import Outcome as Answer
    from slipway_server.protocol.tensors import InferRequest, Signature

_LOG = logging.getLogger("slipway_server.rest")
_RETRY: Final = b"retry-after: 1\r\n"
# Probes and Prometheus show no token: what they read tells nothing but health and counts.
_OPEN: Final = frozenset((b"/", b"/v2/health/live", b"/v2/health/ready", b"/ping", b"/metrics"))
Handle = Callable[[Exchange], None]


class _Service:
    """One door of one model: what inference requests of its paths need."""

    __slots__ = ("codec", "door", "headers", "model")

    def __init__(self, door: Door, model: Model, headers: bytes) -> None:
        self.door = door
        self.model = model
        self.headers = headers
        self.codec: Codec | None = None


class _Call:
    """One inference request between its decoding and its answer."""

    __slots__ = ("_codec", "_exchange", "_rest", "_service", "job", "request")

    def __init__(self, rest: "RestDoor", service: _Service, exchange: Exchange) -> None:
        self._rest = rest
        self._service = service
        self._exchange = exchange
        self._codec: Codec | None = None
        self.request: InferRequest | None = None
        self.job: Job | None = None

    def start(self) -> None:
        """Decode the request and give it to the model."""
        service, exchange = self._service, self._exchange
        plane = service.model.serving()
        codec = service.codec
        if codec is None:
            raise RuntimeError("the door was not opened")
        source = id(exchange.connection)
        plane.check_room(source)
        self._codec = codec
        request = self.request = codec.decode(exchange)
        self.job = plane.infer(request, exchange.received, self.answer, source=source)

    def answer(self, outcome: "Answer") -> None:
        """The model has answered."""
        service, exchange, codec = self._service, self._exchange, self._codec
        if isinstance(outcome, BaseException) or codec is None:
            self._rest.fail(service, exchange, outcome)
            return
        try:
            parts, content_type, headers = codec.encode(self.request, outcome)
        except SlipwayError as error:
            self._rest.fail(service, exchange, error)
            return
        self._rest.count(service, 200, Outcome.SUCCESS, exchange)
        exchange.reply(200, parts, content_type=content_type, headers=service.headers + headers)

    def abandon(self) -> None:
        """The client has left: the job is dropped, or its answer is."""
        if self.job is not None:
            self.job.done = None
        gone = outcomes.CLIENT_GONE
        self._rest.count(self._service, gone, Outcome.CLIENT_ERROR, self._exchange)


class RestDoor:
    """Every path that exists is in one table, made from the doors and the models."""

    def __init__(
        self,
        state: State,
        *,
        clock: Callable[[], float],
        guard: TokenGuard | None = None,
        usage: Look = look,
    ) -> None:
        self._state = state
        self._usage = usage
        self._clock = clock
        self._guard = guard
        self._routes: dict[bytes, tuple[tuple[bytes, ...], Handle]] = {
            b"/": ((GET,), self._alive),
            b"/metrics": ((GET,), self._render),
            b"/openapi.json": ((GET,), self._describe),
        }
        self._services: dict[bytes, _Service] = {}
        for door in DOORS:
            for path, server_view in door.server.items():
                self._routes[path.encode()] = ((GET,), partial(self._see, server_view))
            for model in state.models:
                self._add(door, model)

    def open(self, model: Model, signature: "Signature") -> None:
        """Start to take inference requests for ``model``, which is loaded."""
        codecs = {door.name: door.codec(signature) for door in DOORS}
        for service in self._services.values():
            if service.model is model:
                service.codec = codecs[service.door.name]

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        guard = self._guard
        if guard is not None and not guard.allows(exchange.head.authorization):
            path = _plain(exchange.target)
            if path not in _OPEN:
                text = "this server wants a bearer token: send Authorization: Bearer TOKEN"
                door = self._door_of(path)
                _tell(exchange, 401, text, door=door, headers=b"www-authenticate: Bearer\r\n")
                return
        route = self._routes.get(exchange.target)
        if route is None:
            path = _plain(exchange.target)
            route = self._routes.get(path)
            if route is None:
                self._unknown(exchange, path)
                return
        methods, handler = route
        given = exchange.method
        if given in methods or (given == b"HEAD" and GET in methods):
            handler(exchange)
            return
        allowed = b", ".join((*methods, b"HEAD") if GET in methods else methods)
        text = f"method {_shown(given)} is not allowed here: use {allowed.decode()}"
        door = self._door_of(_plain(exchange.target))
        _tell(exchange, 405, text, door=door, headers=b"allow: %b\r\n" % allowed)

    def refuse(self, exchange: Exchange, status: int, message: str) -> None:
        """Answer a request that the transport could not take."""
        path = _plain(exchange.target)
        service = self._services.get(path)
        if service is not None:
            fault = Outcome.CLIENT_ERROR if status not in (429, 500) else Outcome.SERVER_ERROR
            seconds = max(0.0, self._clock() - exchange.received)
            metrics = service.model.metrics
            metrics.observe(service.door.name, status, outcome=fault, seconds=seconds)
        headers = _RETRY if status == 429 else b""
        _tell(exchange, status, message, door=self._door_of(path), headers=headers)

    # ---- inference

    def _infer(self, service: _Service, exchange: Exchange) -> None:
        metrics = service.model.metrics
        metrics.in_flight += 1
        call = _Call(self, service, exchange)
        try:
            call.start()
        except SlipwayError as error:
            self.fail(service, exchange, error)
            return
        except BaseException:
            metrics.in_flight -= 1
            raise
        exchange.abandoned = call.abandon

    def fail(self, service: _Service, exchange: Exchange, error: object) -> None:
        """Answer and count a request that was taken and failed."""
        if not isinstance(error, BaseException):
            raise TypeError("no error")
        fault = outcomes.fault_of(error)
        if fault is outcomes.BUG:
            _LOG.error("a request hit a bug", exc_info=error)
        if isinstance(error, NonFiniteOutput):
            service.model.metrics.nonfinite += 1
        self.count(service, fault.status, fault.outcome, exchange)
        headers = service.headers
        if getattr(error, "retry_after", None) is not None:
            headers += _RETRY
        text = outcomes.text_of(error)
        _tell(exchange, fault.status, text, door=service.door, headers=headers)

    def count(self, service: _Service, code: int, outcome: Outcome, exchange: Exchange) -> None:
        """Count a request that was taken and is answered now."""
        metrics = service.model.metrics
        metrics.in_flight -= 1
        seconds = self._clock() - exchange.received
        metrics.observe(service.door.name, code, outcome=outcome, seconds=seconds)

    # ---- everything else

    def _add(self, door: Door, model: Model) -> None:
        """Add the paths of one model."""
        identity = model.identity
        headers = model.label_lines
        service = _Service(door, model, headers)
        for template in door.infer:
            path = template.format(model=identity.name, version=identity.version).encode()
            self._services[path] = service
            self._routes[path] = (door.methods, partial(self._infer, service))
        for template, view in door.model.items():
            path = template.format(model=identity.name, version=identity.version).encode()
            self._routes[path] = ((GET,), partial(self._see_model, service, view))

    def _see(self, view: ServerView, exchange: Exchange) -> None:
        status, value = view.read(self._state)
        _json(exchange, status, value)

    def _see_model(self, service: _Service, view: ModelView, exchange: Exchange) -> None:
        headers = service.headers
        try:
            status, value = view.read(self._state, service.model)
        except SlipwayError as error:
            status = outcomes.fault_of(error).status
            _tell(exchange, status, str(error), door=service.door, headers=headers)
            return
        _json(exchange, status, value, headers=headers)

    def _alive(self, exchange: Exchange) -> None:
        _json(exchange, 200, {"status": "alive"})

    def _describe(self, exchange: Exchange) -> None:
        from slipway_server.doors.openapi import document

        addresses = {model.identity.name: model.identity.version for model in self._state.models}
        _json(exchange, 200, document(self._state.metadata().version, addresses))

    def _render(self, exchange: Exchange) -> None:
        body = render((model.metrics for model in self._state.models), self._usage())
        exchange.reply(200, (body,), content_type=CONTENT_TYPE.encode())

    def _door_of(self, path: bytes) -> Door | None:
        for door in DOORS:
            if door.prefix and path.startswith(door.prefix.encode()):
                return door
        return None

    def _unknown(self, exchange: Exchange, path: bytes) -> None:
        state, door = self._state, self._door_of(path)
        single = state.single
        if door is not None:
            is_or_are = f"model is {state.names}" if single else f"models are {state.names}"
            text = f"'{_shown(path)}' is not served here: the {is_or_are}"
        else:
            more = f"/v2/models/{single.identity.name}" if single else "/v1/models"
            text = f"'{_shown(path)}' does not exist: see /v2 and {more}"
        _tell(exchange, 404, text, door=door)


def _tell(
    exchange: Exchange, status: int, message: str, *, door: Door | None, headers: bytes = b""
) -> None:
    form = plain_error if door is None else door.error
    exchange.reply(status, (_error(form, status, message),), headers=headers)


@lru_cache(maxsize=64)  # a full queue tells everybody the same, and has no time to waste
def _error(form: Callable[[int, str], object], status: int, message: str) -> bytes:
    return json.dumps(form(status, message)).encode()


def _json(exchange: Exchange, status: int, value: object, *, headers: bytes = b"") -> None:
    exchange.reply(status, (json.dumps(value).encode(),), headers=headers)


def _plain(target: bytes) -> bytes:
    """The path alone, percent-decoded."""
    return unquote_to_bytes(target.partition(b"?")[0])


def _shown(data: bytes) -> str:
    return data[:100].decode("ascii", "replace")
