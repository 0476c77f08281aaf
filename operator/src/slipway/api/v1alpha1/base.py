"""What the API models share: their base, and rules that CEL and Python check alike."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slipway.api.quantity import DECIMAL_PATTERN, DURATION_PATTERN, QUANTITY_PATTERN
from slipway.wire import WireModel

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z.]+)\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A semantic rule, said twice side by side: for the API server and for local mode.

    Attributes:
        cel: CEL over ``self``; true means fine.
        message: the refusal, with value and remedy; ``{a.b}`` stands for the value of that field,
            by its name on the wire.
        check: the same over the parsed model.
    """

    cel: str
    message: str
    check: Callable[[Any], bool]

    def for_api_server(self) -> dict[str, str]:
        """The rule as an entry of ``x-kubernetes-validations``."""
        fields = _PLACEHOLDER.findall(self.message)
        if not fields:
            return {"rule": self.cel, "message": self.message}
        # Not `+` and string(): the API server takes a number's text for one of any length, and
        # refuses the expression as too expensive.
        quoted = self.message.replace("%", "%%").replace("'", "\\'")
        text = _PLACEHOLDER.sub("%s", quoted)
        values = ", ".join(f"self.{field}" for field in fields)
        return {"rule": self.cel, "messageExpression": f"'{text}'.format([{values}])"}

    def text(self, model: BaseModel) -> str:
        """The refusal for Python."""
        values = model.model_dump(mode="json", by_alias=True)

        def value_of(match: re.Match[str]) -> str:
            node: Any = values
            for step in match[1].split("."):
                node = node[step]
            return str(node)

        return _PLACEHOLDER.sub(value_of, self.message)


class ApiModel(WireModel):
    """Base of API models: fields of a newer CRD are ignored.

    Attributes:
        rules: semantic rules of this object.
        list_map_keys: for list fields that server-side apply merges, the key of an item.
    """

    model_config = ConfigDict(extra="ignore")
    rules: ClassVar[tuple[Rule, ...]] = ()
    list_map_keys: ClassVar[dict[str, str]] = {}


class RuledModel(ApiModel):
    """An API model whose rules and keys are enforced (a call into Python for every object)."""

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        for rule in self.rules:
            if not rule.check(self):
                raise ValueError(rule.text(self))
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
