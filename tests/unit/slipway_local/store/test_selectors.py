import pytest

from slipway.errors import Invalid
from slipway_local.store.selectors import matches, parse_selector, selector_of

LABELS = {"app": "web", "tier": "front", "slipway.dev/revision": "m-1"}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("absent!=x", True),
        ("app=web,tier=back", False),
        ("app in (db, web),tier", True),
        ("app notin (db,web)", False),
        ("absent notin (a)", True),
        ("absent", False),
        ("!absent", True),
        ("!app", False),
        ("slipway.dev/revision=m-1, app", True),
        ("app=", False),
    ],
)
def test_a_selector_reads_as_kubernetes_reads_it(text: str, want: bool) -> None:
    assert matches(parse_selector(text), LABELS) is want


@pytest.mark.parametrize("text", ["a b", "a in b", "=x", "a=(b", "a,,b"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="label selector"):
        parse_selector(text)


def test_a_selector_object_joins_labels_and_expressions() -> None:
    selector = selector_of(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["front", "back"]},
                {"key": "gone", "operator": "DoesNotExist"},
            ],
        }
    )

    assert matches(selector, LABELS)
    assert not matches(selector, LABELS | {"gone": ""})
