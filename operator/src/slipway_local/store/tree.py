"""JSON trees: copies and RFC 7386 merge patches. Pure."""

from typing import Any, Final, TypeVar

T = TypeVar("T")
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def clone(value: T) -> T:
    """A deep copy of JSON, as if it had been written and read: tuples are lists, enums values.

    Raises:
        TypeError: something in it is not JSON.
    """
    return _clone(value)  # type: ignore[no-any-return] # JSON in, the same JSON out


def _clone(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, dict):  # most of a tree is leaves: a call for each would cost the most
        return {
            key if type(key) is str else _clone(key): (
                child if type(child) in _PLAIN else _clone(child)
            )
            for key, child in value.items()
        }
    if isinstance(value, list | tuple):
        return [child if type(child) in _PLAIN else _clone(child) for child in value]
    for base in (str, int, float):
        if isinstance(value, base):
            return str.__str__(value) if base is str else base(value)
    raise TypeError(f"{kind.__name__} has no place in JSON: {value!r}")


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces. Neither input is changed.

    Worked example: ``{"a": 1, "b": {"c": 2}}`` with ``{"a": None, "b": {"d": 3}}``
    -> ``{"b": {"c": 2, "d": 3}}``.
    """
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result
