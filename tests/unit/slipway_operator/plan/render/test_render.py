"""Every rendered child, whole. After a wanted change: SLIPWAY_GOLDEN=write, then read the diff."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway.api.v1alpha1.resource import parse_spec
from slipway.artifacts.words import ExecutionProvider
from slipway_operator.plan.config import Images
from slipway_operator.plan.objects import Object
from slipway_operator.plan.render.deployment import deployment
from slipway_operator.plan.render.job import optimization_job, replay_job, serving_threads
from slipway_operator.plan.render.revision import controller_revision
from slipway_operator.plan.render.scaler import autoscaler, disruption_budget
from slipway_operator.plan.render.service import address_of, service, url_of
from slipway_operator.plan.revision import Revision
from tests.support.builders import config, job_report
from tests.support.worlds import served, stored_revision

GOLDEN = Path(__file__).parent / "golden"
EVIL = "$(reboot)`;--"
IMAGES = Images("example/server:1", "example/optimizer:1", "example/classic:1", "Always", ("pull",))
CONFIG = config(images=IMAGES, node_selector={"disk": "ssd"})


def resource() -> Object:
    return served(
        validation={
            "dataset": {
                "storageUri": f"s3://data/{EVIL}.npz",
                "storage": {"secretRef": {"name": "data"}},
            },
            "output": EVIL,
        },
        predictor={
            "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1500m", "memory": "1Gi"}}
        },
        autoscaling={
            "minReplicas": 2,
            "maxReplicas": 6,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
        },
    )


def revision() -> Revision:
    return stored_revision(resource())


def rendered() -> dict[str, Object]:
    owner, found = resource(), revision()
    spec, artifact = parse_spec(owner), job_report().artifact
    assert artifact is not None
    assert spec.autoscaling is not None
    return {
        "deployment": deployment(owner, found, artifact, CONFIG),
        "optimization-job": optimization_job(
            owner, found.name, found.content, job=spec.job, attempt=0, config=CONFIG
        ),
        "replay-job": replay_job(
            owner, found, artifact, urls=("http://10.0.0.1:80", "http://10.0.0.2:80"), config=CONFIG
        ),
        "service-at-rest": service(owner, name="fraud", revision=found.name, config=CONFIG),
        "service-during-a-canary": service(owner, name="fraud", revision=None, config=CONFIG),
        "service-of-a-revision": service(
            owner, name=found.name, revision=found.name, config=CONFIG
        ),
        "autoscaler": autoscaler(owner, found.name, spec.autoscaling),
        "disruption-budget": disruption_budget(owner),
        "controller-revision": controller_revision(owner, found.name, 3, found.content),
    }


PODS = ("deployment", "optimization-job", "replay-job")


@pytest.mark.parametrize("name", sorted(rendered()))
def test_what_is_rendered_is_what_was_agreed(name: str) -> None:
    path = GOLDEN / f"{name}.json"
    found = rendered()[name]
    if os.environ.get("SLIPWAY_GOLDEN") == "write":
        path.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    assert found == json.loads(path.read_text())


def test_every_golden_file_is_compared() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(rendered())


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_restricted(name: str) -> None:
    pod = rendered()[name]["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["automountServiceAccountToken"] is False
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"emptyDir", "downwardAPI", "secret"}
    for one in containers(pod):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all("hostPort" not in port for port in one.get("ports", []))
        assert one["resources"]["requests"]


@pytest.mark.parametrize("name", PODS)
def test_no_word_of_a_user_is_in_a_command_or_an_environment(name: str) -> None:
    pod = rendered()[name]["spec"]["template"]["spec"]
    for one in containers(pod):
        assert set(one) & {"args", "env", "envFrom"} == set()
        assert one["command"][:2] == ["python", "-m"]
        assert all(word.replace("_", "").isalpha() for word in one["command"][2:])
    assert EVIL not in json.dumps(pod)


def test_only_the_steps_that_talk_to_a_store_hold_credentials() -> None:
    pod = rendered()["optimization-job"]["spec"]["template"]["spec"]
    held = {
        one["name"]: [m["name"] for m in one["volumeMounts"] if m["name"].startswith("storage-")]
        for one in containers(pod)
    }
    assert held == {
        "fetch": ["storage-model", "storage-dataset", "storage-artifacts"],
        "build": [],
        "validate": [],
        "publish": ["storage-artifacts"],
    }


GPU = "nvidia.com/gpu"


def limits_on(wished: str, picked: str) -> dict[str, str | None]:
    """Container -> GPUs, when a candidate asks for ``wished`` and the pick runs on ``picked``."""
    owner = served(
        optimization={
            "mode": "Explicit",
            "candidates": [{"name": "fast", "precision": "FP16", "executionProvider": wished}],
        }
    )
    images = replace(
        IMAGES, server_openvino="i", optimizer_openvino="i", server_cuda="i", optimizer_cuda="i"
    )
    found = stored_revision(owner, images=images)
    artifact = job_report().artifact
    assert artifact is not None
    artifact = artifact.model_copy(update={"execution_provider": ExecutionProvider(picked)})
    job = optimization_job(
        owner, found.name, found.content, job=parse_spec(owner).job, attempt=0, config=CONFIG
    )
    pods = (job, deployment(owner, found, artifact, CONFIG))
    return {
        one["name"]: one["resources"]["limits"].get(GPU)
        for pod in pods
        for one in containers(pod["spec"]["template"]["spec"])
    }


def test_a_gpu_is_asked_for_where_cuda_is_measured_and_where_it_serves() -> None:
    none = dict.fromkeys(("fetch", "build", "validate", "publish", "server"))
    assert limits_on("CUDA", "CUDA") == none | {"build": "1", "validate": "1", "server": "1"}
    assert limits_on("CUDA", "CPU") == none | {"build": "1", "validate": "1"}
    assert limits_on("OpenVINO", "OpenVINO") == none
    assert limits_on("CPU", "CPU") == none


def test_a_pod_template_follows_from_the_revision_alone() -> None:
    other = resource()
    other["metadata"] |= {"generation": 9, "resourceVersion": "99", "labels": {"a": "b"}}
    other["spec"] |= {"replicas": 7, "rollout": {"canary": {"steps": [{"setWeight": 5}]}}}
    artifact = job_report().artifact
    assert artifact is not None
    assert deployment(other, revision(), artifact, CONFIG) == rendered()["deployment"]
    assert "replicas" not in rendered()["deployment"]["spec"]


@pytest.mark.parametrize(
    ("predictor", "threads"),
    [
        ({}, 1),
        ({"resources": {"limits": {"cpu": "500m"}}}, 1),
        ({"resources": {"limits": {"cpu": "1500m"}}}, 2),
        ({"resources": {"limits": {"cpu": "4"}}}, 4),
        ({"resources": {"limits": {"cpu": "4"}}, "session": {"intraOpNumThreads": 3}}, 3),
    ],
)
def test_what_is_measured_is_measured_with_the_threads_that_will_serve(
    predictor: dict[str, Any], threads: int
) -> None:
    assert serving_threads(stored_revision(served(predictor=predictor)).content) == threads


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", "http://10.0.0.1:80"),
        ("fd00::1", "http://[fd00::1]:80"),
        ("None", ""),
        (None, ""),
    ],
)
def test_the_address_of_a_service(address: str | None, expected: str) -> None:
    assert address_of({"spec": {"clusterIP": address}}, config()) == expected


def test_users_reach_a_service_by_name_or_in_local_mode_by_address() -> None:
    made = {"spec": {"clusterIP": "127.0.0.9"}}
    assert url_of(served(), made, config()) == "http://fraud.default.svc.cluster.local"
    assert url_of(served(), made, config(http_port=8080)).endswith(".svc.cluster.local:8080")
    assert url_of(served(), made, config(cluster_domain="")) == "http://127.0.0.9:80"
    assert url_of(served(), None, config(cluster_domain="")) == ""
