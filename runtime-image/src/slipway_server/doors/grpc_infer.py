"""``ModelInfer``: from the bytes of a message to the model, and from its answer to bytes."""

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from slipway.contract import Outcome
from slipway.errors import SlipwayError
from slipway_server.batch import Outcome as Answer
from slipway_server.doors import outcomes
from slipway_server.errors import DeadlineExpired, NonFiniteOutput
from slipway_server.observe import Request, Tell
from slipway_server.protocol import v2_grpc
from slipway_server.protocol.message_heads import MessageHeads
from slipway_server.protocol.tensors import InferRequest
from slipway_server.protocol.v2_grpc import V2Grpc
from slipway_server.state import Model, State
from slipway_server.transport.rpc import Caller, RpcRefused
from slipway_server.transport.rpc import Message as Bytes

if TYPE_CHECKING:
    from slipway_server.batch import Job

_LOG = logging.getLogger("slipway_server.rpc")
_DOOR: Final = "grpc"
_NEARLY: Final = 0.005  # a client looks at its own clock


class InferMethod:
    """The method; each message names its model."""

    def __init__(
        self, state: State, path: str, *, clock: Callable[[], float], observer: Tell | None
    ) -> None:
        """Begin; ``path`` is what observers are told."""
        self.clock = clock
        self.observer = observer
        self.path = path
        self._state = state
        self._codecs: dict[str, V2Grpc] = {}
        self._heads = MessageHeads()

    def __call__(
        self, request: Bytes, caller: Caller, *, seconds: float | None
    ) -> Callable[[], None]:
        """See ``Deferred``."""
        started = self.clock()
        known = self._heads.find(request)
        read: Callable[[], InferRequest]
        if known is not None:
            model, read = self._state.model(known.model), partial(known.read, request)
        else:
            model, read = self._parsed(request, started)
        call = _Call(self, model, caller, (started, seconds))
        call.size = len(request)
        call.start(self._codec(model), read)
        return call.give_up

    def _parsed(self, request: Bytes, started: float) -> tuple[Model, Callable[[], InferRequest]]:
        try:
            message = v2_grpc.parse(request)
            model = self._state.model(message.head.model_name, message.head.model_version)
        except SlipwayError as error:  # of no model that could count it, unless there is one only
            fault, single = outcomes.fault_of(error), self._state.single
            if single is not None:
                took = self.clock() - started
                single.metrics.observe(_DOOR, fault.code, outcome=fault.outcome, seconds=took)
            raise RpcRefused(fault.code, outcomes.text_of(error)) from error
        codec = self._codec(model)

        def read() -> InferRequest:
            assert codec is not None
            asked = codec.decode(message)
            self._heads.learn(request, model.identity.name, asked, codec.signature)
            return asked

        return model, read

    def _codec(self, model: Model) -> V2Grpc | None:
        """None while the model is not loaded."""
        name = model.identity.name
        codec = self._codecs.get(name)
        if codec is None and model.plane is not None:
            codec = self._codecs[name] = V2Grpc(model.plane.signature)
        return codec


class _Call:
    """One request between its message and its answer."""

    __slots__ = (
        "_caller", "_codec", "_method", "_model", "_request", "_times", "job", "size",
    )  # fmt: skip

    def __init__(
        self,
        method: InferMethod,
        model: Model,
        caller: Caller,
        times: tuple[float, float | None],
    ) -> None:
        self._method = method
        self._model = model
        self._caller = caller
        self._times = times  # when it came, and the seconds that its client gives it
        self._codec: V2Grpc | None = None
        self._request: InferRequest | None = None
        self.job: Job | None = None
        self.size = 0

    def start(self, codec: V2Grpc | None, read: Callable[[], InferRequest]) -> None:
        """Give the request to the model.

        Raises:
            RpcRefused: it is refused.
        """
        self._model.metrics.in_flight += 1
        try:
            plane, source = self._model.serving(), self._caller.source
            plane.check_room(source)
            self._codec, request = codec, read()
            self._request = request
            started, seconds = self._times
            job = self.job = plane.infer(request, started, self.answer, source=source)
            if seconds is not None:
                job.deadline = min(job.deadline, started + seconds)
        except SlipwayError as error:
            raise self._failed(error) from error
        except BaseException:
            self._count(outcomes.BUG.code, outcomes.BUG.outcome)
            raise

    def answer(self, outcome: Answer) -> None:
        """The model has answered."""
        codec, request = self._codec, self._request
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            assert codec is not None
            assert request is not None
            message = codec.encode(request, outcome)
        except Exception as error:  # noqa: BLE001 - a bug ends the request, not the server
            if outcomes.fault_of(error) is outcomes.BUG:
                _LOG.error("a request hit a bug", exc_info=error)
            refused = self._failed(error)
            self._caller.refuse(refused.code, str(refused))
            return
        self._count("OK", Outcome.SUCCESS, len(message))
        self._caller.answer(message)

    def give_up(self) -> None:
        """Nobody waits any more: the job is dropped, or its answer is."""
        if self.job is not None:
            self.job.done = None
        started, seconds = self._times
        if seconds is not None and self._method.clock() - started >= seconds - _NEARLY:
            # It is the server that was late, although the client says so.
            late = outcomes.fault_of(DeadlineExpired("the deadline passed"))
            self._count(late.code, late.outcome)
        else:
            self._count("CANCELLED", Outcome.CLIENT_ERROR)

    def _failed(self, error: BaseException) -> RpcRefused:
        """Count a request that failed; returns what its client is told."""
        fault = outcomes.fault_of(error)
        if isinstance(error, NonFiniteOutput):
            self._model.metrics.nonfinite += 1
        self._count(fault.code, fault.outcome)
        return RpcRefused(fault.code, outcomes.text_of(error))

    def _count(self, code: str, outcome: Outcome, sent: int = 0) -> None:
        method, metrics = self._method, self._model.metrics
        metrics.in_flight -= 1
        took = method.clock() - self._times[0]
        metrics.observe(_DOOR, code, outcome=outcome, seconds=took)
        if method.observer is not None:
            parent = self._caller.parent
            method.observer(Request("grpc", method.path, "", code, self.size, sent, took, parent))
