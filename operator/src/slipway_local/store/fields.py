"""Server-side apply: who wrote which field, and what an apply adds and takes away. Pure.

Two parties are told apart: the one manager that applies (Slipway), and everybody else who creates
or patches. That is what ``metadata.managedFields`` comes down to when only one manager applies,
and always by force. A path names a field through maps and through list items by their keys; every
other list is one value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slipway_local.store.schema import ListKeys
from slipway_local.store.tree import clone
from slipway_operator.plan.objects import Object

ItemKey = tuple[tuple[str, Any], ...]
Path = tuple[str | ItemKey, ...]
_ITEM = object()  # value of a list item's own path: its membership, whatever it holds


@dataclass(frozen=True, slots=True)
class Owners:
    """Fields last applied, and fields that somebody else set by another verb."""

    applied: frozenset[Path] = frozenset()
    updated: frozenset[Path] = frozenset()


def values(tree: Any, keys: ListKeys, at: Path = ()) -> dict[Path, Any]:
    """Every leaf of a tree by path; an item of a keyed list also by its own path."""
    return dict(_walk(tree, keys, at))


def _walk(tree: Any, keys: ListKeys, at: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(tree, dict) and tree:
        for name, child in tree.items():
            yield from _walk(child, keys, (*at, name))
    elif isinstance(tree, list) and tree and (by := keys.of(at)):
        for item in tree:
            here = (*at, item_key(item, by))
            yield here, _ITEM
            yield from _walk(item, keys, here)
    else:
        yield at, tree


def item_key(item: Object, by: tuple[str, ...]) -> ItemKey:
    """The identity of a list item; a port without a protocol is TCP."""
    return tuple((name, item.get(name, "TCP" if name == "protocol" else None)) for name in by)


def patched(owners: Owners, before: Object, after: Object, keys: ListKeys) -> Owners:
    """Owners after a patch: who changed a field has it."""
    old, new = values(before, keys), values(after, keys)
    absent = object()
    changed = {p for p in old.keys() | new.keys() if old.get(p, absent) != new.get(p, absent)}
    return Owners(
        applied=owners.applied - changed,
        updated=frozenset((owners.updated | changed) & new.keys()),
    )


def apply(live: Object, config: Object, owners: Owners, keys: ListKeys) -> tuple[Object, Owners]:
    """Merge a configuration into a live object.

    What the last configuration set and this one leaves out disappears, unless somebody else set
    it too; what only others set stays; what both set takes the new value, and is then Slipway's.
    """
    wanted = values(config, keys)
    merged = _merge(live, config, keys, ())
    before = values(live, keys)
    taken = {path for path, value in wanted.items() if path in before and before[path] != value}
    updated = owners.updated - taken
    dropped = owners.applied - wanted.keys() - updated
    kept = _with_parents(wanted.keys() | updated)
    result = _without(merged, dropped, kept, keys, ()) if dropped else merged
    return result, Owners(applied=frozenset(wanted), updated=frozenset(updated))


def _merge(live: Any, config: Any, keys: ListKeys, at: Path) -> Any:
    if isinstance(config, dict):
        if not isinstance(live, dict):
            live = {}
        merged = dict(live)
        for name, child in config.items():
            merged[name] = _merge(live.get(name), child, keys, (*at, name))
        return merged
    if isinstance(config, list) and isinstance(live, list) and (by := keys.of(at)):
        found = {item_key(item, by): item for item in live}
        mine = {item_key(item, by): item for item in config}
        # Applied items come first in their own order, those of others after them.
        merged_items = [_merge(found.get(k), item, keys, (*at, k)) for k, item in mine.items()]
        return merged_items + [item for k, item in found.items() if k not in mine]
    return clone(config)


def _without(tree: Any, dropped: frozenset[Path], kept: set[Path], keys: ListKeys, at: Path) -> Any:
    """The tree without dropped paths; maps and lists that this empties go too."""
    if isinstance(tree, dict) and tree:
        children = {}
        for name, child in tree.items():
            here = (*at, name)
            if here in dropped and here not in kept:
                continue
            left = _without(child, dropped, kept, keys, here)
            if left or left == child or here in kept:
                children[name] = left
        return children
    if isinstance(tree, list) and (by := keys.of(at)):
        items = []
        for item in tree:
            here = (*at, item_key(item, by))
            if here in dropped and here not in kept:
                continue
            left = _without(item, dropped, kept, keys, here)
            items.append(left | {name: item[name] for name in by if name in item})
        return items
    return tree


def _with_parents(paths: set[Path]) -> set[Path]:
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}
