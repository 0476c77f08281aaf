"""The kinds that Slipway touches and what it may do with each: the source of paths and of RBAC."""

from dataclasses import dataclass
from typing import Final

from slipway import contract


@dataclass(frozen=True, slots=True)
class KindInfo:
    """Where a kind lives in the API.

    Attributes:
        verbs: what the operator does with it; RBAC grants this and nothing else.
        watched: whether a reflector keeps its objects (those labelled as managed by Slipway).
    """

    kind: str
    group: str
    version: str
    plural: str
    verbs: tuple[str, ...]
    namespaced: bool = True
    watched: bool = False
    subresources: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """URL path; ``namespace=None`` is the collection over all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"


_CHILD: Final = ("get", "list", "watch", "create", "patch", "delete")

KINDS: Final = {
    info.kind: info
    for info in (
        KindInfo(
            contract.KIND,
            contract.GROUP,
            contract.VERSION,
            contract.PLURAL,
            ("get", "list", "watch"),
            # finalizers: we write none, but some clusters (OpenShift) ask for this right of whoever
            # makes children that block their owner's deletion.
            subresources=(("status", ("patch",)), ("finalizers", ("update",))),
        ),
        KindInfo("ControllerRevision", "apps", "v1", "controllerrevisions", _CHILD, watched=True),
        KindInfo("Deployment", "apps", "v1", "deployments", _CHILD, watched=True),
        KindInfo("Job", "batch", "v1", "jobs", _CHILD, watched=True),
        KindInfo("Service", "", "v1", "services", _CHILD, watched=True),
        KindInfo(
            "HorizontalPodAutoscaler",
            "autoscaling",
            "v2",
            "horizontalpodautoscalers",
            _CHILD,
            watched=True,
        ),
        KindInfo(
            "PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", _CHILD, watched=True
        ),
        KindInfo("Pod", "", "v1", "pods", ("get", "list", "watch"), watched=True),
        KindInfo("Event", "", "v1", "events", ("create",)),
        KindInfo("Lease", "coordination.k8s.io", "v1", "leases", ("get", "create", "update")),
        KindInfo("Namespace", "", "v1", "namespaces", ("get",), namespaced=False),
    )
}

WATCHED: Final = tuple(info.kind for info in KINDS.values() if info.watched)
