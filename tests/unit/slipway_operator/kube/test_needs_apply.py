from copy import deepcopy
from typing import Any

import pytest

from slipway_operator.kube.needs_apply import needs_apply, with_hash
from slipway_operator.plan.objects import Object


def desired(**spec: Any) -> Object:
    return {
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "default", "labels": {"a": "b"}},
        "spec": spec,
    }


CONTAINER = {
    "name": "server",
    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
    "ports": [{"name": "http", "containerPort": 8080}, {"name": "grpc", "containerPort": 9000}],
}


def live(want: Object, **spec: Any) -> Object:
    found = deepcopy(with_hash(want))
    found["spec"] |= spec
    found["metadata"] |= {"uid": "u", "resourceVersion": "5"}
    found["status"] = {"replicas": 1}
    return found


def test_what_is_not_there_is_applied() -> None:
    assert needs_apply(desired(), None)


def test_what_others_add_is_none_of_our_business() -> None:
    want = desired(containers=[CONTAINER])
    other = {
        **CONTAINER,
        "imagePullPolicy": "Always",
        "ports": [
            {"name": "grpc", "containerPort": 9000, "protocol": "TCP"},
            {"name": "http", "containerPort": 8080, "protocol": "TCP"},
        ],
    }
    sidecar = {"name": "istio-proxy"}
    assert not needs_apply(want, live(want, containers=[sidecar, other], replicas=9))


@pytest.mark.parametrize(
    ("cpu", "memory", "differs"),
    [
        ("1000m", "1024Mi", False),
        ("1", "1073741824", False),
        ("1100m", "1Gi", True),
        ("x", "1Gi", True),
    ],
)
def test_quantities_are_compared_by_value(cpu: str, memory: str, differs: bool) -> None:
    want = desired(containers=[CONTAINER])
    other = {**CONTAINER, "resources": {"limits": {"cpu": cpu, "memory": memory}}}
    assert needs_apply(want, live(want, containers=[other])) is differs


def test_equal_quantities_elsewhere_are_just_texts() -> None:
    want = desired(label="1")
    assert needs_apply(want, live(want, label="1000m"))


@pytest.mark.parametrize("value", ["", None, False])
def test_what_the_api_server_drops_is_not_missed(value: object) -> None:
    want = desired(field=value)
    found = live(want)
    del found["spec"]["field"]
    assert not needs_apply(want, found)


@pytest.mark.parametrize(
    "changed", [{"a": 2}, {"a": None}, {"list": [1]}, {"list": [2, 1]}, {"map": {}}]
)
def test_a_change_by_another_hand_is_undone(changed: dict[str, Any]) -> None:
    want = desired(a=1, list=[1, 2], map={"k": "v"})
    assert not needs_apply(want, live(want))
    assert needs_apply(want, live(want, **changed))


def test_a_field_that_we_no_longer_want_is_noticed_by_the_hash() -> None:
    before = desired(a=1, b=2)
    assert needs_apply(desired(a=1), live(before))


def test_a_container_that_is_gone_is_noticed() -> None:
    want = desired(containers=[CONTAINER])
    assert needs_apply(want, live(want, containers=[{**CONTAINER, "name": "other"}]))
    assert needs_apply(want, live(want, containers=None))


def test_the_hash_is_of_what_was_wanted_and_stays() -> None:
    want = desired(a=1)
    assert with_hash(want) == with_hash(deepcopy(want))
    assert "annotations" not in want["metadata"]
