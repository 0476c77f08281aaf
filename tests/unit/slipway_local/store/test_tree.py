from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any

import pytest

from slipway_local.store.tree import clone, merge_patch


@pytest.mark.parametrize(
    ("target", "patch", "want"),
    [  # the table of RFC 7386, appendix A, as far as targets are objects
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "foo"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_merge_patch_does_as_rfc_7386_says(target: object, patch: object, want: object) -> None:
    assert merge_patch(target, patch) == want


def test_a_merge_patch_leaves_its_inputs_alone() -> None:
    target = {"a": {"b": [1]}}
    patch = {"c": {"d": [2]}}

    result = merge_patch(target, patch)
    result["c"]["d"].append(3)
    result["a"] = 0

    assert (target, patch) == ({"a": {"b": [1]}}, {"c": {"d": [2]}})


def test_a_clone_shares_nothing_with_its_original() -> None:
    original = {"a": [{"b": 1}]}

    copy = clone(original)
    copy["a"][0]["b"] = 2

    assert original == {"a": [{"b": 1}]}


class Color(StrEnum):
    RED = "red"


class Code(IntEnum):
    BAD = 65


def test_a_clone_is_what_json_would_make_of_it() -> None:
    copy: Any = clone({Color.RED: (Color.RED, Code.BAD, True, None, 1.5)})

    assert copy == {"red": ["red", 65, True, None, 1.5]}
    assert [type(value) for value in copy["red"]] == [str, int, bool, type(None), float]
    assert [type(key) for key in copy] == [str]


def test_what_is_no_json_is_a_bug_of_the_caller() -> None:
    with pytest.raises(TypeError, match="datetime has no place in JSON"):
        clone({"a": datetime(2026, 1, 1, tzinfo=UTC)})
