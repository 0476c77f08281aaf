"""Built-in Kubernetes objects, with everything but the point of a test left out."""

from typing import Any

from slipway_operator.plan.objects import Ref

Json = dict[str, Any]
NAMESPACE = "default"
LABELS = {"app": "web"}


def merged(base: Json, changes: Json) -> Json:
    """``base`` with nested ``changes`` laid over it."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def ref(kind: str, name: str = "web") -> Ref:
    return Ref(kind, "" if kind == "Namespace" else NAMESPACE, name)


def container(name: str = "server", image: str = "server:1", **fields: Any) -> Json:
    return {"name": name, "image": image, **fields}


def probed(name: str = "server", image: str = "server:1", **fields: Any) -> Json:
    """A container with a named port and a readiness probe on it, once a second."""
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}
    ports = [{"name": "http", "containerPort": 8080}]
    return container(name, image, **{"ports": ports, "readinessProbe": probe, **fields})


def template(*containers: Json, **spec: Any) -> Json:
    return {
        "metadata": {"labels": dict(LABELS)},
        "spec": {"containers": list(containers or (probed(),)), **spec},
    }


def obj(kind: str, api_version: str, name: str, **rest: Any) -> Json:
    """Any object; ``metadata`` in ``rest`` is laid over its name and namespace."""
    meta: Json = {"name": name, "namespace": NAMESPACE}
    return merged({"apiVersion": api_version, "kind": kind, "metadata": meta}, rest)


def deployment(name: str = "web", *, pod: Json | None = None, **spec: Any) -> Json:
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    base = {
        "selector": {"matchLabels": dict(LABELS)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        "template": pod or template(),
    }
    return obj("Deployment", "apps/v1", name, spec={**base, **spec})


def job(name: str = "task", *, pod: Json | None = None, **spec: Any) -> Json:
    run = pod or template(container("main", "optimizer:1"))
    run["spec"]["restartPolicy"] = "Never"
    return obj("Job", "batch/v1", name, spec={"template": run, **spec})


def pod(name: str = "pod", *containers: Json, **spec: Any) -> Json:
    made = template(*containers, **spec)
    return obj("Pod", "v1", name, metadata=made["metadata"], spec=made["spec"])


def service(name: str = "web", **spec: Any) -> Json:
    base = {"selector": dict(LABELS), "ports": [{"port": 80, "targetPort": "http"}]}
    return obj("Service", "v1", name, spec={**base, **spec})


def autoscaler(name: str = "web", *, target: int = 50, **spec: Any) -> Json:
    goal = {"type": "Utilization", "averageUtilization": target}
    base = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": goal}}],
    }
    return obj("HorizontalPodAutoscaler", "autoscaling/v2", name, spec={**base, **spec})


def config_map(name: str = "web", data: Json | None = None, **meta: Any) -> Json:
    return obj("ConfigMap", "v1", name, metadata=meta, data=data or {"a": "1"})


def secret(name: str = "store", data: Json | None = None) -> Json:
    return obj("Secret", "v1", name, data=data or {})


def namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def owned_by(owner: Json, child: Json) -> Json:
    """``child`` with ``owner``, as stored, for its controller."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    return merged(child, {"metadata": {"ownerReferences": [reference]}})
