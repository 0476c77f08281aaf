"""Label selectors, as text and as ``LabelSelector`` objects. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from slipway.errors import Invalid

_PART: Final = re.compile(r",(?![^(]*\))")
_SET: Final = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^()]*)\)$")
_EQUALITY: Final = re.compile(r"^([^\s=!]+)\s*(==|=|!=)\s*([^\s=!(),]*)$")
_EXISTS: Final = re.compile(r"^(!?)\s*([^\s=!()]+)$")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One clause. ``exists`` and ``absent`` have no values."""

    key: str
    operator: Literal["in", "notin", "exists", "absent"]
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy it; as in Kubernetes, ``notin`` holds for an absent key."""
        match self.operator:
            case "in":
                return labels.get(self.key) in self.values if self.key in labels else False
            case "notin":
                return self.key not in labels or labels[self.key] not in self.values
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels


Selector = tuple[Requirement, ...]


def parse_selector(text: str) -> Selector:
    """``"a=b,c in (d,e),!f"`` -> requirements that must all hold; the empty text selects all.

    Raises:
        Invalid: not a label selector.
    """
    return tuple(_clause(part.strip(), text) for part in _PART.split(text) if text.strip())


def _clause(part: str, text: str) -> Requirement:
    if found := _SET.match(part):
        values = frozenset(value.strip() for value in found[3].split(","))
        return Requirement(found[1], "in" if found[2] == "in" else "notin", values)
    if found := _EQUALITY.match(part):
        return Requirement(found[1], "notin" if found[2] == "!=" else "in", frozenset({found[3]}))
    if found := _EXISTS.match(part):
        return Requirement(found[2], "absent" if found[1] else "exists")
    raise Invalid(f"label selector '{text[:200]}' cannot be read near '{part[:60]}'")


def selector_of(selector: Mapping[str, Any] | None) -> Selector:
    """Requirements of a ``LabelSelector`` object (``matchLabels``, ``matchExpressions``)."""
    found = [
        Requirement(key, "in", frozenset({value}))
        for key, value in ((selector or {}).get("matchLabels") or {}).items()
    ]
    words: dict[str, Literal["in", "notin", "exists", "absent"]] = {
        "In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent",
    }  # fmt: skip
    for clause in (selector or {}).get("matchExpressions") or []:
        values = frozenset(clause.get("values") or [])
        found.append(Requirement(clause["key"], words[clause["operator"]], values))
    return tuple(found)


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether every requirement holds."""
    return all(requirement.matches(labels) for requirement in selector)
