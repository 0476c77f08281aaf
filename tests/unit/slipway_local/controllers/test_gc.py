from slipway_local.clock import VirtualClock
from slipway_local.controllers import gc
from slipway_local.objects import Objects
from slipway_operator.plan.objects import Ref
from tests.support.manifests import config_map, namespace, owned_by, ref, secret


def objects() -> Objects:
    return Objects(VirtualClock())


def collect(store: Objects) -> None:
    for _ in range(5):
        gc.step(store, store.clock.now())


def test_what_an_object_owns_goes_with_it_down_the_line() -> None:
    store = objects()
    owner = store.create(config_map("owner"))
    child = store.create(owned_by(owner, config_map("child")))
    store.create(owned_by(child, secret("grandchild")))
    store.create(config_map("bystander"))

    store.delete(ref("ConfigMap", "owner"))
    collect(store)

    assert [o["metadata"]["name"] for o in store.every() if o["kind"] != "Namespace"] == [
        "bystander"
    ]


def test_an_owner_made_anew_under_the_same_name_is_another_one() -> None:
    store = objects()
    owner = store.create(config_map("owner"))
    store.create(owned_by(owner, config_map("child")))
    store.delete(ref("ConfigMap", "owner"))
    store.create(config_map("owner"))

    collect(store)

    assert store.find(ref("ConfigMap", "child")) is None


def test_one_living_owner_is_enough() -> None:
    store = objects()
    gone, stays = store.create(config_map("gone")), store.create(config_map("stays"))
    child = owned_by(gone, config_map("child"))
    child["metadata"]["ownerReferences"] += owned_by(stays, {})["metadata"]["ownerReferences"]
    store.create(child)

    store.delete(ref("ConfigMap", "gone"))
    collect(store)

    assert store.find(ref("ConfigMap", "child")) is not None


def test_a_namespace_goes_with_all_that_is_in_it() -> None:
    store = objects()
    store.create(namespace("team"))
    store.create(config_map("a", namespace="team"))
    store.create(config_map("b"))

    store.delete(Ref("Namespace", "", "team"))
    collect(store)

    assert store.find(Ref("Namespace", "", "team")) is None
    assert store.find(Ref("ConfigMap", "team", "a")) is None
    assert store.find(ref("ConfigMap", "b")) is not None
