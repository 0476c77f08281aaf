"""The last changes, in order: what watches read. Older versions than it holds are gone."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from slipway_local.store.selectors import Selector, matches
from slipway_operator.kube.cluster import Gone, WatchEvent
from slipway_operator.plan.objects import Object, labels

Kind = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write.

    Attributes:
        before: the object before it, None when it is new.
        after: the object with its new version, also of a deleted one.
    """

    version: int
    before: Object | None
    after: Object
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What one watch wants to see."""

    kind: str
    namespace: str | None
    selector: Selector

    def holds(self, obj: Object | None) -> bool:
        """Whether an object is in it."""
        return (
            obj is not None
            and obj["kind"] == self.kind
            and self.namespace in (None, obj["metadata"].get("namespace", ""))
            and matches(self.selector, labels(obj))
        )

    def event(self, change: Change) -> WatchEvent | None:
        """How a change looks from here: one that leaves the selector counts as deleted."""
        was, now = self.holds(change.before), self.holds(change.after) and not change.deleted
        if now:
            return WatchEvent("MODIFIED" if was else "ADDED", change.after)
        return WatchEvent("DELETED", change.after) if was else None


class History:
    """A bounded log of changes."""

    def __init__(self, limit: int) -> None:
        self._changes: deque[Change] = deque(maxlen=limit)
        self._floor = 0  # changes up to this version are forgotten

    def append(self, change: Change) -> None:
        """Remember a change, and forget the oldest when full."""
        if len(self._changes) == self._changes.maxlen:
            self._floor = self._changes[0].version
        self._changes.append(change)

    def compact(self) -> None:
        """Forget everything, as etcd does now and then: open watches must list again."""
        if self._changes:
            self._floor = self._changes[-1].version
        self._changes.clear()

    def since(self, version: int, scope: Scope) -> Iterator[tuple[int, WatchEvent]]:
        """Events after a version, each with its own.

        Raises:
            Gone: the version is older than what is remembered.
        """
        if version < self._floor:
            raise Gone(f"resource version {version} is too old: the oldest kept is {self._floor}")
        newer = takewhile(lambda change: change.version > version, reversed(self._changes))
        for change in reversed(list(newer)):
            if event := scope.event(change):
                yield change.version, event
