"""Does the live object already say what we want? Then there is nothing to write. Pure."""

from typing import Any

from slipway.api.quantity import parse_quantity
from slipway.contract import Annotation
from slipway.errors import Invalid
from slipway_operator.plan.names import short_hash
from slipway_operator.plan.objects import Object, annotations

_QUANTITY_PARENTS = frozenset({"limits", "requests"})
_MERGE_KEYS = ("name", "uid", "containerPort", "port", "type", "mountPath", "key")


def with_hash(desired: Object) -> Object:
    """The object to apply: the desired one, carrying its own hash as an annotation.

    The hash tells what was applied last, so that a field that we no longer want is noticed too.
    """
    meta = desired["metadata"]
    notes = {**annotations(desired), str(Annotation.APPLIED): short_hash(desired)}
    return {**desired, "metadata": {**meta, "annotations": notes}}


def needs_apply(desired: Object, live: Object | None) -> bool:
    """Whether applying ``with_hash(desired)`` would change ``live``."""
    if live is None:
        return True
    if annotations(live).get(Annotation.APPLIED) != short_hash(desired):
        return True
    return not _subset(desired, live, parent="")


def _subset(want: Any, have: Any, *, parent: str) -> bool:
    if isinstance(want, dict):
        if not isinstance(have, dict):
            return not want and have is None
        return all(
            _subset(value, have.get(key), parent=parent if parent in _QUANTITY_PARENTS else key)
            for key, value in want.items()
        )
    if isinstance(want, list):
        return _same_list(want, have if isinstance(have, list) else [], parent)
    if want == have:
        return True
    if want in ("", None, False) and have is None:
        return True
    return parent in _QUANTITY_PARENTS and _same_quantity(want, have)


def _same_list(want: list[Any], have: list[Any], parent: str) -> bool:
    key = next(
        (k for k in _MERGE_KEYS if want and all(isinstance(w, dict) and k in w for w in want)), None
    )
    if key is None:
        return len(want) == len(have) and all(
            _subset(w, h, parent=parent) for w, h in zip(want, have, strict=True)
        )
    known = {item.get(key): item for item in have if isinstance(item, dict)}
    return all(item[key] in known and _subset(item, known[item[key]], parent="") for item in want)


def _same_quantity(want: Any, have: Any) -> bool:
    try:
        return parse_quantity(str(want)) == parse_quantity(str(have))
    except Invalid:
        return False
