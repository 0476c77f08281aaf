"""The S3 server of the run: versitygw as a pod, behind a Service that can be cut off."""

from pathlib import Path
from typing import Any

from slipway.contract import StorageKey
from tests.e2e.settings import ARTIFACTS, BUCKET, SECRET, STORE
from tests.support.kubectl import Json, Kubectl, eventually

ACCESS_KEY, SECRET_KEY = "e2e", "e2e-secret"
_PORT = 7070
_LABELS = {"app": "s3"}


class ObjectStore:
    """It, its buckets and how to log in."""

    def __init__(self, image: str) -> None:
        self._kubectl = Kubectl(STORE)
        self._kubectl.apply(namespace(STORE), _deployment(image), _service(_LABELS))
        self._kubectl("rollout", "status", "deployment/s3", "--timeout=60s")
        address = self._kubectl.get("service", "s3")["spec"]["clusterIP"]
        self._client = client(f"http://{address}:{_PORT}")
        eventually("an S3 server that answers", self._answers, seconds=20)

    @property
    def uri(self) -> str:
        """Where models are."""
        return f"s3://{BUCKET}"

    def put(self, key: str, source: Path | bytes) -> str:
        """Store a model or data set; returns its address."""
        body = source.read_bytes() if isinstance(source, Path) else source
        self._client.put_object(Bucket=BUCKET, Key=key, Body=body)
        return f"{self.uri}/{key}"

    def delete(self, key: str) -> None:
        """Take an object away."""
        self._client.delete_object(Bucket=BUCKET, Key=key)

    def read(self, uri: str) -> bytes:
        """An object by its address."""
        bucket, key = uri.removeprefix("s3://").split("/", 1)
        body: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str = "") -> dict[str, str]:
        """Artifact objects and when each was written last."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=ARTIFACTS, Prefix=prefix
        )
        return {
            entry["Key"]: entry["LastModified"].isoformat()
            for page in pages
            for entry in page.get("Contents", ())
        }

    def stop(self) -> None:
        """Refuse connections: the Service has no endpoint any more."""
        self._kubectl.apply(_service({"app": "nobody"}))

    def start(self) -> None:
        """Undo ``stop``."""
        self._kubectl.apply(_service(_LABELS))
        eventually("an S3 server that answers", self._answers, seconds=20)

    def _answers(self) -> bool:
        try:
            known = {bucket["Name"] for bucket in self._client.list_buckets()["Buckets"]}
            for name in {BUCKET, ARTIFACTS} - known:
                self._client.create_bucket(Bucket=name)
        except Exception:  # noqa: BLE001 - botocore has a dozen ways to say: not yet
            return False
        return True


def secret(name: str = SECRET, *, key: str = SECRET_KEY) -> Json:
    """The storage Secret of a namespace with models."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {
            str(StorageKey.ENDPOINT): f"http://s3.{STORE}.svc.cluster.local:{_PORT}",
            str(StorageKey.REGION): "us-east-1",
            str(StorageKey.ACCESS_KEY_ID): ACCESS_KEY,
            str(StorageKey.SECRET_ACCESS_KEY): key,
            str(StorageKey.ADDRESSING_STYLE): "path",
        },
    }


def namespace(name: str) -> Json:
    """A namespace under the Pod Security Standard ``restricted``."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }


def client(endpoint: str) -> Any:  # boto3 ships no types
    """A boto3 client that fails fast."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(
            s3={"addressing_style": "path"},
            proxies={},
            connect_timeout=3,
            read_timeout=20,
            retries={"max_attempts": 1},
        ),
    )


def _service(selector: dict[str, str]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s3"},
        "spec": {"selector": selector, "ports": [{"port": _PORT}]},
    }


def _deployment(image: str) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "s3"},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "fsGroup": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [_container(image)],
                    "volumes": [
                        {"name": "data", "emptyDir": {}},
                        {"name": "meta", "emptyDir": {}},
                    ],
                },
            },
        },
    }


def _container(image: str) -> Json:
    return {
        "name": "s3",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--port", f":{_PORT}", "posix", "--sidecar", "/meta", "/data"],
        "env": [
            {"name": "ROOT_ACCESS_KEY", "value": ACCESS_KEY},
            {"name": "ROOT_SECRET_KEY", "value": SECRET_KEY},
            {"name": "HOME", "value": "/data"},
        ],
        "ports": [{"containerPort": _PORT}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": {"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "meta", "mountPath": "/meta"},
        ],
    }
