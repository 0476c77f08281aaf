"""The operator's pods: settings, restrictions, placement."""

import pytest

from slipway.contract import OperatorEnv, Port
from slipway_operator.settings import read
from tests.support import helm as real
from tests.support.charts import DIGEST, EVERYTHING, Render, environment, only
from tests.support.helm import Json

pytestmark = pytest.mark.skipif(real.program() is None, reason=real.MISSING)


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
    assert found.config.images.server_openvino == "slipway-server-openvino:0.1.0"
    assert found.config.images.optimizer_openvino == "slipway-optimizer-openvino:0.1.0"
    assert found.config.images.server_cuda == "slipway-server-cuda:0.1.0"
    assert found.config.images.optimizer_cuda == "slipway-optimizer-cuda:0.1.0"
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
