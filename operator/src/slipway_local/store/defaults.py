"""Defaults that an API server fills in, for the kinds that local mode runs. Pure, in place."""

from collections.abc import Callable
from typing import Any, Final

from slipway import contract
from slipway_local.store import schema
from slipway_operator.plan.objects import Object

JOB_TRACKING: Final = "batch.kubernetes.io/job-tracking"
JOB_UID: Final = "batch.kubernetes.io/controller-uid"
JOB_NAME: Final = "batch.kubernetes.io/job-name"
NODE: Final = "local"


def fill(obj: Object) -> None:
    """Fill in what the object's kind defaults; its uid must be known already."""
    filler = _FILLERS.get(obj["kind"])
    if filler is not None:
        filler(obj)


def _set(node: Object, **defaults: Any) -> None:
    for key, value in defaults.items():
        if node.get(key) is None:
            node[key] = value


def _deployment(obj: Object) -> None:
    spec = obj["spec"]
    _set(
        spec,
        replicas=1,
        revisionHistoryLimit=10,
        progressDeadlineSeconds=600,
        strategy={"type": "RollingUpdate"},
    )
    if spec["strategy"].get("type", "RollingUpdate") == "RollingUpdate":
        _set(spec["strategy"], type="RollingUpdate", rollingUpdate={})
        _set(spec["strategy"]["rollingUpdate"], maxSurge="25%", maxUnavailable="25%")
    _template(spec["template"])


def _replica_set(obj: Object) -> None:
    _set(obj["spec"], replicas=1)
    _template(obj["spec"]["template"])


def _job(obj: Object) -> None:
    spec, meta = obj["spec"], obj["metadata"]
    _set(spec, parallelism=1, completions=1, backoffLimit=6, suspend=False)
    _set(spec, completionMode="NonIndexed", podReplacementPolicy="TerminatingOrFailed")
    _set(spec, selector={"matchLabels": {JOB_UID: meta["uid"]}})
    template = spec["template"]
    _set(template, metadata={})
    _set(template["metadata"], labels={})
    template["metadata"]["labels"].update({JOB_UID: meta["uid"], JOB_NAME: meta["name"]})
    _template(template)


def _template(template: Object) -> None:
    _set(template, metadata={})
    _pod_spec(template["spec"])


def _pod(obj: Object) -> None:
    _set(obj["spec"], nodeName=NODE)  # one node, so that scheduling is no step of its own
    _pod_spec(obj["spec"])


def _pod_spec(spec: Object) -> None:
    _set(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst")
    _set(spec, schedulerName="default-scheduler", securityContext={})
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        _container(container)


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    latest = ":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest")
    _set(
        container,
        terminationMessagePath=contract.TERMINATION_LOG,
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if latest else "IfNotPresent",
        resources={},
    )
    limits = container["resources"].get("limits") or {}
    if limits:
        _set(container["resources"], requests={})
        _set(container["resources"]["requests"], **limits)
    for port in container.get("ports") or []:
        _set(port, protocol="TCP")
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe := container.get(name):
            _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            if "httpGet" in probe:
                _set(probe["httpGet"], path="/", scheme="HTTP")


def _service(obj: Object) -> None:
    spec = obj["spec"]
    _set(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or []:
        _set(port, protocol="TCP", targetPort=port["port"])


def _hpa(obj: Object) -> None:
    _set(obj["spec"], minReplicas=1)
    if not obj["spec"].get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        obj["spec"]["metrics"] = [
            {"type": "Resource", "resource": {"name": "cpu", "target": target}}
        ]


def _namespace(obj: Object) -> None:
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = obj["metadata"]["name"]


_FILLERS: Final[dict[str, Callable[[Object], None]]] = {
    contract.KIND: schema.fill_defaults,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "Job": _job,
    "Pod": _pod,
    "Service": _service,
    "HorizontalPodAutoscaler": _hpa,
    "Namespace": _namespace,
}
