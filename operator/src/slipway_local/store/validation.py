"""What an API server refuses: bad names, broken specs, changes of what never changes. Pure."""

import re
from collections.abc import Callable
from typing import Any, Final

from pydantic import ValidationError

from slipway import contract
from slipway.api.v1alpha1.resource import parse_spec
from slipway.api.v1alpha1.status import Status
from slipway.errors import Invalid
from slipway_local.store.schema import info_of, resource_of
from slipway_local.store.selectors import matches, selector_of
from slipway_operator.plan.objects import Object

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1123: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_KEY: Final = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
)
_MAX_ANNOTATIONS: Final = 256 * 1024  # bytes, all together


def check_shape(obj: Object) -> None:
    """Refuse an object without the fields that everything else relies on.

    Raises:
        Invalid: the field that is missing.
    """
    info = info_of(obj["kind"])
    if obj.get("apiVersion") != info.api_version:
        _refuse(obj, "apiVersion", obj.get("apiVersion"), f"must be {info.api_version}")
    if info.namespaced != bool(obj["metadata"].get("namespace")):
        remedy = "is required" if info.namespaced else "must be empty: the kind has none"
        _refuse(obj, "metadata.namespace", obj["metadata"].get("namespace", ""), remedy)
    for path in _REQUIRED.get(obj["kind"], ()):
        if _at(obj, path) is None:
            _refuse(obj, path, "", "is required")


def check(obj: Object) -> None:
    """Refuse an object that no API server would store.

    Raises:
        Invalid: what is wrong, with field, value and remedy.
    """
    kind, meta = obj["kind"], obj["metadata"]
    _name(kind, meta["name"])
    for key, value in (meta.get("labels") or {}).items():
        _label(obj, key, value)
    texts = meta.get("annotations") or {}
    for key, value in texts.items():
        if not isinstance(value, str):
            _refuse(obj, f"metadata.annotations.{key}", value, "must be a string")
    size = sum(len(key) + len(value.encode()) for key, value in texts.items())
    if size > _MAX_ANNOTATIONS:
        _refuse(obj, "metadata.annotations", f"{size} bytes", f"at most {_MAX_ANNOTATIONS} fit")
    for owner in meta.get("ownerReferences") or []:
        if not all(owner.get(key) for key in ("apiVersion", "kind", "name", "uid")):
            _refuse(obj, "metadata.ownerReferences", owner, "needs apiVersion, kind, name and uid")
    if checker := _CHECKS.get(kind):
        checker(obj)


def check_update(old: Object, new: Object) -> None:
    """Refuse a change of an immutable field, then whatever ``check`` refuses.

    Raises:
        Invalid: what may not change.
    """
    for path in _IMMUTABLE.get(new["kind"], ()):
        if _at(old, path) is not None and _at(old, path) != _at(new, path):
            _refuse(new, path, "changed", "the field is immutable: delete and create anew")
    check(new)


def _at(obj: Object, path: str) -> Any:
    node: Any = obj
    for step in path.split("."):
        node = node.get(step) if isinstance(node, dict) else None
    return node


def _refuse(obj: Object, field: str, value: object, remedy: str) -> None:
    name = obj["metadata"].get("name", "")
    shown = str(value)[:120]
    raise Invalid(f"{resource_of(obj['kind'])} \"{name}\" is invalid: {field} '{shown}': {remedy}")


def _name(kind: str, name: str) -> None:
    if kind in ("Service", contract.KIND):
        form, limit = _LABEL_1035, 63
    elif kind == "Namespace":
        form, limit = _LABEL_1123, 63
    else:
        form, limit = _SUBDOMAIN, 253
    if kind == contract.KIND:
        limit = contract.MAX_NAME_LENGTH
    if len(name) > limit:
        raise Invalid(
            f"{info_of(kind).plural} metadata.name '{name[:80]}' has {len(name)} characters: "
            f"at most {limit} fit"
        )
    if not form.fullmatch(name):
        raise Invalid(
            f"{info_of(kind).plural} metadata.name '{name[:80]}' must match {form.pattern}"
        )


def _label(obj: Object, key: str, value: object) -> None:
    prefix, _, name = key.rpartition("/")
    if not _LABEL_KEY.fullmatch(key) or len(name) > 63 or len(prefix) > 253:
        _refuse(obj, "metadata.labels", key, "is no label key")
    if not isinstance(value, str) or len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
        _refuse(obj, f"metadata.labels.{key}", value, "at most 63 of A-Z, a-z, 0-9, -, _ and .")


def _resource(obj: Object) -> None:
    parse_spec(obj, strict=True)


def check_status(obj: Object) -> None:
    """Refuse a ModelDeployment status that the CRD would prune or refuse.

    Raises:
        Invalid: the first field that is wrong.
    """
    try:
        Status.model_validate(obj.get("status") or {}, extra="forbid")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in ("status", *first["loc"]))
        raise Invalid(f"{where}: {first['msg']}") from error


def _deployment(obj: Object) -> None:
    spec = obj.get("spec") or {}
    selector = spec.get("selector") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        _refuse(obj, "spec.selector", selector, "an empty selector is not allowed")
    template_labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if not matches(selector_of(selector), template_labels):
        _refuse(obj, "spec.template.metadata.labels", template_labels, "selector does not match")
    if spec["template"]["spec"].get("restartPolicy", "Always") != "Always":
        _refuse(obj, "spec.template.spec.restartPolicy", "Never", "only Always is possible")
    if spec.get("replicas", 1) < 0:
        _refuse(obj, "spec.replicas", spec["replicas"], "must be at least 0")
    _pod_spec(obj, spec["template"]["spec"])


def _job(obj: Object) -> None:
    pod = obj["spec"]["template"]["spec"]
    policy = pod.get("restartPolicy", "Always")
    if policy == "Always":
        _refuse(obj, "spec.template.spec.restartPolicy", policy, "must be OnFailure or Never")
    if obj["spec"].get("podFailurePolicy") and policy != "Never":
        _refuse(obj, "spec.podFailurePolicy", policy, "needs restartPolicy Never")
    _pod_spec(obj, pod)


def _pod(obj: Object) -> None:
    _pod_spec(obj, obj["spec"])


def _pod_spec(obj: Object, spec: Object) -> None:
    if not spec.get("containers"):
        _refuse(obj, "spec.containers", [], "at least one container is required")
    every = [*(spec.get("initContainers") or []), *spec["containers"]]
    names = [container.get("name", "") for container in every]
    volumes = {volume["name"] for volume in spec.get("volumes") or []}
    for name in names:
        if not _LABEL_1123.fullmatch(name) or len(name) > 63 or names.count(name) > 1:
            _refuse(obj, "spec.containers.name", name, "names are unique DNS labels")
    for container in every:
        if not container.get("image"):
            _refuse(obj, f"spec.containers[{container['name']}].image", "", "is required")
        for mount in container.get("volumeMounts") or []:
            if mount["name"] not in volumes:
                _refuse(obj, "spec.containers.volumeMounts.name", mount["name"], "no such volume")
        for port in container.get("ports") or []:
            if len(port.get("name", "")) > 15:
                _refuse(obj, "spec.containers.ports.name", port["name"], "at most 15 characters")


def _service(obj: Object) -> None:
    ports = (obj.get("spec") or {}).get("ports") or []
    if not ports and obj["spec"].get("clusterIP") != "None":
        _refuse(obj, "spec.ports", ports, "at least one port is required")
    if len(ports) > 1 and not all(port.get("name") for port in ports):
        _refuse(obj, "spec.ports.name", "", "every port needs a name when there are several")


def _hpa(obj: Object) -> None:
    spec = obj["spec"]
    if spec.get("minReplicas", 1) > spec["maxReplicas"]:
        _refuse(obj, "spec.maxReplicas", spec["maxReplicas"], "must be at least minReplicas")


_POD: Final = "spec.template.spec.containers"
_REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    contract.KIND: ("spec",),
    "Deployment": ("spec.selector", _POD),
    "ReplicaSet": ("spec.selector", _POD),
    "Job": (_POD,),
    "Pod": ("spec.containers",),
    "Service": ("spec",),
    "HorizontalPodAutoscaler": ("spec.maxReplicas", "spec.scaleTargetRef"),
}
_IMMUTABLE: Final[dict[str, tuple[str, ...]]] = {
    "Deployment": ("spec.selector",),
    "ReplicaSet": ("spec.selector",),
    "Job": ("spec.selector", "spec.template", "spec.completions", "spec.podFailurePolicy"),
    "Service": ("spec.clusterIP",),
    "ControllerRevision": ("data",),
    "Pod": ("spec",),
}
_CHECKS: Final[dict[str, Callable[[Object], None]]] = {
    contract.KIND: _resource,
    "Deployment": _deployment,
    "ReplicaSet": _deployment,
    "Job": _job,
    "Pod": _pod,
    "Service": _service,
    "HorizontalPodAutoscaler": _hpa,
}
