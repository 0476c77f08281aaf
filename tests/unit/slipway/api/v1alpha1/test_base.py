"""Rules: the same sentence for the API server and for local mode."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

import slipway.api.v1alpha1.resource  # noqa: F401 - defines all models
from slipway.api.v1alpha1.base import ApiModel, Rule, RuledModel


class Inner(ApiModel):
    most: int = 3


class Box(RuledModel):
    """Holds things."""

    item_count: int = 0
    inner: Inner = Inner()
    rules = (
        Rule(
            cel="self.itemCount <= self.inner.most",
            message="itemCount {itemCount} is above 100 % of what's in inner.most {inner.most}",
            check=lambda box: box.item_count <= box.inner.most,
        ),
    )


def test_a_plain_sentence_is_a_message() -> None:
    rule = Rule(cel="self.a", message="set a", check=bool)
    assert rule.for_api_server() == {"rule": "self.a", "message": "set a"}


def test_values_in_a_sentence_make_it_an_expression_with_its_special_characters_escaped() -> None:
    assert Box.rules[0].for_api_server() == {
        "rule": "self.itemCount <= self.inner.most",
        "messageExpression": r"'itemCount %s is above 100 %% of what\'s in inner.most %s'"
        ".format([self.itemCount, self.inner.most])",
    }


def test_python_fills_in_the_same_values() -> None:
    with pytest.raises(ValidationError, match=r"itemCount 4 is above .* in inner.most 3"):
        Box(item_count=4)


def models(base: type[ApiModel]) -> Iterator[type[ApiModel]]:
    for model in base.__subclasses__():
        yield model
        yield from models(model)


def test_every_model_with_rules_or_keys_enforces_them() -> None:
    ruled = {model for model in models(ApiModel) if model.rules or model.list_map_keys}
    lax = {model.__name__ for model in ruled if not issubclass(model, RuledModel)}
    assert len(ruled) > 8
    assert lax == {"Status"}  # ours: nobody else writes it


def test_what_a_rule_allows_is_allowed() -> None:
    assert Box(item_count=3).item_count == 3
