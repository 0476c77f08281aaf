"""Rules: the same sentence for the API server and for local mode."""

import pytest
from pydantic import ValidationError

from slipway.api.v1alpha1.base import ApiModel, Rule


class Inner(ApiModel):
    most: int = 3


class Box(ApiModel):
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


def test_what_a_rule_allows_is_allowed() -> None:
    assert Box(item_count=3).item_count == 3
