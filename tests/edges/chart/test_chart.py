"""The chart as the real helm renders it: rights, pods, settings, and what it refuses."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from slipway.contract import OperatorEnv, Port
from slipway_operator import generate
from slipway_operator.kube.kinds import KINDS
from slipway_operator.settings import read
from tests.support import helm as real
from tests.support.helm import CHART, Json, Refused

pytestmark = pytest.mark.skipif(real.program() is None, reason=real.MISSING)

DIGEST = "sha256:" + "a" * 64
EVERYTHING: Json = {
    "commonLabels": {"team": "ml"},
    "image": {"registry": "registry.example:5000/team/", "digest": DIGEST},
    "imagePullSecrets": [{"name": "first"}, {"name": "second"}],
    "runtime": {
        "images": {"server": {"repository": "mine/server", "tag": "7"}},
        "loaderImages": ["mine/*", "other@" + DIGEST],
    },
    "storage": {"defaults": {"storageUri": "s3://bucket/models", "secretName": "store"}},
    "watchNamespaces": ["team-a", "team-b"],
    "clusterDomain": "example.internal",
    "replicaCount": 3,
    "logFormat": "text",
    "logLevel": "DEBUG",
    "resyncSeconds": 60,
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "serviceAccount": {"name": "mine", "annotations": {"owner": "ml"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "nodeSelector": {"pool": "system"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "networkPolicy": {"models": {"enabled": True, "storagePorts": [443, 9000]}},
}
CONFINED: Json = {"watchNamespaces": ["team-a"], "crds": {"install": False}}
CLUSTER_KINDS = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Namespace"}

Render = Callable[..., list[Json]]


@pytest.fixture
def render(tmp_path: Path) -> Render:
    """Renders the chart with some values."""

    def with_values(values: Json | None = None) -> list[Json]:
        return real.rendered(values, folder=tmp_path)

    return with_values


def of(objects: list[Json], kind: str) -> list[Json]:
    return [obj for obj in objects if obj["kind"] == kind]


def only(objects: list[Json], kind: str) -> Json:
    (found,) = of(objects, kind)
    return found


def rules(objects: list[Json]) -> Iterator[Json]:
    """Rights of the operator; those of users are apart."""
    for obj in [*of(objects, "Role"), *of(objects, "ClusterRole")]:
        if not any("aggregate-to" in label for label in obj["metadata"]["labels"]):
            yield from obj["rules"]


def environment(objects: list[Json]) -> dict[str, str]:
    """What the operator's process gets; fields of the pod by a made-up value."""
    container = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    direct = {entry["name"]: entry.get("value", "from-the-pod") for entry in container["env"]}
    return {**only(objects, "ConfigMap")["data"], **direct}


@pytest.mark.parametrize("values", [{}, EVERYTHING, CONFINED], ids=["default", "all", "confined"])
def test_lint_finds_nothing(values: Json, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    assert "0 chart(s) failed" in real.helm("lint", "--strict", str(CHART), "-f", str(path))


def test_by_default_there_are_these_objects(render: Render) -> None:
    names = sorted(f"{obj['kind']}/{obj['metadata']['name']}" for obj in render())
    assert names == [
        "ClusterRole/slipway-modeldeployments-edit",
        "ClusterRole/slipway-modeldeployments-view",
        "ClusterRole/slipway-system-slipway",
        "ClusterRoleBinding/slipway-system-slipway",
        "ConfigMap/slipway",
        "CustomResourceDefinition/modeldeployments.slipway.dev",
        "Deployment/slipway",
        "NetworkPolicy/slipway",
        "PodDisruptionBudget/slipway",
        "Role/slipway-leader",
        "RoleBinding/slipway-leader",
        "Service/slipway-metrics",
        "ServiceAccount/slipway",
    ]


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


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "all"])
def test_the_settings_are_exactly_those_that_the_operator_reads(
    values: Json, render: Render
) -> None:
    names = {name for name in environment(render(values)) if name.startswith("SLIPWAY_")}
    assert names == set(OperatorEnv)


def test_the_operator_reads_the_defaults(render: Render) -> None:
    found = read(environment(render()))
    assert found.config.images.server == "slipway-server:0.1.0"
    assert found.config.images.optimizer == "slipway-optimizer:0.1.0"
    assert found.config.images.optimizer_classic == "slipway-optimizer-classic:0.1.0"
    assert found.config.images.optimizer_torch == "slipway-optimizer-torch:0.1.0"
    assert found.config.images.optimizer_tensorflow == "slipway-optimizer-tensorflow:0.1.0"
    assert found.config.images.optimizer_mindspore == "slipway-optimizer-mindspore:0.1.0"
    assert found.config.images.loader_images == ()
    assert found.config.images.pull_policy == "IfNotPresent"
    assert found.config.default_artifacts is None
    assert found.config.cluster_domain == "svc.cluster.local"
    assert (found.namespaces, found.json_logs, found.log_level) == ((), True, "INFO")
    assert found.resync_seconds == 600


def test_the_operator_reads_what_the_values_say(render: Render) -> None:
    found = read(environment(render(EVERYTHING)))
    assert found.namespaces == ("team-a", "team-b")
    assert found.config.images.server == "registry.example:5000/team/mine/server:7"
    assert found.config.images.pull_secrets == ("first", "second")
    assert found.config.images.loader_images == ("mine/*", "other@" + DIGEST)
    assert found.config.default_artifacts is not None
    assert found.config.default_artifacts.storage_uri == "s3://bucket/models"
    assert found.config.default_artifacts.secret_name == "store"
    assert found.config.cluster_domain == "svc.example.internal"
    assert (found.json_logs, found.log_level) == (False, "DEBUG")
    assert found.resync_seconds == 60


def test_the_operators_pod_is_restricted(render: Render) -> None:
    pod = only(render(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"memory"} <= set(container["resources"]["limits"])
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert [volume["name"] for volume in pod["volumes"] if "emptyDir" in volume] == ["tmp"]
    assert len(pod["volumes"]) == 1


def test_two_replicas_of_which_an_update_takes_none(render: Render) -> None:
    spec = only(render(), "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()


def test_its_own_objects_are_not_taken_for_the_operators_children(render: Render) -> None:
    owners = {o["metadata"]["labels"]["app.kubernetes.io/managed-by"] for o in render(EVERYTHING)}
    assert owners == {"Helm"}


def test_probes_ask_the_operators_port(render: Render) -> None:
    container = only(render(), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"] == [
        {"name": "metrics", "containerPort": int(Port.OPERATOR), "protocol": "TCP"}
    ]
    probes = {key: container[key]["httpGet"] for key in container if key.endswith("Probe")}
    assert probes == {
        "startupProbe": {"path": "/healthz", "port": "metrics"},
        "livenessProbe": {"path": "/healthz", "port": "metrics"},
        "readinessProbe": {"path": "/readyz", "port": "metrics"},
    }


def test_a_change_of_settings_makes_new_pods_and_a_change_of_labels_does_not(
    render: Render,
) -> None:
    def checksum(values: Json) -> str:
        template = only(render(values), "Deployment")["spec"]["template"]
        found: str = template["metadata"]["annotations"]["slipway.dev/config-checksum"]
        return found

    assert checksum({}) == checksum({"nodeSelector": {"a": "b"}})
    assert checksum({}) != checksum({"logLevel": "DEBUG"})


def test_pods_are_placed_and_marked_as_the_values_say(render: Render) -> None:
    template = only(render(EVERYTHING), "Deployment")["spec"]["template"]
    pod = template["spec"]
    assert template["metadata"]["labels"].items() >= {"team": "ml", "c": "d"}.items()
    assert template["metadata"]["annotations"]["a"] == "b"
    assert pod["nodeSelector"] == {"pool": "system"}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["affinity"] == {"nodeAffinity": {}}
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert pod["serviceAccountName"] == "mine"
    assert pod["imagePullSecrets"] == [{"name": "first"}, {"name": "second"}]
    assert pod["containers"][0]["image"] == (
        f"registry.example:5000/team/slipway-operator@{DIGEST}"
    )
    assert {"name": "TZ", "value": "UTC"} in pod["containers"][0]["env"]


def test_the_crd_is_the_generated_one_and_kept(render: Render) -> None:
    found = only(render(), "CustomResourceDefinition")
    plain = yaml.safe_load((CHART.parents[1] / "crds" / "modeldeployments.yaml").read_text())
    assert found["spec"] == plain["spec"]
    assert found["metadata"]["name"] == plain["metadata"]["name"]
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_crd_goes_with_the_release_when_it_is_not_kept(render: Render) -> None:
    found = only(render({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert "annotations" not in found["metadata"]


def test_the_operator_accepts_nothing_but_probes_and_scrapes(render: Render) -> None:
    policy = only(render(), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"] == [{"ports": [{"port": 8081, "protocol": "TCP"}]}]


def test_model_pods_accept_inference_and_reach_dns_and_stores_only(render: Render) -> None:
    policies = {
        (obj["metadata"]["namespace"], obj["metadata"]["name"]): obj["spec"]
        for obj in of(render(EVERYTHING), "NetworkPolicy")
    }
    for namespace in ("team-a", "team-b"):
        predictor = policies[namespace, "slipway-predictor"]
        ports = [port["port"] for rule in predictor["ingress"] for port in rule["ports"]]
        assert ports == [int(Port.HTTP), int(Port.GRPC)]
        for name in ("predictor", "optimizer", "replay"):
            spec = policies[namespace, f"slipway-{name}"]
            assert spec["policyTypes"] == ["Ingress", "Egress"]
            assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == name
            reached = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
            assert reached == {53, 443, 9000} | ({8080} if name == "replay" else set())
            blocks = [
                to["ipBlock"] for r in spec["egress"] for to in r.get("to", ()) if "ipBlock" in to
            ]
            assert ["169.254.0.0/16"] in [block["except"] for block in blocks]
        assert "ingress" not in policies[namespace, "slipway-optimizer"]


def test_a_policy_for_models_needs_to_know_their_namespaces(render: Render) -> None:
    with pytest.raises(Refused, match="needs watchNamespaces"):
        render({"networkPolicy": {"models": {"enabled": True}}})


def test_a_service_monitor_selects_the_metrics_service(render: Render) -> None:
    objects = render(EVERYTHING)
    monitor, service = only(objects, "ServiceMonitor"), only(objects, "Service")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"replicaCont": 2}, "replicaCont"),
        ({"image": {"tags": "1"}}, "tags"),
        ({"storage": {"defaults": {"storageUri": "http://x"}}}, "storageUri"),
        ({"watchNamespaces": "team-a"}, "watchNamespaces"),
        ({"replicaCount": 0}, "replicaCount"),
        ({"logLevel": "TRACE"}, "logLevel"),
        ({"resyncSeconds": 5}, "resyncSeconds"),
        ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "app.kubernetes.io/name"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(
    values: Json, says: str, render: Render
) -> None:
    with pytest.raises(Refused, match=says):
        render(values)


def test_an_old_kubernetes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"1\.30"):
        real.helm("template", "slipway", str(CHART), "--kube-version", "1.29.9")


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from paths(child, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix


def test_every_value_is_used_by_a_template() -> None:
    """A value that does nothing is a promise that is not kept."""
    text = "".join(path.read_text() for path in (CHART / "templates").rglob("*"))
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    unused = [path for path in paths(values) if not re.search(rf"\b{path.split('.')[-1]}\b", text)]
    whole = {"requests", "limits", "cpu", "memory"}  # `resources` is copied as it is
    assert [path for path in unused if path.split(".")[-1] not in whole] == []


def test_the_schema_knows_every_value_and_refuses_any_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(values, schema)

    def objects(node: Json, value: Any, path: str) -> Iterator[str]:
        if "properties" in node:
            assert node["additionalProperties"] is False, path
            assert set(value) <= set(node["properties"]), path
            for key, child in value.items():
                yield from objects(node["properties"][key], child, f"{path}.{key}")
        yield path

    assert len(list(objects(schema, values, ""))) > 50


def notes(*flags: str) -> str:
    return real.helm(
        *(
            "install",
            "slipway",
            str(CHART),
            "-n",
            "ml",
            "--dry-run=client",
            "--disable-openapi-validation",
        ),
        *flags,
    )


def test_the_notes_say_what_is_missing() -> None:
    assert "MISSING: storage.defaults.storageUri is not set" in notes()


def test_the_notes_hold_a_first_model_that_the_api_takes() -> None:
    from slipway.api.v1alpha1.resource import parse_spec

    text = notes().split("<<END\n", 1)[1].split("\nEND\n", 1)[0]
    manifest = yaml.safe_load(text)
    assert manifest["kind"] == "ModelDeployment"
    assert parse_spec(manifest, strict=True).artifacts is not None


def test_the_notes_are_quiet_about_what_is_there() -> None:
    found = notes(
        *("--set", "storage.defaults.storageUri=s3://bucket/x"),
        *("--set", "storage.defaults.secretName=store"),
    )
    assert "MISSING" not in found
    assert "artifacts:" not in found.split("<<END\n", 1)[1].split("\nEND\n", 1)[0]
