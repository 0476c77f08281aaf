"""What an API server does with objects."""

import pytest

from slipway.errors import Conflict, Invalid, NotFound
from slipway_local.clock import VirtualClock
from slipway_local.objects import Objects
from slipway_local.store.history import Scope
from slipway_local.store.selectors import parse_selector
from slipway_operator.kube.cluster import AlreadyExists, Gone
from slipway_operator.plan.objects import Object, Ref
from tests.support import builders, manifests
from tests.support.manifests import config_map, ref


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def objects(clock: VirtualClock) -> Objects:
    return Objects(clock)


def version(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])


def test_a_new_object_gets_an_identity(objects: Objects, clock: VirtualClock) -> None:
    clock.advance(61)
    made = objects.create(manifests.deployment())

    meta = made["metadata"]
    assert meta["creationTimestamp"] == "2026-01-01T00:01:01Z"
    assert meta["generation"] == 1
    assert meta["uid"]
    assert version(made) == objects.version


def test_two_objects_never_share_a_uid_not_even_one_made_anew(objects: Objects) -> None:
    first = objects.create(config_map())
    objects.delete(ref("ConfigMap"))
    second = objects.create(config_map())

    assert first["metadata"]["uid"] != second["metadata"]["uid"]


def test_a_namespace_has_the_same_uid_in_every_cluster(objects: Objects) -> None:
    """Artifact keys hold it: a second run in the same folder finds what the first left."""
    here = objects.get(Ref("Namespace", "", "default"))
    there = Objects(VirtualClock()).get(Ref("Namespace", "", "default"))

    assert here["metadata"]["uid"] == there["metadata"]["uid"]


def test_a_name_can_be_left_to_the_server(objects: Objects) -> None:
    manifest = config_map()
    del manifest["metadata"]["name"]
    manifest["metadata"]["generateName"] = "web-"

    names = {objects.create(manifest)["metadata"]["name"] for _ in range(50)}

    assert len(names) == 50
    assert all(name.startswith("web-") and len(name) == 9 for name in names)


def test_a_name_is_taken_once(objects: Objects) -> None:
    objects.create(config_map())

    with pytest.raises(AlreadyExists, match='configmaps "web" already exists'):
        objects.create(config_map())


def test_what_is_not_there_is_not_found(objects: Objects) -> None:
    with pytest.raises(NotFound, match=r'deployments\.apps "web" not found'):
        objects.get(ref("Deployment"))
    with pytest.raises(NotFound, match="has no kind 'Gadget'"):
        objects.get(ref("Gadget"))
    with pytest.raises(NotFound, match="elsewhere"):
        objects.create(config_map(namespace="elsewhere"))


def test_only_a_spec_makes_a_new_generation(objects: Objects) -> None:
    objects.create(builders.model_deployment("m"))
    m = ref("ModelDeployment", "m")

    labelled = objects.patch(m, {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}})
    reported = objects.patch(m, {"status": {"observedGeneration": 1}}, "status")
    changed = objects.patch(m, {"spec": {"replicas": 2}})

    generations = [o["metadata"]["generation"] for o in (labelled, reported, changed)]
    assert generations == [1, 1, 2]


def test_a_deployment_s_annotations_make_a_new_generation_too(objects: Objects) -> None:
    objects.create(manifests.deployment())

    patched = objects.patch(ref("Deployment"), {"metadata": {"annotations": {"a": "b"}}})

    assert patched["metadata"]["generation"] == 2


def test_the_main_door_does_not_write_status(objects: Objects) -> None:
    manifest = manifests.deployment()
    objects.create(manifest | {"status": {"readyReplicas": 9}})
    objects.patch(ref("Deployment"), {"status": {"readyReplicas": 9}})
    objects.apply(manifest | {"status": {"readyReplicas": 9}})

    assert objects.get(ref("Deployment"))["status"] == {}


def test_the_status_door_writes_nothing_else(objects: Objects) -> None:
    objects.create(manifests.deployment(replicas=2))
    patch = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"replicas": 7},
        "status": {"replicas": 1},
    }

    after = objects.patch(ref("Deployment"), patch, "status")

    assert after["spec"]["replicas"] == 2
    assert "labels" not in after["metadata"]
    assert after["status"] == {"replicas": 1}


def test_a_status_patch_merges_and_leaves_out_what_it_does_not_name(objects: Objects) -> None:
    objects.create(builders.model_deployment("m"))
    m = ref("ModelDeployment", "m")
    objects.patch(m, {"status": {"message": "a", "replicas": 1}}, "status")

    after = objects.patch(m, {"status": {"message": "b"}}, "status")
    objects.patch(m, {"metadata": {"resourceVersion": str(version(after))}}, "status")

    assert objects.get(m)["status"] == {"message": "b", "replicas": 1}


def test_the_scale_door_writes_replicas_and_nothing_else(objects: Objects) -> None:
    objects.create(builders.model_deployment("m"))

    after = objects.patch(
        ref("ModelDeployment", "m"), {"spec": {"replicas": 7, "model": None}}, "scale"
    )

    assert (after["spec"]["replicas"], "model" in after["spec"]) == (7, True)


def test_there_is_no_other_door(objects: Objects) -> None:
    objects.create(config_map())

    with pytest.raises(NotFound, match="no subresource 'status'"):
        objects.patch(ref("ConfigMap"), {"status": {}}, "status")


def test_a_write_that_changes_nothing_makes_no_version(objects: Objects) -> None:
    first = objects.apply(manifests.deployment(replicas=2))
    again = objects.apply(manifests.deployment(replicas=2))
    patched = objects.patch(ref("Deployment"), {"spec": {"replicas": 2}})

    assert version(first) == version(again) == version(patched) == objects.version


@pytest.mark.parametrize("subresource", ["", "status"])
def test_a_patch_onto_an_old_version_is_a_conflict(objects: Objects, subresource: str) -> None:
    old = objects.create(builders.model_deployment("m"))
    m = ref("ModelDeployment", "m")
    objects.patch(m, {"metadata": {"labels": {"a": "b"}}})
    patch = {
        "metadata": {"resourceVersion": str(version(old))},
        "spec": {"replicas": 7},
        "status": {"message": "late"},
    }

    with pytest.raises(Conflict, match="read it again"):
        objects.patch(m, patch, subresource)

    after = objects.get(m)
    assert (after["spec"]["replicas"], after["status"]) == (4, {})


def test_a_patch_onto_the_live_version_is_fine(objects: Objects) -> None:
    live = objects.create(config_map())

    after = objects.patch(
        ref("ConfigMap"),
        {"metadata": {"resourceVersion": str(version(live))}, "data": {"b": "2"}},
    )

    assert after["data"] == {"a": "1", "b": "2"}
    assert version(after) > version(live)


def test_an_apply_of_another_object_s_uid_is_a_conflict(objects: Objects) -> None:
    objects.create(config_map())

    with pytest.raises(Conflict, match="uid"):
        objects.apply(config_map(uid="somebody-else"))


def test_replicas_that_an_autoscaler_wrote_survive_the_operator_s_applies(
    objects: Objects,
) -> None:
    objects.apply(manifests.deployment())
    objects.patch(ref("Deployment"), {"spec": {"replicas": 3}}, "scale")

    after = objects.apply(manifests.deployment(pod=manifests.template(manifests.container())))

    assert after["spec"]["replicas"] == 3


def test_replicas_that_the_operator_gives_up_fall_back_to_the_default(objects: Objects) -> None:
    """The trap of handing replicas to an autoscaler in one step, as on a real cluster."""
    objects.apply(manifests.deployment(replicas=3))

    assert objects.apply(manifests.deployment())["spec"]["replicas"] == 1


def test_identity_cannot_be_patched_away(objects: Objects) -> None:
    made = objects.create(config_map())

    after = objects.patch(
        ref("ConfigMap"),
        {"metadata": {"name": "x", "creationTimestamp": "2000-01-01T00:00:00Z", "labels": {}}},
    )

    changing = {"resourceVersion", "labels"}
    assert {k: v for k, v in after["metadata"].items() if k not in changing} == {
        k: v for k, v in made["metadata"].items() if k not in changing
    }


def test_a_kind_cannot_change(objects: Objects) -> None:
    objects.create(config_map())

    with pytest.raises(Invalid, match="kind 'Secret' cannot change"):
        objects.patch(ref("ConfigMap"), {"kind": "Secret"})


def test_what_was_given_is_not_kept_by_reference(objects: Objects) -> None:
    manifest = config_map()
    objects.create(manifest)
    manifest["data"]["a"] = "altered"
    patch = {"data": {"c": {"d": "1"}}}
    objects.patch(ref("ConfigMap"), patch)
    patch["data"]["c"]["d"] = "altered"

    assert objects.get(ref("ConfigMap"))["data"] == {"a": "1", "c": {"d": "1"}}


def test_deleting_asks_for_the_uid_it_was_given(objects: Objects) -> None:
    live = objects.create(config_map())

    with pytest.raises(Conflict, match="not other"):
        objects.delete(ref("ConfigMap"), uid="other")
    objects.delete(ref("ConfigMap"), uid=live["metadata"]["uid"])
    objects.delete(ref("ConfigMap"), uid=live["metadata"]["uid"])

    assert objects.find(ref("ConfigMap")) is None
    assert not objects.has_uid(live["metadata"]["uid"])


def test_a_running_pod_is_given_time_and_a_finished_one_goes_at_once(objects: Objects) -> None:
    objects.create(manifests.pod("running", terminationGracePeriodSeconds=20))
    objects.create(manifests.pod("finished"))
    objects.set_status(ref("Pod", "finished"), {"phase": "Succeeded"})

    objects.delete(ref("Pod", "running"))
    objects.delete(ref("Pod", "finished"))

    assert objects.find(ref("Pod", "finished")) is None
    meta = objects.get(ref("Pod", "running"))["metadata"]
    assert meta["deletionTimestamp"] == "2026-01-01T00:00:20Z"
    assert meta["deletionGracePeriodSeconds"] == 20

    objects.finish(ref("Pod", "running"))
    assert objects.find(ref("Pod", "running")) is None


def test_a_finalizer_holds_a_deleted_object_until_it_is_taken_off(objects: Objects) -> None:
    objects.create(config_map(finalizers=["x/y"]))
    objects.delete(ref("ConfigMap"))
    assert objects.get(ref("ConfigMap"))["metadata"]["deletionTimestamp"]

    objects.patch(ref("ConfigMap"), {"metadata": {"finalizers": None}})

    assert objects.find(ref("ConfigMap")) is None


def test_nothing_new_is_made_in_a_namespace_that_is_being_deleted(objects: Objects) -> None:
    objects.create(manifests.namespace("team"))
    objects.delete(Ref("Namespace", "", "team"))

    with pytest.raises(Invalid, match="being deleted"):
        objects.create(config_map(namespace="team"))


def test_objects_are_selected_by_namespace_and_labels(objects: Objects) -> None:
    objects.create(manifests.namespace("team"))
    objects.create(config_map("a", labels={"x": "1"}))
    objects.create(config_map("b", labels={"x": "2"}))
    objects.create(config_map("c", labels={"x": "1"}, namespace="team"))

    def names(namespace: str | None, selector: str) -> list[str]:
        found = objects.select("ConfigMap", namespace, selector)
        return [obj["metadata"]["name"] for obj in found]

    assert names(None, "x=1") == ["a", "c"]
    assert names("default", "") == ["a", "b"]
    assert names("default", "x in (2,3)") == ["b"]


def test_the_log_shows_changes_as_one_watch_sees_them(objects: Objects) -> None:
    start = objects.version
    objects.create(config_map("in", labels={"x": "1"}))
    objects.create(config_map("out"))
    objects.create(manifests.secret("in"))
    objects.patch(ref("ConfigMap", "out"), {"metadata": {"labels": {"x": "1"}}})
    objects.patch(ref("ConfigMap", "in"), {"data": {"b": "2"}})
    objects.patch(ref("ConfigMap", "in"), {"metadata": {"labels": None}})
    objects.delete(ref("ConfigMap", "out"))
    scope = Scope("ConfigMap", None, parse_selector("x=1"))

    seen = [(e.type, e.object["metadata"]["name"]) for _, e in objects.since(start, scope)]

    assert seen == [
        ("ADDED", "in"),
        ("ADDED", "out"),
        ("MODIFIED", "in"),
        ("DELETED", "in"),
        ("DELETED", "out"),
    ]


def test_a_deleted_object_has_a_version_of_its_own(objects: Objects) -> None:
    made = objects.create(config_map())
    objects.delete(ref("ConfigMap"))

    events = list(objects.since(version(made), Scope("ConfigMap", None, ())))

    assert [version(event.object) for _, event in events] == [version(made) + 1]


def test_changes_that_are_forgotten_are_gone(clock: VirtualClock) -> None:
    objects = Objects(clock, history=3)
    for name in "abcd":
        objects.create(config_map(name))
    scope = Scope("ConfigMap", None, ())

    with pytest.raises(Gone, match="too old"):
        list(objects.since(1, scope))
    names = [e.object["metadata"]["name"] for _, e in objects.since(2, scope)]
    assert names == ["b", "c", "d"]
