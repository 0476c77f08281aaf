from hypothesis import given
from hypothesis import strategies as st

from slipway.contract import MAX_NAME_LENGTH, Component
from slipway_operator.plan.names import (
    child_labels,
    event_name,
    job_name,
    owner_reference,
    replay_name,
    revision_name,
    selector,
    selector_text,
    short_hash,
)
from slipway_operator.plan.objects import labels
from tests.support.worlds import served

Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), Json, max_size=5))
def test_the_order_of_keys_names_nothing(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert short_hash(value) == short_hash(turned)


@given(st.text(alphabet="abcdefghij-0123456789", min_size=1, max_size=MAX_NAME_LENGTH), Json)
def test_every_name_fits_a_label_and_a_service(name: str, content: object) -> None:
    revision = revision_name(name, content)
    for found in (revision, job_name(revision), replay_name(revision)):
        assert len(found) <= 63


def test_an_event_s_name_follows_from_what_it_tells() -> None:
    told = event_name("fraud", "uid", 3, "Promoted", "fraud-1 is stable")
    assert told == event_name("fraud", "uid", 3, "Promoted", "fraud-1 is stable")
    assert told != event_name("fraud", "uid", 4, "Promoted", "fraud-1 is stable")
    assert told.startswith("fraud.")


def test_a_selector_never_holds_a_label_that_changes() -> None:
    assert selector("fraud", "fraud-1") == {
        "slipway.dev/model-deployment": "fraud",
        "app.kubernetes.io/component": "predictor",
        "slipway.dev/revision": "fraud-1",
    }
    assert "slipway.dev/revision" not in selector("fraud")
    assert selector_text("fraud", "fraud-1") == (
        "slipway.dev/model-deployment=fraud,app.kubernetes.io/component=predictor,"
        "slipway.dev/revision=fraud-1"
    )


def test_a_child_carries_our_instance_label_and_not_its_owner_s() -> None:
    resource = served()
    resource["metadata"]["labels"] = {"app.kubernetes.io/instance": "argo-app"}
    found = child_labels("fraud", component=Component.PREDICTOR, revision="fraud-1")
    assert found["app.kubernetes.io/instance"] == "fraud"
    assert labels(resource)["app.kubernetes.io/instance"] == "argo-app"
    assert set(selector("fraud", "fraud-1").items()) <= set(found.items())


def test_the_owner_controls_and_blocks() -> None:
    resource = served()
    assert owner_reference(resource) == {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelDeployment",
        "name": "fraud",
        "uid": resource["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
