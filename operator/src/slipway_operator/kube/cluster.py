"""What the operator needs of a cluster: seven verbs over plain dicts.

``kube.client`` implements it over HTTP, ``slipway_local`` in process. Kinds are named as in
``kube.kinds``; ``namespace=None`` means all namespaces.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from slipway.errors import Conflict, Transient
from slipway_operator.plan.objects import Object, Ref


class AlreadyExists(Conflict):
    """``create`` met an object of that name."""


class Gone(Transient):
    """The resource version of a watch is too old: list again."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A consistent list, and the version from which to watch on."""

    items: tuple[Object, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change. A bookmark's object holds only a resource version."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Object


class Cluster(Protocol):
    """The verbs.

    Each raises ``NotFound`` (404), ``Invalid`` (422, 403), ``Conflict`` (409) or ``Transient``
    (what may pass).
    """

    async def get(self, ref: Ref) -> Object:
        """The live object."""

    async def list(self, kind: str, namespace: str | None, *, selector: str = "") -> Listing:
        """All objects of a kind whose labels match."""

    def watch(
        self, kind: str, namespace: str | None, *, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """Changes after ``resource_version``; ends now and then, then call it again.

        Raises:
            Gone: ``resource_version`` is too old.
        """

    async def apply(self, obj: Object) -> Object:
        """Server-side apply as ``contract.FIELD_MANAGER``, by force.

        What ``create`` set counts as applied: what this leaves out of that disappears too.
        """

    async def create(self, obj: Object) -> Object:
        """Create.

        Raises:
            AlreadyExists: an object of that name is there.
        """

    async def patch(self, ref: Ref, patch: Object, *, subresource: str = "") -> Object:
        """JSON merge patch; with ``metadata.resourceVersion`` in it only onto that version."""

    async def delete(self, ref: Ref, *, uid: str) -> None:
        """Delete in the background, only the object with that uid. Absent is fine."""
