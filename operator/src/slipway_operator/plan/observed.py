"""What one reconcile knows: the resource, its children, measured numbers, and the time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from slipway.contract import Label
from slipway_operator.plan.objects import Object, Ref, controller_uid, labels


@dataclass(frozen=True, slots=True)
class Window:
    """Requests of one revision since the current step began, summed over its pods.

    Attributes:
        requests: answered ones, client errors left out: those are not the model's fault.
        errors: of these, the ones that the server answered with an error.
        p95_ms: of the answered ones; ``None`` without any.
    """

    requests: int
    errors: int
    p95_ms: float | None


@dataclass(frozen=True)
class Observed:
    """A snapshot; ``plan`` sees nothing else.

    Attributes:
        namespace_uid: part of artifact keys, so that a recreated namespace reads no old ones.
        children: objects controlled by this resource (and the pods of those), by reference.
        windows: by revision; a revision that was not scraped is absent.
    """

    resource: Object
    now: datetime
    namespace_uid: str
    children: Mapping[Ref, Object] = field(default_factory=dict)
    windows: Mapping[str, Window] = field(default_factory=dict)

    @cached_property
    def _by_kind(self) -> dict[str, list[Object]]:
        found: dict[str, list[Object]] = {}
        for ref in sorted(self.children, key=lambda ref: ref.name):
            found.setdefault(ref.kind, []).append(self.children[ref])
        return found

    @property
    def name(self) -> str:
        """Name of the resource."""
        name: str = self.resource["metadata"]["name"]
        return name

    @property
    def namespace(self) -> str:
        """Its namespace."""
        namespace: str = self.resource["metadata"]["namespace"]
        return namespace

    def child(self, kind: str, name: str) -> Object | None:
        """A child by name."""
        return self.children.get(Ref(kind, self.namespace, name))

    def of_kind(self, kind: str) -> list[Object]:
        """All children of a kind, by name."""
        return self._by_kind.get(kind, [])

    def pods_of_revision(self, revision: str, component: str) -> list[Object]:
        """Pods of a revision with that component that are not on their way out."""
        return [
            pod
            for pod in self.of_kind("Pod")
            if labels(pod).get(Label.REVISION) == revision
            and labels(pod).get(Label.APP_COMPONENT) == component
            and not pod["metadata"].get("deletionTimestamp")
        ]

    def pods_of_job(self, job: Object) -> list[Object]:
        """Pods that this very Job made, oldest first."""
        uid = job["metadata"]["uid"]
        pods = [pod for pod in self.of_kind("Pod") if controller_uid(pod) == uid]
        return sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""))
