"""Server-side apply. Expected results follow the documentation of Kubernetes' server-side apply."""

from typing import Any

from slipway_local.store import fields
from slipway_local.store.fields import Owners
from slipway_local.store.schema import ListKeys

KEYS = ListKeys("Deployment")
Json = dict[str, Any]


class Live:
    """One object, applied to and patched."""

    def __init__(self) -> None:
        self.tree: Json = {}
        self.owners = Owners()

    def apply(self, config: Json) -> Json:
        self.tree, self.owners = fields.apply(self.tree, config, self.owners, KEYS)
        return self.tree

    def other_sets(self, tree: Json) -> None:
        self.owners = fields.patched(self.owners, self.tree, tree, KEYS)
        self.tree = tree


def test_a_field_that_the_next_apply_leaves_out_disappears() -> None:
    live = Live()
    live.apply({"spec": {"a": 1, "b": {"c": 2, "d": 3}}})

    assert live.apply({"spec": {"b": {"c": 2}}}) == {"spec": {"b": {"c": 2}}}


def test_a_map_that_an_apply_empties_disappears_too() -> None:
    live = Live()
    live.apply({"spec": {"a": 1, "b": {"c": {"d": 3}}}})

    assert live.apply({"spec": {"a": 1}}) == {"spec": {"a": 1}}


def test_a_field_that_somebody_else_set_stays() -> None:
    live = Live()
    live.apply({"spec": {"template": "t1"}})
    live.other_sets({"spec": {"template": "t1", "replicas": 3}})

    assert live.apply({"spec": {"template": "t2"}}) == {"spec": {"template": "t2", "replicas": 3}}


def test_a_field_given_up_after_somebody_else_changed_it_stays_theirs() -> None:
    live = Live()
    live.apply({"spec": {"replicas": 2, "template": "t"}})
    live.other_sets({"spec": {"replicas": 5, "template": "t"}})

    assert live.apply({"spec": {"template": "t"}}) == {"spec": {"replicas": 5, "template": "t"}}


def test_a_field_that_others_changed_and_changed_back_is_still_theirs() -> None:
    live = Live()
    live.apply({"spec": {"replicas": 2}})
    live.other_sets({"spec": {"replicas": 5}})
    live.other_sets({"spec": {"replicas": 2}})

    assert live.apply({"spec": {}})["spec"] == {"replicas": 2}


def test_an_apply_takes_a_field_by_force_and_may_then_drop_it() -> None:
    live = Live()
    live.other_sets({"spec": {"replicas": 5}})
    live.apply({"spec": {"replicas": 2, "x": 1}})

    assert live.apply({"spec": {"x": 1}}) == {"spec": {"x": 1}}


def test_a_field_that_both_set_alike_survives_when_one_drops_it() -> None:
    live = Live()
    live.other_sets({"spec": {"replicas": 5}})
    live.apply({"spec": {"replicas": 5, "x": 1}})

    assert live.apply({"spec": {"x": 1}}) == {"spec": {"replicas": 5, "x": 1}}


def test_items_of_keyed_lists_merge_by_their_keys() -> None:
    live = Live()
    live.apply({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]})
    live.other_sets(
        {
            "containers": [
                {"name": "a", "image": "1", "tty": True},
                {"name": "b", "image": "1"},
                {"name": "sidecar", "image": "9"},
            ]
        }
    )

    assert live.apply({"containers": [{"name": "a", "image": "2"}]}) == {
        "containers": [
            {"name": "a", "image": "2", "tty": True},
            {"name": "sidecar", "image": "9"},
        ]
    }


def test_a_dropped_item_of_which_others_own_a_part_keeps_that_part_and_its_key() -> None:
    live = Live()
    live.apply({"env": [{"name": "A", "value": "1", "note": "x"}], "y": 1})
    live.other_sets({"env": [{"name": "A", "value": "1", "note": "theirs"}], "y": 1})

    assert live.apply({"y": 1}) == {"env": [{"name": "A", "note": "theirs"}], "y": 1}


def test_ports_with_and_without_a_protocol_are_the_same_port() -> None:
    live = Live()
    live.apply({"ports": [{"containerPort": 80, "name": "http"}]})
    live.other_sets({"ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}]})

    assert live.apply({"ports": [{"containerPort": 80, "name": "web"}]}) == {
        "ports": [{"containerPort": 80, "name": "web", "protocol": "TCP"}]
    }


def test_other_lists_are_one_value() -> None:
    live = Live()
    live.apply({"command": ["a", "b"]})

    assert live.apply({"command": ["c"]}) == {"command": ["c"]}


def test_a_value_that_is_false_or_empty_is_no_absent_one() -> None:
    live = Live()
    live.apply({"a": {"b": False, "c": 0, "d": ""}, "e": 1})

    assert live.apply({"a": {"b": False, "c": 0, "d": ""}}) == {"a": {"b": False, "c": 0, "d": ""}}


def test_lists_of_a_model_deployment_merge_as_its_crd_says() -> None:
    keys = ListKeys("ModelDeployment")

    assert keys.of(("spec", "validation", "gates")) == ("name",)
    assert keys.of(("spec", "rollout", "canary", "steps")) is None
    assert keys.of(("metadata", "ownerReferences")) == ("uid",)


def test_a_controller_revision_s_data_merges_no_list() -> None:
    assert ListKeys("ControllerRevision").of(("data", "env")) is None
