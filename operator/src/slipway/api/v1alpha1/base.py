"""What the API models share: their base, and rules that CEL and Python check alike."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from slipway.api.quantity import DECIMAL_PATTERN, DURATION_PATTERN, QUANTITY_PATTERN
from slipway.wire import WireModel


@dataclass(frozen=True, slots=True)
class Rule:
    """A semantic rule, said twice side by side: for the API server and for local mode.

    Attributes:
        cel: CEL over ``self``; true means fine.
        message: CEL expression of the refusal, with value and remedy; or a plain text.
        check: the same over the parsed model.
    """

    cel: str
    message: str
    check: Callable[[Any], bool]

    @property
    def is_expression(self) -> bool:
        """Whether ``message`` is itself CEL."""
        return "'" in self.message

    def text(self) -> str:
        """The refusal for Python, where no CEL engine fills in the values."""
        if not self.is_expression:
            return self.message
        return "".join(self.message.split("'")[1::2])


class ApiModel(WireModel):
    """Base of API models: fields of a newer CRD are ignored, rules are enforced.

    Attributes:
        rules: semantic rules of this object.
        list_map_keys: for list fields that server-side apply merges, the key of an item.
    """

    model_config = ConfigDict(extra="ignore")
    rules: ClassVar[tuple[Rule, ...]] = ()
    list_map_keys: ClassVar[dict[str, str]] = {}

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        for rule in self.rules:
            if not rule.check(self):
                raise ValueError(rule.text())
        for field, key in self.list_map_keys.items():
            names = [getattr(item, key) for item in getattr(self, field)]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{field} has two entries with {key} '{min(twice)}'")
        return self


Decimal = Annotated[str, Field(pattern=DECIMAL_PATTERN, max_length=24)]
Duration = Annotated[str, Field(pattern=DURATION_PATTERN, min_length=2, max_length=16)]
Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN, max_length=24)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]
FileUri = Annotated[str, Field(pattern=r"^(s3|file)://[^\s]+$", max_length=1024)]
Text = Annotated[str, Field(max_length=256)]
