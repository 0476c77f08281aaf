"""What reflectors have seen, and what our own writes returned: the newest wins."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from slipway.contract import Annotation, Label
from slipway_operator.plan.objects import Object, Ref, labels, ref_of

_NO_SPEC: Final = frozenset({"Job", "Pod"})
_WORD: Final = 64  # characters

Key = tuple[str, str]  # namespace and name of a ModelDeployment


def key_of(obj: Object) -> Key | None:
    """The ModelDeployment that a child belongs to, by its label."""
    owner = labels(obj).get(Label.MODEL_DEPLOYMENT)
    return (obj["metadata"]["namespace"], owner) if owner else None


def _version(obj: Object) -> int:
    text = obj["metadata"].get("resourceVersion") or "0"
    return int(text) if text.isdigit() else 0


def slim(obj: Object) -> Object:
    """Without what nobody here reads: managedFields, and the specs of Jobs and pods.

    A Job is created once and never compared, a pod is its controller's: of both only metadata and
    status are read, and their specs are most of the memory. What is left are mostly the same
    words in every object, and each parsed object came with its own copies of them.
    """
    obj["metadata"].pop("managedFields", None)
    if obj["kind"] in _NO_SPEC:
        obj.pop("spec", None)
        (obj["metadata"].get("annotations") or {}).pop(Annotation.REQUEST, None)
    return {sys.intern(key): _shared(value) for key, value in obj.items()}


def _shared(value: Any) -> Any:
    """The value, with one copy in memory of each key and of each word that recurs."""
    if isinstance(value, dict):
        return {sys.intern(key): _shared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shared(item) for item in value]
    return sys.intern(value) if type(value) is str and len(value) <= _WORD else value


class Store:
    """Objects of all watched kinds, indexed by the resource they belong to.

    Attributes:
        settled: version of an object, and hash of what was wanted of it, that were found alike.
    """

    def __init__(self) -> None:
        self.settled: dict[Ref, tuple[str, str]] = {}
        self._objects: dict[Ref, Object] = {}
        self._by_key: dict[Key, set[Ref]] = defaultdict(set)
        self._deleted: dict[Ref, int] = {}  # resource version of deletions that we saw or made

    def get(self, ref: Ref) -> Object | None:
        """The newest known state."""
        return self._objects.get(ref)

    def of(self, key: Key) -> Mapping[Ref, Object]:
        """All children of a resource."""
        return {ref: self._objects[ref] for ref in self._by_key.get(key, ())}

    def put(self, obj: Object) -> Key | None:
        """Take a newer state; an older one is ignored.

        Returns:
            The resource to look at, or ``None`` when this was no news.
        """
        ref, key = ref_of(obj), key_of(obj)
        if key is None:
            return None
        known = self._objects.get(ref)
        version = _version(obj)
        if known is not None and _version(known) >= version:
            return None
        if known is None and self._deleted.get(ref, -1) >= version:
            return None
        self._deleted.pop(ref, None)
        self._objects[ref] = slim(obj)
        self._by_key[key].add(ref)
        return key

    def remove(self, ref: Ref, *, uid: str | None = None, version: int = -1) -> Key | None:
        """Forget an object that is gone (only the one with that uid, if given)."""
        known = self._objects.get(ref)
        if known is None or (uid is not None and known["metadata"].get("uid") != uid):
            return None
        del self._objects[ref]
        self.settled.pop(ref, None)
        self._deleted[ref] = max(version, _version(known))
        key = key_of(known)
        if key is not None:
            self._by_key[key].discard(ref)
            if not self._by_key[key]:
                del self._by_key[key]
        return key

    def replace(self, kind: str, items: Iterable[Object]) -> set[Key]:
        """Take a complete list of a kind: what is not in it is gone.

        Returns:
            The resources whose children changed, deletions that no watch told included.
        """
        changed: set[Key | None] = set()
        seen = set()
        for item in items:
            seen.add(ref_of(item))
            changed.add(self.put(item))
        for ref in [r for r in self._objects if r.kind == kind and r not in seen]:
            changed.add(self.remove(ref))
        return {key for key in changed if key is not None}

    def __len__(self) -> int:
        return len(self._objects)
