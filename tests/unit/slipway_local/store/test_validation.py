"""Refusals that an API server would make."""

from typing import Any

import pytest

from slipway.errors import Invalid
from slipway_local.clock import VirtualClock
from slipway_local.objects import Objects
from tests.support import builders, manifests
from tests.support.manifests import container, merged, template

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a name with capitals": (manifests.config_map("Web"), "metadata.name"),
    "a Service name that starts with a digit": (manifests.service("1web"), "metadata.name"),
    "a resource's name of 41 letters": (builders.model_deployment("m" * 41), "at most 40"),
    "no name": (manifests.config_map(""), "metadata.name is missing"),
    "no namespace": (manifests.config_map(namespace=""), "metadata.namespace"),
    "a label value of 64 letters": (
        manifests.config_map(labels={"a": "x" * 64}),
        "metadata.labels.a",
    ),
    "a label key with a space": (manifests.config_map(labels={"a b": "x"}), "metadata.labels"),
    "an annotation that is a number": (
        manifests.config_map(annotations={"a": 1}),
        "metadata.annotations.a",
    ),
    "annotations of half a megabyte": (
        manifests.config_map(annotations={"a": "x" * 2**19}),
        "metadata.annotations",
    ),
    "an owner without a uid": (
        manifests.config_map(
            ownerReferences=[{"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}]
        ),
        "metadata.ownerReferences",
    ),
    "another API version": (merged(manifests.deployment(), {"apiVersion": "v1"}), "apiVersion"),
    "a Deployment that does not select its pods": (
        manifests.deployment(selector={"matchLabels": {"app": "other"}}),
        "selector does not match",
    ),
    "a Deployment with an empty selector": (manifests.deployment(selector={}), "spec.selector"),
    "a Deployment that never restarts": (
        manifests.deployment(pod=template(restartPolicy="Never")),
        "only Always",
    ),
    "a Deployment with fewer than no replicas": (
        manifests.deployment(replicas=-1),
        "spec.replicas",
    ),
    "a Deployment without containers": (
        manifests.deployment(pod={"metadata": {"labels": manifests.LABELS}, "spec": {}}),
        "spec.template.spec.containers",
    ),
    "a Job that always restarts": (
        merged(manifests.job(), {"spec": {"template": {"spec": {"restartPolicy": "Always"}}}}),
        "OnFailure or Never",
    ),
    "two containers of one name": (
        manifests.pod("p", container("a"), container("a")),
        "unique DNS labels",
    ),
    "a container without an image": (manifests.pod("p", container(image="")), "image"),
    "a mount of a volume that is not there": (
        manifests.pod("p", container(volumeMounts=[{"name": "v", "mountPath": "/v"}])),
        "no such volume",
    ),
    "a port name of 16 letters": (
        manifests.pod("p", container(ports=[{"containerPort": 1, "name": "x" * 16}])),
        "at most 15",
    ),
    "a Service without ports": (manifests.service(ports=[]), "at least one port"),
    "two ports without names": (
        manifests.service(ports=[{"port": 1}, {"port": 2}]),
        "every port needs a name",
    ),
    "an autoscaler upside down": (
        manifests.autoscaler(minReplicas=3, maxReplicas=2),
        "at least minReplicas",
    ),
    "a resource with a typing error": (
        builders.model_deployment(replicass=3),
        "spec.replicass",
    ),
    "a resource that breaks a rule": (
        builders.model_deployment(autoscaling={"minReplicas": 3, "maxReplicas": 2}),
        "maxReplicas",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_an_api_server_refuses(case: str) -> None:
    manifest, reason = BAD[case]
    objects = Objects(VirtualClock())

    with pytest.raises(Invalid) as refusal:
        objects.create(manifest)

    assert reason in str(refusal.value)
    assert objects.version == 1  # the namespace


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a Deployment's selector": (
        manifests.deployment(),
        {"spec": {"selector": {"matchLabels": {"app": "other"}}}},
    ),
    "a Job's template": (
        manifests.job(),
        {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}},
    ),
    "a Job's selector": (manifests.job(), {"spec": {"selector": {"matchLabels": {"a": "b"}}}}),
    "a revision's data": (
        manifests.obj("ControllerRevision", "apps/v1", "r", revision=1, data={"a": 1}),
        {"data": {"a": 2}},
    ),
    "a Service's address": (manifests.service(), {"spec": {"clusterIP": "127.9.9.9"}}),
    "a pod's image": (manifests.pod(), {"spec": {"containers": [container(image="x:2")]}}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_is_immutable_cannot_change(case: str) -> None:
    manifest, patch = CHANGES[case]
    objects = Objects(VirtualClock())
    made = objects.create(manifest)

    with pytest.raises(Invalid, match="immutable"):
        objects.patch(manifests.ref(made["kind"], made["metadata"]["name"]), patch)


def test_a_resource_s_status_must_be_what_its_schema_knows() -> None:
    objects = Objects(VirtualClock())
    objects.create(builders.model_deployment("m"))

    with pytest.raises(Invalid, match=r"status\.fase"):
        objects.patch(
            manifests.ref("ModelDeployment", "m"), {"status": {"fase": "Pending"}}, "status"
        )
