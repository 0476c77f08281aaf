"""What the store knows of each kind: where it lives, which lists merge, what a CRD defaults."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from slipway import contract
from slipway.api.crd import crd
from slipway.errors import NotFound
from slipway_operator.kube.kinds import KINDS, KindInfo
from slipway_operator.plan.objects import Object

_LOCAL: Final = (
    KindInfo("ReplicaSet", "apps", "v1", "replicasets", ()),
    KindInfo("Secret", "", "v1", "secrets", ()),
    KindInfo("ConfigMap", "", "v1", "configmaps", ()),
    KindInfo("ServiceAccount", "", "v1", "serviceaccounts", ()),
)
ALL: Final[dict[str, KindInfo]] = KINDS | {info.kind: info for info in _LOCAL}

WITH_STATUS: Final = frozenset(
    {
        contract.KIND, "Deployment", "ReplicaSet", "Job", "Pod", "Service", "Namespace",
        "HorizontalPodAutoscaler", "PodDisruptionBudget",
    }
)  # fmt: skip
WITH_GENERATION: Final = WITH_STATUS - {"Service", "Namespace", "HorizontalPodAutoscaler"}
SCALABLE: Final = frozenset({contract.KIND, "Deployment", "ReplicaSet"})

_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}


def info_of(kind: str) -> KindInfo:
    """Where a kind lives.

    Raises:
        NotFound: local mode has no such kind.
    """
    found = ALL.get(kind)
    if found is None:
        raise NotFound(f"the cluster has no kind '{kind}'; it knows {', '.join(sorted(ALL))}")
    return found


def resource_of(kind: str) -> str:
    """The plural as error messages of an API server name it: ``deployments.apps``."""
    info = info_of(kind)
    return f"{info.plural}.{info.group}" if info.group else info.plural


@dataclass(frozen=True, slots=True)
class ListKeys:
    """Which lists of a kind merge item by item, and by which keys."""

    kind: str

    def of(self, path: tuple[Any, ...]) -> tuple[str, ...] | None:
        """Keys of the list at a path; None when the list is one value."""
        if self.kind == contract.KIND and path[0] != "metadata":
            return _custom_keys().get(tuple(step for step in path if isinstance(step, str)))
        if self.kind == "ControllerRevision" and path[0] == "data":
            return None
        if path[-1] == "ports":
            return ("port" if self.kind == "Service" else "containerPort", "protocol")
        return _KEYS.get(str(path[-1]))


def root_schema() -> dict[str, Any]:
    """The structural schema of ModelDeployment."""
    return _schema()


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@cache
def _custom_keys() -> dict[tuple[str, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], tuple[str, ...]] = {}

    def visit(node: dict[str, Any], path: tuple[str, ...]) -> None:
        if node.get("x-kubernetes-list-type") == "map":
            found[path] = tuple(node["x-kubernetes-list-map-keys"])
        for name, child in (node.get("properties") or {}).items():
            visit(child, (*path, name))
        if isinstance(node.get("items"), dict):
            visit(node["items"], path)

    visit(_schema(), ())
    return found


def fill_defaults(obj: Object) -> None:
    """Structural defaults of the CRD, in place: only below objects that are there."""
    _fill({k: obj[k] for k in ("spec",) if isinstance(obj.get(k), dict)}, _schema())


def _fill(node: Any, schema: dict[str, Any]) -> None:
    if isinstance(node, list):
        for item in node:
            _fill(item, schema.get("items") or {})
    if not isinstance(node, dict):
        return
    for name, child in (schema.get("properties") or {}).items():
        if name not in node and "default" in child and name != "status":
            node[name] = child["default"]
        if name in node:
            _fill(node[name], child)
