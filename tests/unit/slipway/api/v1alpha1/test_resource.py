"""The spec as a whole: what is refused, and in which words."""

from typing import Any

import pytest

from slipway.api.v1alpha1.resource import parse_spec
from slipway.errors import Invalid
from slipway_local.store import validation
from tests.support.invalid_manifests import INVALID, Refused, valid_manifest


def check(manifest: dict[str, Any]) -> None:
    """As the store of local mode does; the API server's words are tried by the e2e tests."""
    validation.check_shape(manifest)
    validation.check(manifest)


@pytest.mark.parametrize("refused", INVALID.values(), ids=INVALID.keys())
def test_an_invalid_manifest_is_refused_in_words_that_help(refused: Refused) -> None:
    with pytest.raises(Invalid) as refusal:
        check(refused.manifest)
    assert refused.says in str(refusal.value)


def test_there_are_at_least_twenty() -> None:
    assert len(INVALID) >= 20


def test_the_manifest_that_they_are_made_from_is_valid() -> None:
    check(valid_manifest())


def test_each_differs_from_the_valid_one() -> None:
    assert [name for name, bad in INVALID.items() if bad.manifest == valid_manifest()] == []


def test_a_field_of_a_newer_release_is_ignored_unless_asked() -> None:
    body = valid_manifest()
    body["spec"]["teleportation"] = {"enabled": True}
    assert parse_spec(body) == parse_spec(valid_manifest())
    with pytest.raises(Invalid, match=r"spec\.teleportation"):
        parse_spec(body, strict=True)


def test_the_memory_rule_is_told_when_memory_is_at_fault() -> None:
    body = valid_manifest()
    body["spec"]["predictor"]["resources"] = {
        "requests": {"memory": "2Gi"},
        "limits": {"memory": "1Gi"},
    }
    with pytest.raises(Invalid, match=r"requests\.memory 2Gi is above limits\.memory 1Gi"):
        parse_spec(body)
