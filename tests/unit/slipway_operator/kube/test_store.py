import json
from typing import Any

from slipway_operator.kube.store import Store, slim
from slipway_operator.plan.objects import Object, Ref

KEY = ("default", "fraud")


def child(name: str, version: int, *, kind: str = "Deployment", **meta: Any) -> Object:
    return {
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {"slipway.dev/model-deployment": "fraud"},
            **meta,
        },
        "spec": {"replicas": version},
    }


def ref(name: str) -> Ref:
    return Ref("Deployment", "default", name)


def test_the_newest_wins_whoever_brings_it() -> None:
    store = Store()
    assert store.put(child("a", 9)) == KEY
    assert store.put(child("a", 8)) is None
    assert store.put(child("a", 9)) is None
    assert store.put(child("a", 10)) == KEY
    assert (store.get(ref("a")) or {})["spec"] == {"replicas": 10}


def test_what_belongs_to_nobody_is_not_kept() -> None:
    store = Store()
    assert store.put(child("a", 1, labels={})) is None
    assert (len(store), store.get(ref("a"))) == (0, None)


def test_a_late_event_does_not_raise_the_dead() -> None:
    store = Store()
    store.put(child("a", 5))
    assert store.remove(ref("a"), version=7) == KEY
    assert store.put(child("a", 6)) is None
    assert store.of(KEY) == {}
    assert store.put(child("a", 8)) == KEY


def test_a_deletion_of_a_namesake_is_not_ours() -> None:
    store = Store()
    store.put(child("a", 5))
    assert store.remove(ref("a"), uid="another") is None
    assert store.remove(ref("missing")) is None
    assert set(store.of(KEY)) == {ref("a")}


def test_a_whole_list_tells_of_deletions_that_no_watch_told() -> None:
    store = Store()
    mine, other = child("a", 1), child("b", 2, labels={"slipway.dev/model-deployment": "other"})
    store.replace("Deployment", [mine, other])
    store.put(child("j", 3, kind="Job"))
    assert store.replace("Deployment", [child("b", 2, labels=other["metadata"]["labels"])]) == {KEY}
    assert set(store.of(KEY)) == {Ref("Job", "default", "j")}
    assert store.replace("Deployment", []) == {("default", "other")}


def test_what_was_settled_is_forgotten_with_the_object() -> None:
    store = Store()
    store.put(child("a", 1))
    store.settled[ref("a")] = ("1", "hash")
    store.remove(ref("a"))
    assert store.settled == {}


def test_only_what_is_read_is_kept() -> None:
    pod = child(
        "p", 1, kind="Pod", managedFields=[{}], annotations={"slipway.dev/request": "{}", "a": "b"}
    )
    kept = slim(pod)
    assert "spec" not in kept
    assert "managedFields" not in kept["metadata"]
    assert kept["metadata"]["annotations"] == {"a": "b"}
    assert slim(child("d", 4))["spec"] == {"replicas": 4}


def test_objects_parsed_apart_share_their_words_in_memory() -> None:
    first, second = (slim(json.loads(json.dumps(child("d", 4)))) for _ in range(2))
    assert first == second
    for one, other in zip(first["metadata"], second["metadata"], strict=True):
        assert one is other
    assert first["metadata"]["namespace"] is second["metadata"]["namespace"]


def test_long_texts_are_left_alone() -> None:
    text = "x" * 1000
    kept = slim({**child("d", 4), "message": text})
    assert kept["message"] is text
