"""Values for the chart, and finding one's way in what it renders."""

from collections.abc import Callable, Iterator

from tests.support.helm import Json

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
