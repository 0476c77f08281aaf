"""The objects of the in-process cluster, with an API server's manners. Synchronous.

Stored objects are never changed in place: a write stores a new one. What is read here is shared
and must not be altered; ``slipway_local.api`` copies at the border.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

from slipway import contract
from slipway.errors import Conflict, Invalid, NotFound
from slipway_local.clock import Clock
from slipway_local.store import defaults, fields, schema, validation
from slipway_local.store.fields import Owners
from slipway_local.store.history import Change, History, Scope
from slipway_local.store.selectors import parse_selector
from slipway_local.store.tree import clone, merge_patch
from slipway_operator.kube.cluster import AlreadyExists, WatchEvent
from slipway_operator.plan.objects import Object, Ref, annotations, format_time, ref_of

_ROOT: Final = UUID("6c1d4f2e-8a35-5c0b-9f6a-0d2b7e51c9a4")
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words
_SERVER_OWNED: Final = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "managedFields", "selfLink",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Record:
    object: Object
    owners: Owners


class Objects:
    """Everything stored, one version counter, and the log of changes.

    Args:
        clock: gives creation and deletion their times.
        history: how many changes watches can go back.
        service_address: gives each new Service its ``clusterIP``.
    """

    def __init__(
        self, clock: Clock, *, history: int = 8192, service_address: Callable[[], str] | None = None
    ) -> None:
        self.clock = clock
        self.listeners: set[Callable[[], None]] = set()
        self.version = 0
        self._records: dict[str, dict[tuple[str, str], _Record]] = {k: {} for k in schema.ALL}
        self._by_uid: dict[str, Ref] = {}
        self._made = 0
        self._history = History(history)
        self._service_address = service_address or _addresses()
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})

    # -- reading -----------------------------------------------------------------------------

    def find(self, ref: Ref) -> Object | None:
        """The object, if there. Shared: do not alter."""
        record = self._records.get(ref.kind, {}).get((ref.namespace, ref.name))
        return record.object if record else None

    def get(self, ref: Ref) -> Object:
        """The object. Shared: do not alter.

        Raises:
            NotFound: no such object, or no such kind.
        """
        return self._record(ref).object

    def select(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Object]:
        """Objects of a kind by namespace and name. Shared: do not alter.

        Raises:
            NotFound: no such kind.
            Invalid: not a selector.
        """
        schema.info_of(kind)
        scope = Scope(kind, namespace, parse_selector(selector))
        found = self._records[kind]
        return [found[k].object for k in sorted(found) if scope.holds(found[k].object)]

    def every(self) -> Iterator[Object]:
        """All objects of all kinds."""
        for records in self._records.values():
            yield from [record.object for record in records.values()]

    def has_uid(self, uid: str) -> bool:
        """Whether an object with that uid lives."""
        return uid in self._by_uid

    def since(self, version: int, scope: Scope) -> Iterator[tuple[int, WatchEvent]]:
        """Events after a version.

        Raises:
            Gone: the version is too old.
        """
        return self._history.since(version, scope)

    def compact(self) -> None:
        """Forget the log, so that open watches get ``Gone``."""
        self._history.compact()
        self._tell()

    # -- writing -----------------------------------------------------------------------------

    def create(self, obj: Object, *, applied: bool = False) -> Object:
        """Store a new object.

        Args:
            obj: the object.
            applied: its fields are Slipway's, as if applied; else somebody else's.

        Raises:
            AlreadyExists: the name is taken.
            Invalid: it breaks a rule.
            NotFound: no such kind or namespace.
        """
        new = self._named(clone(obj))
        if new["metadata"].get("resourceVersion"):
            raise Invalid("metadata.resourceVersion must not be set on objects to be created")
        paths = frozenset(fields.values(_owned_part(new), _keys(new)))
        return self._insert(new, Owners(applied=paths) if applied else Owners(updated=paths))

    def apply(self, obj: Object) -> Object:
        """Server-side apply by Slipway's field manager, by force.

        Raises:
            Conflict: ``metadata.resourceVersion`` or ``uid`` is not the live one.
            Invalid: it breaks a rule, or changes what is immutable.
            NotFound: no such kind or namespace.
        """
        config = clone(obj)
        schema.info_of(str(config.get("kind")))
        part = _owned_part(config)
        record = self._records[config["kind"]].get(_name_of(config))
        if record is None:
            if config["metadata"].get("resourceVersion"):
                raise Conflict(f"{_shown(config)} is not there any more: read it again")
            applied = frozenset(fields.values(part, _keys(config)))
            return self._insert(config, Owners(applied=applied))
        self._same_version(record.object, config)
        merged, owners = fields.apply(record.object, part, record.owners, _keys(config))
        return self._replace(record.object, merged, owners)

    def patch(self, ref: Ref, patch: Object, subresource: str = "") -> Object:
        """JSON merge patch of the object, of its ``status`` or of its ``scale``.

        Raises:
            Conflict: ``metadata.resourceVersion`` or ``uid`` is not the live one.
            Invalid: the result breaks a rule, or changes what is immutable.
            NotFound: no such object, kind or subresource.
        """
        record = self._record(ref)
        old = record.object
        self._same_version(old, patch)
        if subresource == "status" and ref.kind in schema.WITH_STATUS:
            return self.set_status(
                ref, merge_patch(old.get("status") or {}, patch.get("status", {}))
            )
        if subresource == "scale" and ref.kind in schema.SCALABLE:
            patch = {"spec": {"replicas": patch["spec"]["replicas"]}}
        elif subresource:
            raise NotFound(f"{schema.resource_of(ref.kind)} has no subresource '{subresource}'")
        new = merge_patch(old, patch)
        owners = fields.patched(record.owners, _owned_part(old), _owned_part(new), _keys(old))
        return self._replace(old, new, owners)

    def set_status(self, ref: Ref, status: Object | None) -> Object:
        """Replace the whole status, as controllers do.

        Raises:
            Invalid: a ModelDeployment's status breaks its schema.
            NotFound: no such object.
        """
        record = self._record(ref)
        if record.object.get("status") == (status or {}):
            return record.object
        new = {**record.object, "status": clone(status or {})}
        if ref.kind == contract.KIND:
            validation.check_status(new)
        return self._commit(record.object, new, record.owners)

    def delete(self, ref: Ref, *, uid: str = "") -> None:
        """Delete in the background; pods get their grace period. Absent is fine.

        Raises:
            Conflict: an object of that name has another uid.
        """
        record = self._records.get(ref.kind, {}).get((ref.namespace, ref.name))
        if record is None:
            return
        old = record.object
        if uid and old["metadata"]["uid"] != uid:
            raise Conflict(
                f"{_shown(old)} has the uid {old['metadata']['uid']}, not {uid}: read it again"
            )
        if old["metadata"].get("deletionTimestamp"):
            return
        grace = _grace_seconds(old)
        if not (grace or old["metadata"].get("finalizers") or ref.kind == "Namespace"):
            self._remove(old)
            return
        end = format_time(self.clock.now() + timedelta(seconds=grace))
        marks = {"deletionTimestamp": end, "deletionGracePeriodSeconds": grace}
        new = {**old, "metadata": {**old["metadata"], **marks}}
        if ref.kind == "Namespace":
            new["status"] = {"phase": "Terminating"}
        self._commit(old, new, record.owners)

    def finish(self, ref: Ref) -> None:
        """End a deletion: the grace period is over, or a namespace is empty."""
        record = self._records.get(ref.kind, {}).get((ref.namespace, ref.name))
        if record is None:
            return
        meta = record.object["metadata"]
        if meta.get("finalizers"):
            ended = {
                "deletionGracePeriodSeconds": 0,
                "deletionTimestamp": meta.get("deletionTimestamp") or format_time(self.clock.now()),
            }
            new = {**record.object, "metadata": {**meta, **ended}}
            self._commit(record.object, new, record.owners)
        else:
            self._remove(record.object)

    # -- inside ------------------------------------------------------------------------------

    def _record(self, ref: Ref) -> _Record:
        schema.info_of(ref.kind)
        record = self._records[ref.kind].get((ref.namespace, ref.name))
        if record is None:
            raise NotFound(
                f'{schema.resource_of(ref.kind)} "{ref.name}" not found in namespace '
                f'"{ref.namespace}"'
            )
        return record

    def _named(self, obj: Object) -> Object:
        meta = obj["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"][:58] + self._suffix()
        return obj

    def _suffix(self) -> str:
        number = uuid5(_ROOT, f"name/{self._made}").int
        return "".join(_SUFFIX_LETTERS[number // 27**i % 27] for i in range(5))

    def _same_version(self, live: Object, given: Object) -> None:
        for key in ("resourceVersion", "uid"):
            asked = (given.get("metadata") or {}).get(key)
            if asked is not None and asked != live["metadata"][key]:
                raise Conflict(
                    f"{_shown(live)} has been modified (its {key} is {live['metadata'][key]}, "
                    f"not {asked}): read it again"
                )

    def _insert(self, new: Object, owners: Owners) -> Object:
        schema.info_of(str(new.get("kind")))
        kind, meta = new["kind"], new["metadata"]
        if not meta.get("name"):
            raise Invalid(f"{schema.resource_of(kind)} metadata.name is missing: give it a name")
        validation.check_shape(new)
        self._check_namespace(new)
        if _name_of(new) in self._records[kind]:
            raise AlreadyExists(f'{schema.resource_of(kind)} "{meta["name"]}" already exists')
        for key in _SERVER_OWNED:
            meta.pop(key, None)
        self._made += 1
        seed = f"namespace/{meta['name']}" if kind == "Namespace" else f"{kind}/{self._made}"
        meta["uid"] = str(uuid5(_ROOT, seed))
        meta["creationTimestamp"] = format_time(self.clock.now())
        if kind in schema.WITH_GENERATION:
            meta["generation"] = 1
        if kind in schema.WITH_STATUS:
            new["status"] = _first_status(kind)
        self._default(new)
        validation.check(new)
        return self._commit(None, new, owners)

    def _check_namespace(self, obj: Object) -> None:
        namespace = obj["metadata"].get("namespace", "")
        if not schema.info_of(obj["kind"]).namespaced:
            return
        found = self.get(Ref("Namespace", "", namespace))
        if found["metadata"].get("deletionTimestamp"):
            raise Invalid(f"{_shown(obj)} cannot be made: namespace '{namespace}' is being deleted")

    def _default(self, obj: Object) -> None:
        defaults.fill(obj)
        if obj["kind"] == "Service" and not obj["spec"].get("clusterIP"):
            obj["spec"]["clusterIP"] = self._service_address()
            obj["spec"]["clusterIPs"] = [obj["spec"]["clusterIP"]]

    def _replace(self, old: Object, new: Object, owners: Owners) -> Object:
        """Store a new form of an object through its main door."""
        new = clone(new)
        kind, meta = old["kind"], new["metadata"]
        for key in ("kind", "apiVersion"):
            if new.get(key) != old[key]:
                raise Invalid(f"{_shown(old)} {key} '{new.get(key)}' cannot change: it is fixed")
        for key in ("name", "namespace", *_SERVER_OWNED):
            meta.pop(key, None)
            if key in old["metadata"]:
                meta[key] = old["metadata"][key]
        if kind in schema.WITH_STATUS:
            new["status"] = old.get("status") or {}
        self._default(new)
        validation.check_shape(new)
        validation.check_update(old, new)
        if kind in schema.WITH_GENERATION and _asks_for_more(old, new):
            meta["generation"] = old["metadata"]["generation"] + 1
        return self._commit(old, new, owners)

    def _commit(self, old: Object | None, new: Object, owners: Owners) -> Object:
        key = _name_of(new)
        if old is not None and old == new:
            self._records[new["kind"]][key] = _Record(old, owners)
            return old
        meta = new["metadata"]
        ended = meta.get("deletionTimestamp") and not meta.get("deletionGracePeriodSeconds")
        if ended and not meta.get("finalizers") and new["kind"] != "Namespace":
            self._remove(new)
            return new
        self.version += 1
        new["metadata"] = {**meta, "resourceVersion": str(self.version)}
        self._records[new["kind"]][key] = _Record(new, owners)
        self._by_uid[meta["uid"]] = ref_of(new)
        self._history.append(Change(self.version, old, new))
        self._tell()
        return new

    def _remove(self, obj: Object) -> None:
        self.version += 1
        meta = {**obj["metadata"], "resourceVersion": str(self.version)}
        del self._records[obj["kind"]][_name_of(obj)]
        del self._by_uid[meta["uid"]]
        self._history.append(Change(self.version, obj, {**obj, "metadata": meta}, deleted=True))
        self._tell()

    def _tell(self) -> None:
        for listener in tuple(self.listeners):
            listener()


def _name_of(obj: Object) -> tuple[str, str]:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta.get("name", "")


def _shown(obj: Object) -> str:
    return f'{schema.resource_of(obj["kind"])} "{obj["metadata"].get("name", "")}"'


def _keys(obj: Object) -> schema.ListKeys:
    return schema.ListKeys(obj["kind"])


def _owned_part(obj: Object) -> Object:
    """What a writer can own: neither identity nor what the server or a controller writes."""
    hidden = ("apiVersion", "kind") + (("status",) if obj["kind"] in schema.WITH_STATUS else ())
    meta = obj.get("metadata") or {}
    kept = {k: v for k, v in meta.items() if k not in ("name", "namespace", *_SERVER_OWNED)}
    rest = {k: v for k, v in obj.items() if k not in (*hidden, "metadata")}
    return {**rest, "metadata": kept} if kept else rest


def _asks_for_more(old: Object, new: Object) -> bool:
    """Whether ``generation`` grows: the spec changed, or a Deployment's annotations did."""
    outside = ("metadata", "status")
    if old["kind"] == "Deployment" and annotations(old) != annotations(new):
        return True
    return any(old.get(k) != new.get(k) for k in old.keys() | new.keys() if k not in outside)


def _first_status(kind: str) -> Object:
    phase = {"Pod": "Pending", "Namespace": "Active"}.get(kind)
    return {"phase": phase} if phase else {}


def _grace_seconds(obj: Object) -> int:
    """A pod that runs is given time to end; everything else goes at once."""
    if obj["kind"] != "Pod" or obj["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    return int(obj["spec"]["terminationGracePeriodSeconds"])


def _addresses() -> Callable[[], str]:
    numbers = iter(range(1, 2**16))

    def following() -> str:
        number = next(numbers)
        return f"127.1.{number >> 8}.{number & 255}"

    return following
