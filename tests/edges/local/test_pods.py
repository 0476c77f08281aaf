"""Pods as real processes: what the operator and its programs rely on."""

import asyncio
import base64
import json
import os
import socket
import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from slipway_local.cluster import RunningCluster
from slipway_local.controllers.owning import is_ready
from slipway_operator.plan.objects import Object
from tests.support import manifests
from tests.support.manifests import container, merged, ref, secret
from tests.support.waiting import until

PROBE = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1}


def standin(*args: str, name: str = "main", **fields: Any) -> Object:
    return container(name, "standin", args=list(args), **fields)


def pod(name: str, *containers: Object, **spec: Any) -> Object:
    return manifests.pod(name, *containers, **{"terminationGracePeriodSeconds": 2, **spec})


def live(cluster: RunningCluster, name: str) -> Object:
    return cluster.objects.find(ref("Pod", name)) or {}


def phase(cluster: RunningCluster, name: str) -> str:
    found: str = live(cluster, name)["status"]["phase"]
    return found


def state(cluster: RunningCluster, name: str) -> Object:
    found: Object = live(cluster, name)["status"].get("containerStatuses", [{}])[0].get("state", {})
    return found


async def get(address: str, path: str, port: int = 8080) -> int:
    def ask() -> int:
        try:
            with urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    return await asyncio.to_thread(ask)


def processes_of(cluster: RunningCluster) -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "standin" in str(p.cmdline())]


async def test_pods_have_addresses_of_their_own_for_the_same_port(cluster: RunningCluster) -> None:
    for name in ("a", "b"):
        cluster.objects.create(pod(name, standin("serve", readinessProbe=PROBE)))

    await until(lambda: all(is_ready(live(cluster, name)) for name in ("a", "b")))

    addresses = {live(cluster, name)["status"]["podIP"] for name in ("a", "b")}
    assert len(addresses) == 2
    assert [await get(address, "/who") for address in addresses] == [200, 200]


async def test_a_program_is_told_where_its_things_are(
    cluster: RunningCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the host's")
    key = base64.b64encode(b"the secret's").decode()
    cluster.objects.create(secret("store", {"AWS_SECRET_ACCESS_KEY": key}))
    request = {"fieldRef": {"fieldPath": "metadata.annotations['slipway.dev/request']"}}
    common = [
        {"name": "request", "mountPath": "/etc/slipway/request"},
        {"name": "work", "mountPath": "/var/lib/slipway"},
    ]
    with_secret = [*common, {"name": "store", "mountPath": "/etc/slipway/storage/model"}]
    made = pod(
        "told",
        standin("env", volumeMounts=common),
        initContainers=[standin("env", name="first", volumeMounts=with_secret)],
        restartPolicy="Never",
        volumes=[
            {"name": "request", "downwardAPI": {"items": [{"path": "request.json", **request}]}},
            {"name": "work", "emptyDir": {}},
            {"name": "store", "secret": {"secretName": "store", "optional": True}},
        ],
    )
    cluster.objects.create(
        merged(made, {"metadata": {"annotations": {"slipway.dev/request": '{"x": 1}'}}})
    )

    await until(lambda: phase(cluster, "told") == "Succeeded")

    first = json.loads(cluster.pods.logs(ref("Pod", "told"), "first"))
    main = json.loads(cluster.pods.logs(ref("Pod", "told"), "main"))
    assert first["files"] == {
        "model/AWS_SECRET_ACCESS_KEY": ["0o400", "the secret's"],
        "request.json": ["0o400", '{"x": 1}'],
    }
    assert main["files"] == {"request.json": ["0o400", '{"x": 1}']}, "no credentials for main"
    assert (first["work"], main["work"]) == (None, f"by {first['env']['SLIPWAY_BIND_ADDRESS']}")
    assert [name for name in first["env"] if name.startswith("AWS_")] == []
    assert first["env"]["HOME"] != os.environ.get("HOME")


async def test_a_report_and_an_exit_code_reach_the_status(cluster: RunningCluster) -> None:
    cluster.objects.create(
        pod("told", standin("report", '{"kind":"x"}', "65"), restartPolicy="Never")
    )
    cluster.objects.create(pod("long", standin("report", "y" * 9000, "0"), restartPolicy="Never"))

    await until(lambda: {phase(cluster, n) for n in ("told", "long")} == {"Failed", "Succeeded"})

    ended = state(cluster, "told")["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (65, "Error", '{"kind":"x"}')
    assert state(cluster, "long")["terminated"]["message"] == "y" * 4096


async def test_the_end_of_a_log_is_the_message_where_asked_for(cluster: RunningCluster) -> None:
    asking = standin("exit", "3", terminationMessagePolicy="FallbackToLogsOnError")
    cluster.objects.create(pod("asking", asking, restartPolicy="Never"))
    cluster.objects.create(pod("silent", standin("exit", "3"), restartPolicy="Never"))

    await until(lambda: all(phase(cluster, n) == "Failed" for n in ("asking", "silent")))

    assert state(cluster, "asking")["terminated"]["message"] == "leaving with 3\n"
    assert "message" not in state(cluster, "silent")["terminated"]
    assert cluster.pods.logs(ref("Pod", "silent"), "main") == "leaving with 3\n"


async def test_a_crashed_container_comes_back_with_its_work_folder(
    cluster: RunningCluster,
) -> None:
    mounts = [{"name": "work", "mountPath": "/var/lib/slipway"}]
    cluster.objects.create(
        pod(
            "web",
            standin("serve", readinessProbe=PROBE, volumeMounts=mounts),
            volumes=[{"name": "work", "emptyDir": {}}],
        )
    )
    await until(lambda: is_ready(live(cluster, "web")))
    address = live(cluster, "web")["status"]["podIP"]

    with pytest.raises((urllib.error.URLError, ConnectionError, OSError)):
        await get(address, "/crash")

    def restarted() -> bool:
        status = live(cluster, "web")["status"]["containerStatuses"][0]
        return bool(status["restartCount"] == 1 and status["ready"])

    await until(restarted)
    status = live(cluster, "web")["status"]
    assert status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3
    assert status["podIP"] == address


async def test_readiness_is_lost_when_its_probe_fails(cluster: RunningCluster) -> None:
    cluster.objects.create(
        pod("web", standin("serve", readinessProbe={**PROBE, "failureThreshold": 1}))
    )
    await until(lambda: is_ready(live(cluster, "web")))

    await get(live(cluster, "web")["status"]["podIP"], "/sicken")

    await until(lambda: not is_ready(live(cluster, "web")))
    assert phase(cluster, "web") == "Running"


async def test_sigterm_lets_a_container_end_by_itself(cluster: RunningCluster) -> None:
    made = pod("web", standin("serve", readinessProbe=PROBE), terminationGracePeriodSeconds=60)
    cluster.objects.create(merged(made, {"metadata": {"finalizers": ["test/look"]}}))
    await until(lambda: is_ready(live(cluster, "web")))

    cluster.objects.delete(ref("Pod", "web"))

    await until(lambda: phase(cluster, "web") == "Succeeded")
    assert state(cluster, "web")["terminated"]["exitCode"] == 0


async def test_a_container_that_ignores_sigterm_is_killed_after_its_grace_period(
    cluster: RunningCluster,
) -> None:
    made = pod("deaf", standin("stubborn"), terminationGracePeriodSeconds=1)
    cluster.objects.create(merged(made, {"metadata": {"finalizers": ["test/look"]}}))
    await until(
        lambda: (
            "deaf" in cluster.pods.logs(ref("Pod", "deaf"), "main")
            if live(cluster, "deaf")["status"].get("podIP")
            else False
        )
    )

    cluster.objects.delete(ref("Pod", "deaf"))

    await until(lambda: phase(cluster, "deaf") == "Failed")
    assert state(cluster, "deaf")["terminated"]["exitCode"] == 137
    assert processes_of(cluster) == []


async def test_a_deleted_pod_leaves_no_process_and_no_volume(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    cluster.objects.create(pod("web", standin("serve", readinessProbe=PROBE)))
    await until(lambda: is_ready(live(cluster, "web")))
    assert len(list((tmp_path / "run" / "pods").iterdir())) == 1

    cluster.objects.delete(ref("Pod", "web"))

    await until(lambda: live(cluster, "web") == {})
    assert processes_of(cluster) == []
    assert list((tmp_path / "run" / "pods").iterdir()) == []


async def test_an_image_or_command_that_is_not_slipway_s_is_refused(
    cluster: RunningCluster,
) -> None:
    cluster.objects.create(pod("image", container(image="serve:1")))
    command = ["sh", "-c", "id"]
    cluster.objects.create(pod("command", container(image="slipway-server:local", command=command)))

    await until(lambda: all("waiting" in state(cluster, n) for n in ("image", "command")))

    image, wrong = (state(cluster, n)["waiting"] for n in ("image", "command"))
    assert image["reason"] in ("ErrImagePull", "ImagePullBackOff")
    assert "image 'serve:1' does not exist" in image["message"]
    assert wrong["reason"] == "CreateContainerConfigError"
    assert "command 'sh -c id' cannot run here" in wrong["message"]


async def test_a_pod_s_folder_is_its_user_s_alone(cluster: RunningCluster, tmp_path: Path) -> None:
    cluster.objects.create(pod("web", standin("serve", readinessProbe=PROBE)))
    await until(lambda: is_ready(live(cluster, "web")))

    for folder in (tmp_path / "run" / "pods", tmp_path / "run" / "logs"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_an_autoscaler_sees_a_busy_process(cluster: RunningCluster) -> None:
    """One busy pod that asks for a tenth of a core, at a target of half of that, wants more."""
    busy = standin(
        "serve",
        ports=[{"name": "http", "containerPort": 8080}],
        readinessProbe=PROBE,
        resources={"requests": {"cpu": "100m"}},
    )
    cluster.objects.apply(
        manifests.deployment(pod=manifests.template(busy, terminationGracePeriodSeconds=1))
    )
    cluster.objects.apply(manifests.autoscaler(maxReplicas=2))
    pods = await until(lambda: [p for p in cluster.objects.select("Pod") if is_ready(p)])

    def replicas() -> int:
        found: int = cluster.objects.get(ref("Deployment"))["spec"]["replicas"]
        return found

    async def load() -> None:
        while replicas() == 1:
            await get(pods[0]["status"]["podIP"], "/burn")

    await asyncio.wait_for(load(), 60)
    assert replicas() == 2


def free_of_listeners(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) != 0
