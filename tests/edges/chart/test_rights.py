"""Who may do what after an installation."""

import json

import pytest

from slipway_operator import generate
from slipway_operator.kube.kinds import KINDS
from tests.support import helm as real
from tests.support.charts import (
    CLUSTER_KINDS,
    CONFINED,
    EVERYTHING,
    Render,
    of,
    rules,
)
from tests.support.helm import Json

pytestmark = pytest.mark.skipif(real.program() is None, reason=real.MISSING)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "all"])
def test_the_operators_rights_are_exactly_those_of_its_kinds(values: Json, render: Render) -> None:
    wanted = generate.rules(info for info in KINDS.values() if info.kind != "Lease")
    lease = generate.rules([KINDS["Lease"]])
    times = len(values.get("watchNamespaces", ())) or 1
    found = sorted(json.dumps(rule, sort_keys=True) for rule in rules(render(values)))
    assert found == sorted(json.dumps(rule, sort_keys=True) for rule in [*lease, *wanted * times])


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "all"])
def test_nobody_gets_a_wildcard_or_secrets(values: Json, render: Render) -> None:
    objects = render(values)
    every = [
        rule for kind in ("Role", "ClusterRole") for o in of(objects, kind) for rule in o["rules"]
    ]
    words = {word for rule in every for part in rule.values() for word in part}
    assert not [word for word in words if "*" in word]
    assert words.isdisjoint({"secrets", "pods/exec", "escalate", "bind", "impersonate"})


def test_users_may_not_write_a_status(render: Render) -> None:
    users = [
        o for o in of(render(), "ClusterRole") if o["metadata"]["name"].endswith(("edit", "view"))
    ]
    assert len(users) == 2
    for role in users:
        for rule in role["rules"]:
            if "modeldeployments/status" in rule["resources"]:
                assert rule["verbs"] == ["get"]


def test_confined_to_namespaces_it_has_no_right_beyond(render: Render) -> None:
    objects = render(EVERYTHING)
    roles = {(o["metadata"]["namespace"], o["metadata"]["name"]) for o in of(objects, "Role")}
    assert roles == {
        ("slipway-system", "slipway-leader"),
        ("team-a", "slipway"),
        ("team-b", "slipway"),
    }
    assert of(objects, "ClusterRoleBinding") == []
    for binding in of(objects, "RoleBinding"):
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "mine", "namespace": "slipway-system"}
        ]


def test_confined_and_without_the_crd_nothing_is_outside_a_namespace(render: Render) -> None:
    objects = render(CONFINED)
    assert CLUSTER_KINDS.isdisjoint(obj["kind"] for obj in objects)
    assert [obj["kind"] for obj in objects if not obj["metadata"].get("namespace")] == []


def test_without_rbac_it_makes_no_right(render: Render) -> None:
    objects = render({"rbac": {"create": False, "aggregateRoles": False}})
    assert not [obj for obj in objects if "Role" in obj["kind"]]
