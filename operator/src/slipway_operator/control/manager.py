"""Runs it all: reflectors feed the store, the store feeds the queue, workers reconcile."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from slipway import contract
from slipway.contract import Label
from slipway.errors import Conflict, Invalid, NotFound, SlipwayError
from slipway_operator.control.queue import Queue
from slipway_operator.control.reconcile import Outcome, Reconciler, Windows
from slipway_operator.kube.cluster import Cluster, WatchEvent
from slipway_operator.kube.kinds import WATCHED
from slipway_operator.kube.reflector import Reflector
from slipway_operator.kube.store import Key, Store, key_of, slim
from slipway_operator.plan.config import Config
from slipway_operator.plan.objects import Object, ref_of
from slipway_operator.telemetry.metrics import OperatorMetrics

_log = logging.getLogger(__name__)
_WORKERS: Final = 8
_FIRST_BACKOFF: Final = 0.2
_LONGEST_BACKOFF: Final = 300.0
_STOP_SECONDS: Final = 15.0
_FREE_STREAK: Final = 20  # writing reconciles in a row; a whole rollout has fewer
SELECTOR: Final = f"{Label.APP_MANAGED_BY}={contract.MANAGED_BY}"


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at, and how often.

    Attributes:
        namespaces: empty means all.
        resync_seconds: after how long a resource is looked at though nothing happened.
    """

    namespaces: tuple[str, ...] = ()
    resync_seconds: float = 600.0


class Manager:
    """The control loop of one process.

    Attributes:
        reconciler: exposed for its resources, which the shell feeds.
        leading: workers take keys only while this is set.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        *,
        config: Config,
        windows: Windows,
        metrics: OperatorMetrics,
        scope: Scope | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.store = store
        self.queue = Queue(loop.time)
        self.reconciler = Reconciler(cluster, self.store, config=config, windows=windows, now=now)
        self.leading = asyncio.Event()
        self._cluster = cluster
        self._metrics = metrics
        scope = scope or Scope()
        self._resync_seconds = scope.resync_seconds
        self._now = now
        self._loop = loop
        self._failures: dict[Key, int] = {}
        self._streaks: dict[Key, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._workers: list[asyncio.Task[None]] = []
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = False
        scopes: tuple[str | None, ...] = scope.namespaces or (None,)
        self.reflectors = [self._reflector(kind, where) for kind in WATCHED for where in scopes]
        self.resource_reflectors = [
            Reflector(
                cluster,
                contract.KIND,
                where,
                selector="",
                on_list=self._listed(where),
                on_event=self.resource_event,
            )
            for where in scopes
        ]

    async def start(self, *, watch_resources: bool) -> None:
        """Start everything; returns at once.

        Args:
            watch_resources: watch ModelDeployments too; false where kopf does that.
        """
        running = self.reflectors + (self.resource_reflectors if watch_resources else [])
        self._tasks = [
            self._loop.create_task(reflector.run(), name=f"reflect {reflector.kind}")
            for reflector in running
        ]
        self._workers = [
            self._loop.create_task(self._work(), name=f"worker {number}")
            for number in range(_WORKERS)
        ]

    async def stop(self) -> None:
        """Take no more keys, let running reconciles finish, then end the rest."""
        self._stopping = True
        self.leading.clear()
        busy = [task for task in self._workers if task in self._busy]
        await cancel_all(task for task in self._workers if task not in self._busy)
        if busy:
            await asyncio.wait(busy, timeout=_STOP_SECONDS)
        await cancel_all((*busy, *self._tasks))

    @property
    def synced(self) -> bool:
        """Whether every child store has listed once: before that, absent means unknown."""
        return all(reflector.synced.is_set() for reflector in self.reflectors)

    def silent_seconds(self) -> float:
        """How long the quietest watch has said nothing (bookmarks come every minute)."""
        now = self._loop.time()
        return max((now - r.last_contact for r in self.reflectors), default=0.0)

    def resource_event(self, event: WatchEvent) -> None:
        """A ModelDeployment changed."""
        if event.type == "DELETED":
            self.resource_gone(event.object)
        else:
            self.resource_seen(event.object)

    def resource_seen(self, obj: Object) -> None:
        """Take a newer state of a ModelDeployment."""
        key = _key(obj)
        known = self.reconciler.resources.get(key)
        if known is not None and _version(known) >= _version(obj):
            return
        self.reconciler.resources[key] = slim(obj)
        self.queue.add(key)

    def resource_gone(self, obj: Object) -> None:
        """A ModelDeployment is no more; its children go by their owner references."""
        key = _key(obj)
        known = self.reconciler.resources.get(key)
        if known is not None and known["metadata"]["uid"] == obj["metadata"]["uid"]:
            del self.reconciler.resources[key]
            self._failures.pop(key, None)
            self._streaks.pop(key, None)
            self.queue.add(key)

    async def resync(self, namespaces: tuple[str, ...]) -> None:
        """List ModelDeployments and repair what a watch may have lost.

        Raises:
            SlipwayError: the list failed.
        """
        for scope in namespaces or (None,):
            listing = await self._cluster.list(contract.KIND, scope)
            self._listed(scope)(listing.items)

    def _listed(self, scope: str | None) -> Callable[[Iterable[Object]], None]:
        def take(items: Iterable[Object]) -> None:
            seen = set()
            for item in items:
                seen.add(_key(item))
                self.resource_seen(item)
            for key, known in list(self.reconciler.resources.items()):
                if key not in seen and scope in (None, key[0]):
                    self.resource_gone(known)

        return take

    def _reflector(self, kind: str, scope: str | None) -> Reflector:
        def listed(items: Iterable[Object]) -> None:
            for key in self.store.replace(kind, items):
                self.queue.add(key)

        def changed(event: WatchEvent) -> None:
            if event.type == "DELETED":
                self.store.remove(ref_of(event.object), uid=event.object["metadata"].get("uid"))
                key = key_of(event.object)
            else:
                key = self.store.put(event.object)
            if key is not None:
                self.queue.add(key)

        return Reflector(
            self._cluster,
            kind,
            scope,
            selector=SELECTOR,
            on_list=listed,
            on_event=changed,
        )

    async def _work(self) -> None:
        for reflector in self.reflectors:
            await reflector.synced.wait()
        while not self._stopping:
            await self.leading.wait()
            key = await self.queue.get()
            if not self.leading.is_set():
                self.queue.done(key)
                self.queue.add(key, 0.5)
                continue
            task = asyncio.current_task()
            assert task is not None
            self._busy.add(task)
            try:
                await self._one(key)
            finally:
                self._busy.discard(task)
                self.queue.done(key)

    async def _one(self, key: Key) -> None:
        started = self._loop.time()
        try:
            outcome = await self.reconciler.reconcile(key)
        except Conflict:
            self._again(key, "conflict")
        except NotFound as error:
            _log.info("%s/%s: %s", *key, error)
            self._again(key, "gone")
        except Invalid as error:
            _log.error("%s/%s: %s", *key, error)
            self._again(key, "invalid")
        except SlipwayError as error:
            _log.warning("%s/%s: %s", *key, error)
            self._again(key, "transient")
        except Exception:  # noqa: BLE001 - one resource's bug must not stop the others
            _log.exception("%s/%s: bug while reconciling", *key)
            self._again(key, "bug")
        else:
            self._failures.pop(key, None)
            self._metrics.reconciled("ok" if outcome.writes else "noop")
            if key in self.reconciler.resources:
                self.queue.add(key, self._next_look(key, outcome))
        self._metrics.took(self._loop.time() - started)

    def _next_look(self, key: Key, outcome: Outcome) -> float:
        """Seconds until the next reconcile.

        At once after a write: what follows from it is due, and its watch event will be no news.
        An object that never stays as applied must not keep a worker busy, so a long streak of
        writes slows down.
        """
        if not outcome.writes:
            self._streaks.pop(key, None)
            return self._delay(outcome.requeue_at)
        streak = self._streaks[key] = self._streaks.get(key, 0) + 1
        excess = max(0, streak - _FREE_STREAK)
        return min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2**excess) if excess else 0.0

    def _delay(self, requeue_at: datetime | None) -> float:
        resync = self._resync_seconds * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
        if requeue_at is None:
            return resync
        # One millisecond late rather than early: status holds whole seconds.
        return min(resync, max(0.0, (requeue_at - self._now()).total_seconds() + 0.001))

    def _again(self, key: Key, result: str) -> None:
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        first = 0.0 if result == "conflict" and failures < 5 else _FIRST_BACKOFF
        delay = min(_LONGEST_BACKOFF, first * 2 ** (failures - 1))
        self._metrics.reconciled(result)
        self.queue.add(key, delay * random.uniform(0.8, 1.2))  # noqa: S311 - jitter


def _key(obj: Object) -> Key:
    meta = obj["metadata"]
    return (meta["namespace"], meta["name"])


def _version(obj: Object) -> int:
    text = obj["metadata"].get("resourceVersion") or "0"
    return int(text) if text.isdigit() else 0


async def cancel_all(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they are through."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    for task in ending:
        with suppress(asyncio.CancelledError):
            await task
