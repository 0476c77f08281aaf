"""observe -> plan -> execute, for one resource. No policy: that is all in ``plan``."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from slipway import contract
from slipway.errors import Conflict, Invalid, NotFound
from slipway_operator.kube.cluster import AlreadyExists, Cluster
from slipway_operator.kube.needs_apply import needs_apply, with_hash
from slipway_operator.kube.store import Key, Store, slim
from slipway_operator.plan.children import Action, Annotate, Apply, Create, Delete, Scale
from slipway_operator.plan.config import Config
from slipway_operator.plan.memory import Note
from slipway_operator.plan.names import event_name, identity, short_hash
from slipway_operator.plan.objects import Object, Ref, controller_uid, format_time, ref_of
from slipway_operator.plan.observed import Observed, Window
from slipway_operator.plan.plan import Plan, plan, stalled

_log = logging.getLogger(__name__)


class Windows(Protocol):
    """Counted requests of the revisions of a resource."""

    def view(self, key: Key, since: datetime | None) -> Mapping[str, Window]:
        """By revision, since then; also asks for being counted from now on."""

    def forget(self, key: Key) -> None:
        """Nobody needs this resource's requests any more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reconcile ended.

    Attributes:
        requeue_at: when to look again; ``None`` means when something happens.
        writes: how many writes it made.
    """

    requeue_at: datetime | None
    writes: int


class Stale(Conflict):
    """What we knew of the resource was old; look again."""


class Reconciler:
    """Brings one resource's children and status to what ``plan`` says."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        *,
        config: Config,
        windows: Windows,
        now: Callable[[], datetime],
    ) -> None:
        self.resources: dict[Key, Object] = {}
        self._cluster = cluster
        self._store = store
        self._config = config
        self._windows = windows
        self._now = now
        self._namespace_uids: dict[str, str] = {}
        self._since: dict[Key, datetime | None] = {}
        self._untold: set[Key] = set()  # the last pass acted and left the status for this one

    async def reconcile(self, key: Key) -> Outcome:
        """One pass.

        Raises:
            Transient, Invalid: from the cluster; the caller backs off and tries again.
        """
        resource = self.resources.get(key)
        if resource is None or resource["metadata"].get("deletionTimestamp"):
            self._since.pop(key, None)
            self._untold.discard(key)
            self._windows.forget(key)
            # A namespace of the same name may come again, with another uid and other artifacts.
            self._namespace_uids.pop(key[0], None)
            return Outcome(None, 0)
        observed = await self._observe(key, resource)
        decided = plan(observed, self._config)
        self._since[key] = decided.watch_since
        if decided.watch_since is None:
            self._windows.forget(key)
        writes = await self._execute(key, observed, decided)
        return Outcome(decided.requeue_at, writes)

    async def _observe(self, key: Key, resource: Object) -> Observed:
        namespace = key[0]
        if namespace not in self._namespace_uids:
            found = await self._cluster.get(Ref("Namespace", "", namespace))
            self._namespace_uids[namespace] = found["metadata"]["uid"]
        return Observed(
            resource=resource,
            now=self._now(),
            namespace_uid=self._namespace_uids[namespace],
            children=self._children(key, resource),
            windows=self._windows.view(key, self._since.get(key)),
        )

    def _children(self, key: Key, resource: Object) -> dict[Ref, Object]:
        """Children that this very resource controls, and the pods of those."""
        uid = resource["metadata"]["uid"]
        labelled = self._store.of(key)
        return {
            ref: obj
            for ref, obj in labelled.items()
            if ref.kind == "Pod" or controller_uid(obj) == uid
        }

    async def _execute(self, key: Key, observed: Observed, decided: Plan) -> int:
        pending = [action for action in decided.actions if self._is_due(action)]
        if any(self._must_be_fresh(action) for action in pending):
            await self._check_fresh(key, observed.resource)
        # Events first: told twice they are one, but after the change they might never be told.
        writes = await self._tell(observed, decided.notes)
        try:
            for action in pending:
                writes += await self._carry_out(action, observed)
        except Invalid as error:
            # The API refused a child: say so where the user looks, then back off.
            refused = stalled(observed, "ChildRefused", str(error))
            await self._store_status(key, observed.resource, refused)
            raise
        if pending and key not in self._untold:
            # Act, then tell: the pass that follows at once knows more, and when very many are new,
            # what they need is made before anything is told of any.
            self._untold.add(key)
            return writes
        self._untold.discard(key)
        return writes + await self._store_status(key, observed.resource, decided)

    def _is_due(self, action: Action) -> bool:
        match action:
            case Apply(object=desired):
                return self._differs(desired)
            case _:
                return True

    def _differs(self, desired: Object) -> bool:
        """``needs_apply``, remembered for as long as neither side changes."""
        ref = ref_of(desired)
        live = self._store.get(ref)
        if live is None:
            return True
        same = (live["metadata"]["resourceVersion"], short_hash(desired))
        if self._store.settled.get(ref) == same:
            return False
        if needs_apply(desired, live):
            return True
        self._store.settled[ref] = same
        return False

    def _must_be_fresh(self, action: Action) -> bool:
        """Whether acting on an old view of the resource could take traffic from what serves."""
        match action:
            case Scale() | Delete():
                return True
            case Apply(object=desired):
                return desired["kind"] == "Service" and self._store.get(ref_of(desired)) is not None
            case _:
                return False

    async def _check_fresh(self, key: Key, resource: Object) -> None:
        live = await self._cluster.get(identity(resource))
        if live["metadata"]["resourceVersion"] != resource["metadata"]["resourceVersion"]:
            self.resources[key] = slim(live)
            raise Stale(f"{key[0]}/{key[1]} changed meanwhile")

    async def _carry_out(self, action: Action, observed: Observed) -> int:
        match action:
            case Create(object=desired):
                self._store.put(await self._create(desired, observed.resource))
            case Apply(object=desired):
                self._store.put(await self._apply(with_hash(desired), observed.resource))
            case Annotate(ref=ref, key=name, value=value):
                patch = {"metadata": {"annotations": {name: value}}}
                self._store.put(await self._cluster.patch(ref, patch))
            case Scale(ref=ref, replicas=replicas):
                self._store.put(await self._cluster.patch(ref, {"spec": {"replicas": replicas}}))
            case Delete(ref=ref, uid=uid):
                await self._cluster.delete(ref, uid=uid)
                self._store.remove(ref, uid=uid)
        return 1

    async def _create(self, desired: Object, resource: Object) -> Object:
        try:
            return await self._cluster.create(desired)
        except AlreadyExists:
            live = await self._cluster.get(ref_of(desired))
            self._refuse_foreign(live, resource)
            return live

    async def _apply(self, desired: Object, resource: Object) -> Object:
        """Create what nobody has seen yet: never an apply onto somebody else's object."""
        if self._store.get(ref_of(desired)) is None:
            return await self._create(desired, resource)
        return await self._cluster.apply(desired)

    def _refuse_foreign(self, live: Object, resource: Object) -> None:
        if controller_uid(live) != resource["metadata"]["uid"]:
            raise Invalid(
                f"{ref_of(live)} exists and does not belong to this ModelDeployment: delete it or "
                "rename the ModelDeployment"
            )

    async def _store_status(self, key: Key, resource: Object, decided: Plan) -> int:
        before = resource.get("status") or {}
        if decided.status == before:
            return 0
        patch = {
            "metadata": {"resourceVersion": resource["metadata"]["resourceVersion"]},
            "status": _merge_patch(before, decided.status),
        }
        try:
            stored = await self._cluster.patch(identity(resource), patch, subresource="status")
        except Conflict:
            self.resources[key] = slim(await self._cluster.get(identity(resource)))
            raise
        known = self.resources.get(key)
        if known is not None and known["metadata"]["uid"] == stored["metadata"]["uid"]:
            self.resources[key] = slim(stored)
        return 1

    async def _tell(self, observed: Observed, notes: tuple[Note, ...]) -> int:
        for note in notes:
            try:
                await self._cluster.create(_event(observed, note))
            except AlreadyExists:
                continue
            except NotFound:
                break  # the namespace is going
        return len(notes)


def _merge_patch(before: Object, after: Object) -> Object:
    """The JSON merge patch (RFC 7386) from one object to the other."""
    patch: Object = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if old == value:
            continue
        both = isinstance(value, dict) and isinstance(old, dict)
        patch[key] = _merge_patch(old or {}, value) if both else value
    return patch


def _event(observed: Observed, note: Note) -> Object:
    resource = observed.resource
    meta = resource["metadata"]
    time = format_time(observed.now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": event_name(
                meta["name"], meta["uid"], meta.get("generation"), note.reason, note.message
            ),
            "namespace": meta["namespace"],
        },
        "involvedObject": {
            "apiVersion": contract.API_VERSION,
            "kind": contract.KIND,
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "type": note.type,
        "reason": note.reason,
        "message": note.message[:1024],
        "source": {"component": contract.MANAGED_BY},
        "reportingComponent": contract.MANAGED_BY,
        "reportingInstance": contract.MANAGED_BY,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
