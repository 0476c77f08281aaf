"""A namespace of one test: its storage Secret, its models, and what was seen of them."""

import itertools
import secrets
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.s3 import ObjectStore, namespace, secret
from tests.e2e.settings import SECRET
from tests.support import models
from tests.support.kubectl import Json, Kubectl, Watch, eventually, told
from tests.support.load import Load, Mix, Target

GATES = [{"name": "accuracy", "metric": "accuracy", "min": "0.8", "maxDegradation": "0.01"}]
ANALYSIS: Json = {
    # Two cores are shared by the cluster, eight pods and the load: bounds of latency are wide.
    "interval": "8s",
    "minRequests": 50,
    "metrics": [
        {"name": "request-success-rate", "min": "99"},
        {"name": "latency-p95", "max": "900"},
        {"name": "prediction-agreement", "min": "95"},
    ],
}


_PROBE_PORTS = itertools.cycle(range(15_000, 25_000))


@dataclass(frozen=True, slots=True)
class Files:
    """Models and rows: in a folder here, and by address in the store."""

    folder: Path
    uris: dict[str, str]


class Space:
    """The namespace."""

    def __init__(self, step: str, store: ObjectStore, files: Files) -> None:
        self.name = f"e2e-{step}-{secrets.token_hex(2)}"
        self.store = store
        self.files = files
        self.kubectl = Kubectl(self.name)
        Kubectl().apply(namespace(self.name))
        self.kubectl.apply(secret())
        self.watch = Watch(self.name)

    def close(self) -> None:
        """Ask for its end; nobody waits for it."""
        self.watch.close()
        Kubectl()("delete", "namespace", self.name, "--wait=false", "--ignore-not-found")

    def magika(self, name: str, *, model: str = "v1", **spec: Any) -> Json:
        """A ModelDeployment of magika's network, judged on its labelled rows."""
        base = {
            "model": _model("onnx", self.files.uris[f"{model}.onnx"]),
            "validation": {
                "dataset": _dataset(self.files.uris["magika.npz"]),
                "gates": GATES,
            },
        }
        return model_deployment(name, **{**base, **spec})

    def plain(self, name: str, *, model: str = "v1", **spec: Any) -> Json:
        """The same, not optimised and judged on fewer rows: where neither is the point."""
        dataset = _dataset(self.files.uris["few.npz"])
        changes = {
            "optimization": {"mode": "ConvertOnly"},
            "validation": {"dataset": dataset, "gates": GATES},
        }
        return self.magika(name, model=model, **{**changes, **spec})

    def digits(self, name: str, *, model: str = "digits.skops", **spec: Any) -> Json:
        """A ModelDeployment of the scikit-learn example: a request costs next to nothing."""
        kind = "lightgbm" if "lightgbm" in model else "sklearn"
        base = {
            "model": _model(kind, self.files.uris[model]),
            "validation": {
                "dataset": _dataset(self.files.uris["digits.npz"]),
                "gates": GATES,
            },
        }
        return model_deployment(name, **{**base, **spec})

    def load(self, name: str, mix: Mix) -> Load:
        """A load on a resource made by ``digits``."""
        row = models.digits_row(self.files.folder)
        rest, rpc = models.rest(name, "X", row), models.grpc(name, "X", row)
        return Load(self.reachable(name), http=rest, grpc_request=rpc, mix=mix)

    def apply(self, resource: Json) -> int:
        """Apply it; returns how many of its states were seen before."""
        seen = len(self.watch.states(resource["metadata"]["name"]))
        self.kubectl.apply(resource)
        return seen

    def healthy(self, name: str, *, seconds: float = 120, since: int = 0) -> Json:
        """Wait for Healthy of the newest generation; returns the resource."""

        def holds(resource: Json) -> bool:
            stalled = condition(resource, "Stalled")
            if stalled and stalled["observedGeneration"] == resource["metadata"]["generation"]:
                raise AssertionError(told([resource]))  # it would never be
            return is_healthy(resource)

        return self.watch.wait(name, holds, seconds=seconds, since=since)

    def settled(self, name: str, *, seconds: float = 120) -> Json:
        """Wait until it is Healthy as it is now, also if nothing happens; returns its status."""

        def holds() -> bool:
            return is_healthy(self.kubectl.get("mdep", name))

        eventually(f"{name} Healthy", holds, seconds=seconds, period=0.5)
        return self.status(name)

    def status(self, name: str) -> Json:
        """Its status now."""
        found: Json = self.kubectl.get("mdep", name).get("status") or {}
        return found

    def target(self, service: str) -> Target:
        """A Service's address."""
        return Target(self.kubectl.get("service", service)["spec"]["clusterIP"])

    def reachable(self, service: str) -> Target:
        """The same, once nodes know it: a moment after its first pod is ready."""
        target = self.target(service)

        def connects() -> bool:
            for port in (target.http_port, target.grpc_port):
                # Not from a port that clients get: a connection that was tried before the node
                # had its rule is remembered for two minutes, and leads the next one astray, too.
                own = ("", next(_PROBE_PORTS))
                try:
                    socket.create_connection((target.host, port), 2, source_address=own).close()
                except OSError:
                    return False
            return True

        eventually(f"a Service {service} that nodes know", connects, seconds=20, period=0.1)
        return target

    def servers(self, name: str) -> list[Json]:
        """Server pods of a resource."""
        labels = f"slipway.dev/model-deployment={name},app.kubernetes.io/component=predictor"
        return self.kubectl.list("pods", labels=labels)

    def deployments(self, name: str) -> dict[str, Json]:
        """Server Deployments of a resource, by revision."""
        found = self.kubectl.list("deployments", labels=f"slipway.dev/model-deployment={name}")
        return {each["metadata"]["name"]: each for each in found}

    def jobs(self, name: str) -> dict[str, str]:
        """Optimization Jobs of a resource: uid by name."""
        found = self.kubectl.list("jobs", labels=f"slipway.dev/model-deployment={name}")
        uids = {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}
        return {job: uid for job, uid in uids.items() if job.endswith("-opt")}

    def cli(self, *words: str) -> str:
        """The ``slipway`` command in this namespace; what it printed."""
        command = [sys.executable, "-m", "slipway_cli", *words, "--namespace", self.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """(type, reason, message) of a resource's Events."""
        found = [e for e in self.kubectl.list("events") if e["involvedObject"]["name"] == name]
        return [(e["type"], e["reason"], e["message"]) for e in found]


def model_deployment(name: str, **spec: Any) -> Json:
    """The resource as a user writes it."""
    return {
        "apiVersion": "slipway.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {
            "job": {"ttlSecondsAfterFinished": 600},
            "rollout": {"canary": {"analysis": ANALYSIS}},
            **spec,
        },
    }


def _model(model_format: str, uri: str) -> Json:
    storage = {"secretRef": {"name": SECRET}}
    return {"modelFormat": {"name": model_format}, "storageUri": uri, "storage": storage}


def _dataset(uri: str) -> Json:
    return {"storageUri": uri, "storage": {"secretRef": {"name": SECRET}}}


def is_healthy(resource: Json) -> bool:
    """Healthy, and about the newest spec."""
    status = resource.get("status") or {}
    newest = status.get("observedGeneration") == resource["metadata"]["generation"]
    return newest and status.get("phase") == "Healthy"


def identities(pods: list[Json]) -> dict[str, int]:
    """Pods by uid, with how often their containers were restarted."""
    return {
        pod["metadata"]["uid"]: sum(
            each["restartCount"] for each in pod["status"].get("containerStatuses", ())
        )
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
    }


def condition(resource: Json, kind: str) -> Json:
    """One condition; empty when absent."""
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), {})
