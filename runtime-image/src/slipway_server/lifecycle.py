"""The life of a server: doors open, model becomes ready, SIGTERM comes, work ends, doors close."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, cast

from slipway.errors import Invalid, SlipwayError
from slipway.interrupts import on_interrupt
from slipway_server import cpu, heap
from slipway_server.doors.guard import TokenGuard
from slipway_server.doors.rest import RestDoor
from slipway_server.logs import with_fields
from slipway_server.observe import AccessLog, Observer, together
from slipway_server.settings import Access, GrpcTransport, ServerSettings
from slipway_server.startup import Phases, Prepared, prepare, reason_of
from slipway_server.state import Model, State
from slipway_server.transport import exchange
from slipway_server.transport.exchange import HttpLimits
from slipway_server.transport.http import HttpServer
from slipway_server.transport.tls import TlsFiles

if TYPE_CHECKING:  # imported beside the download
    from slipway_server.transport.grpc_aio import GrpcAioServer
    from slipway_server.transport.h2.server import Http2Server
    from slipway_server.transport.rpc import Methods, RpcServer

_LOG = logging.getLogger("slipway_server.lifecycle")
_TICK_SECONDS: Final = 0.25
_POLL_SECONDS: Final = 0.02
_REFRESH_SECONDS: Final = 1.0
_REFUSAL_PAUSE_SECONDS: Final = 0.004  # shorter ones save little: docs/decisions/0021
_GC_THRESHOLDS: Final = (20_000, 20, 20)
_BODY_SHARE: Final = 4  # bodies in flight may take this part of the memory limit
# Images have it compiled (docs/decisions/0024); a module then is no file of Python.
_PROGRAM: Final = "interpreted" if str(exchange.__file__).endswith(".py") else "compiled"
_T = TypeVar("_T")


class StartFailed(Exception):  # noqa: N818 - it is an end
    """The server never became ready.

    Attributes:
        reason: CamelCase, for the operator.
        error: what happened.
    """

    def __init__(self, reason: str, error: SlipwayError) -> None:
        super().__init__(str(error))
        self.reason = reason
        self.error = error


async def serve(settings: ServerSettings, started: float) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: all of it.
        started: ``time.monotonic()`` when the process began.

    Raises:
        StartFailed: it never became ready.
    """
    try:
        server = _Server(settings, started)
    except Invalid as error:
        raise StartFailed("SettingsInvalid", error) from error
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            _LOG.warning("second signal: ending at once")
            os._exit(128 + signal.SIGTERM)
        stop.set()

    on_interrupt(on_signal)
    stopped = asyncio.ensure_future(stop.wait())
    starting = asyncio.ensure_future(server.start())
    try:
        await asyncio.wait((stopped, starting), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await stopped
            await server.drain()
    finally:
        starting.cancel()
        stopped.cancel()
        server.close()


class _Server:
    def __init__(self, settings: ServerSettings, started: float) -> None:
        self._settings = settings
        self._started = started
        self._loop = asyncio.get_running_loop()
        access = settings.access
        self._tls: TlsFiles | None = None
        if access.certificate is not None and access.key is not None:
            self._tls = TlsFiles(access.certificate, access.key)
        self._guard = None if access.token is None else TokenGuard(access.token)
        self._observers = _observers(access)
        self._state = State([served.identity for served in settings.models])
        self._rest = RestDoor(self._state, clock=time.monotonic, guard=self._guard)
        self._http = HttpServer(
            self._rest.handle,
            self._rest.refuse,
            limits=_limits(settings),
            tls=self._tls,
            observer=together(self._observers),
        )
        self._rpc: RpcServer | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._refresher: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Open the doors, prepare the model, let the traffic in."""
        settings = self._settings
        try:
            http_port = await self._http.start(settings.listen.host, settings.listen.http_port)
        except OSError as error:
            problem = Invalid(
                f"HTTP port {settings.listen.http_port} cannot be opened: {error.strerror}"
            )
            raise StartFailed("AddressInUse", problem) from error
        _LOG.info("listening", extra=with_fields(http=http_port, program=_PROGRAM))
        grpc_port, prepared = await asyncio.gather(self._open_rpc(), self._prepare())
        facts: dict[str, object] = {"models": len(prepared)}
        for model, one, seconds in prepared:
            self._let_in(model, one)
            model.metrics.startup.update(seconds)
            summary = _summary(model, one, seconds)
            if self._state.single is None:
                _LOG.info("loaded", extra=with_fields(**summary))
            else:
                facts = summary
        self._tick()
        self._refresh()
        _settle_garbage()
        heap.give_back()
        heap.keep_freed(heap.kept_bytes(cpu.memory_limit()))
        total = time.monotonic() - self._started
        for model in self._state.models:
            model.metrics.startup["total"] = total
            model.phase = "ready"
        facts |= {"total_ms": round(total * 1e3), "http": http_port, "grpc": grpc_port}
        _LOG.info("ready", extra=with_fields(**facts))

    async def _prepare(self) -> list[tuple[Model, Prepared, dict[str, float]]]:
        """Load one model after the other, so that each is measured alone."""
        found = []
        for served, model in zip(self._settings.models, self._state.models, strict=True):
            phases = Phases(begin=partial(setattr, model, "phase"))
            work = partial(prepare, self._settings, served, phases)
            try:
                found.append((model, await _in_thread(self._loop, work), phases.seconds))
            except SlipwayError as error:
                told = error
                if self._state.single is None:
                    told = type(error)(f"model '{served.identity.name}': {error}")
                raise StartFailed(reason_of(phases.current, error), told) from error
        return found

    async def drain(self) -> None:
        """Tell probes and clients to go elsewhere, then finish what is in flight."""
        settings, start = self._settings, self._loop.time()
        self._state.drain()
        self._http.closing = True  # every answer now says: connection: close
        _LOG.info("draining", extra=with_fields(seconds=settings.drain_seconds))
        await asyncio.sleep(min(settings.drain_seconds, settings.grace_seconds))
        self._http.stop_accepting()
        end = max(self._loop.time() + 1.0, start + settings.grace_seconds)
        ending = asyncio.ensure_future(self._end_rpc(end - self._loop.time()))
        while self._http.busy and self._loop.time() < end:  # noqa: ASYNC110 - a sum, no event
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.wait((ending,), timeout=end - self._loop.time())
        unanswered = sum(model.metrics.in_flight for model in self._state.models)
        _LOG.info("drained", extra=with_fields(unanswered=unanswered))

    def close(self) -> None:
        """End all connections and timers."""
        for timer in (self._ticker, self._refresher):
            if timer is not None:
                timer.cancel()
        self._http.close()
        for model in self._state.models:
            if model.plane is not None:
                model.plane.close()
        for observer in self._observers:
            observer.close()

    async def _open_rpc(self) -> int:
        """Open the gRPC door; returns its port."""
        listen = self._settings.listen
        transport = self._settings.grpc_transport
        kind = await _in_thread(self._loop, partial(_import_rpc, transport))
        from slipway_server.transport.rpc import GrpcLimits

        limits = GrpcLimits(
            buffered=self._http.limits.buffered,
            connection_age=self._settings.concurrency.max_connection_age_seconds,
            connection_grace=self._settings.concurrency.timeout_seconds,
        )
        self._rpc = kind(self._rpc_methods, limits, tls=self._tls)
        try:
            return await self._rpc.start(listen.host, listen.grpc_port)
        except Invalid as error:
            raise StartFailed("AddressInUse", error) from error

    def _rpc_methods(self) -> "Methods":
        """What clients of gRPC may call."""
        from slipway_server.doors import reflection
        from slipway_server.doors.grpc import GrpcDoor, allows
        from slipway_server.protocol import raw_contents
        from slipway_server.transport.rpc import Methods

        door = GrpcDoor(self._state, clock=time.monotonic, observer=together(self._observers))
        single = self._state.single
        return Methods(
            door.methods(),
            reflection.methods(),
            door.watches(),
            door.deferred(),
            trailers=tuple(single.labels.items()) if single is not None else (),
            allows=None if self._guard is None else partial(allows, self._guard),
            padding=raw_contents.padding,
        )

    async def _end_rpc(self, grace: float) -> None:
        if self._rpc is not None:
            await self._rpc.stop(grace)

    def _let_in(self, model: Model, prepared: Prepared) -> None:
        """Connect a loaded model with the doors."""
        from slipway_server.batcher import Batcher
        from slipway_server.dataplane import Dataplane
        from slipway_server.protocol.tensors import Signature
        from slipway_server.waiting import QueueLimits

        concurrency, session, identity = (
            self._settings.concurrency,
            prepared.session,
            model.identity,
        )
        signature = Signature(identity, session.inputs, session.outputs)
        bodies = self._http.limits
        share = max(bodies.body, bodies.buffered // len(self._state.models))
        limits = QueueLimits(requests=concurrency.max_queued, size=share)
        batcher = Batcher(
            session,
            prepared.policy,
            limits=limits,
            metrics=model.metrics.runs,
            busy_poll=cpu.has_spare(),
            # Other models would have to wait, too.
            pause=_REFUSAL_PAUSE_SECONDS if self._state.single is not None else 0.0,
        )
        model.metrics.describe(
            revision=identity.version, variant=prepared.variant, digest=identity.digest
        )
        self._rest.open(model, signature)
        plane = Dataplane(
            signature, batcher, timeout=concurrency.timeout_seconds, threads=prepared.threads
        )
        self._state.open(model, plane)

    def _refresh(self) -> None:
        """Follow certificates and tokens that are renewed."""
        if self._tls is None and self._guard is None:
            return
        if self._tls is not None:
            self._tls.refresh()
        if self._guard is not None:
            self._guard.refresh()
        self._refresher = self._loop.call_later(_REFRESH_SECONDS, self._refresh)

    def _tick(self) -> None:
        """Answer requests that are late even while the model is busy."""
        for model in self._state.models:
            if model.plane is not None:
                model.plane.expire(time.monotonic())
        self._ticker = self._loop.call_later(_TICK_SECONDS, self._tick)


def _observers(access: Access) -> list[Observer]:
    found: list[Observer] = []
    if access.log:
        found.append(AccessLog())
    if access.spans:
        from slipway_server.spans import Spans

        found.append(Spans())
    return found


def _summary(model: Model, prepared: Prepared, seconds: dict[str, float]) -> dict[str, object]:
    identity, policy = model.identity, prepared.policy
    return {
        "model": identity.name,
        "revision": identity.version,
        "artifact": identity.digest or "unverified",
        "variant": prepared.variant,
        "threads": prepared.threads,
        "instances": policy.instances,
        "golden": prepared.golden,
        "batch": policy.max_rows,
        "inline": policy.inline,
        "run_ms": round(policy.seconds * 1e3, 3),
        **{f"{phase}_ms": round(took * 1e3) for phase, took in seconds.items()},
    }


def _limits(settings: ServerSettings) -> HttpLimits:
    """Bodies that are on their way may not fill the container's memory."""
    limits = HttpLimits(connection_age=settings.concurrency.max_connection_age_seconds)
    memory = cpu.memory_limit()
    if memory is None:
        return limits
    share = max(limits.body, min(limits.buffered, memory // _BODY_SHARE))
    return replace(limits, buffered=share)


def _settle_garbage() -> None:
    """Requests make no cycles, so look for some rarely, and never among what start-up made.

    There was no collection until now (``__main__``) and there is none here: a walk over all modules
    takes some 30 ms and finds a few hundred objects. With the default thresholds every few
    dozen requests pay for a collection, and now and then one waits for such a walk.
    """
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()


def _import_rpc(transport: GrpcTransport) -> "type[Http2Server | GrpcAioServer]":
    """Import a transport; grpc itself only if it is to be used."""
    if transport is GrpcTransport.GRPC_AIO:
        from slipway_server.transport.grpc_aio import GrpcAioServer

        return GrpcAioServer
    from slipway_server.transport.h2.server import Http2Server

    return Http2Server


def _in_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], _T]) -> "asyncio.Future[_T]":
    """Run ``work`` in a daemon thread: one that hangs in a download must not outlive a SIGTERM."""
    future: asyncio.Future[_T] = loop.create_future()

    def finish(result: _T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(cast("_T", result))
        else:
            future.set_exception(error)

    def run() -> None:
        result, problem = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - top of a thread: the awaiter handles it
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(finish, result, problem)

    threading.Thread(target=run, daemon=True).start()
    return future
