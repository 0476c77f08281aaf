"""Reads JSON that other programs of Slipway wrote, and says what is wrong with it. Pure.

Without pydantic, which would take a fifth of the time and of the memory of a server that starts.
"""

import json
import re
from collections.abc import Collection
from typing import Any, Final

from slipway.errors import Invalid

_MISSING: Final = object()


class Record:
    """An object of a document. Every method raises ``Invalid`` that begins with the field's place.

    A method's ``default`` is returned where the field is absent; without one it must be there.
    """

    def __init__(self, value: object, where: str = "") -> None:
        if not isinstance(value, dict):
            raise Invalid(f"{where or 'the document'}: expected an object")
        self._values: dict[str, Any] = value
        self._where = f"{where}." if where else ""

    @classmethod
    def parsed(cls, data: bytes) -> "Record":
        """The document's root."""
        try:
            return cls(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise Invalid(f"the document is not JSON: {str(error)[:80]}") from error

    def only(self, known: Collection[str]) -> None:
        """Refuse fields beyond ``known``."""
        for key in self._values:
            if key not in known:
                raise self._wrong(key[:80], "is not a field of this release")

    def text(self, key: str, *, pattern: re.Pattern[str] | None = None) -> str:
        """A string, which ``pattern`` has to match as a whole."""
        value = self._get(key, _MISSING)
        if not isinstance(value, str):
            raise self._wrong(key, "expected a string")
        if pattern is not None and not pattern.fullmatch(value):
            raise self._wrong(key, f"'{value[:80]}' does not match {pattern.pattern}")
        return value

    def number(
        self, key: str, default: int | None = None, *, least: int = 0, most: int = 1 << 62
    ) -> int:
        """An integer between two bounds, both allowed."""
        value = self._get(key, _MISSING if default is None else default)
        if type(value) is not int:
            raise self._wrong(key, "expected an integer")
        if not least <= value <= most:
            raise self._wrong(key, f"{value} is not between {least} and {most}")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """An array of strings."""
        values = self._array(key, default)
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(key, "expected strings")
        return tuple(values)

    def numbers(self, key: str) -> tuple[int, ...]:
        """An array of integers."""
        values = self._array(key, None)
        if not all(type(value) is int for value in values):
            raise self._wrong(key, "expected integers")
        return tuple(values)

    def record(self, key: str, *, optional: bool = False) -> "Record":
        """An object; an absent one is empty, if that may be."""
        return Record(self._get(key, {} if optional else _MISSING), f"{self._where}{key}")

    def records(self, key: str) -> "tuple[Record, ...]":
        """An array of objects."""
        values = enumerate(self._array(key, None))
        return tuple(Record(value, f"{self._where}{key}.{place}") for place, value in values)

    def has(self, key: str) -> bool:
        """Whether a field is there and not null."""
        return self._values.get(key) is not None

    def _array(self, key: str, default: tuple[str, ...] | None) -> Any:
        value = self._get(key, _MISSING if default is None else list(default))
        if not isinstance(value, list):
            raise self._wrong(key, "expected an array")
        return value

    def _get(self, key: str, default: object) -> Any:
        value = self._values.get(key, default)
        if value is _MISSING:
            raise self._wrong(key, "Field required")
        return value

    def _wrong(self, key: str, text: str) -> Invalid:
        return Invalid(f"{self._where}{key}: {text}")
