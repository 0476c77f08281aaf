"""Where the server is in its life: what the doors look at, what the lifecycle sets."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.errors import NotFound
from slipway_server.errors import NotReady

if TYPE_CHECKING:  # the doors open before numpy is imported
    from slipway_server.dataplane import Dataplane


@dataclass(frozen=True, slots=True)
class Identity:
    """What is served, known before it is loaded.

    Attributes:
        name: the model's name in every protocol.
        version: its one version, the revision.
        digest: the manifest's digest; empty when there is no manifest.
    """

    name: str
    version: str
    digest: str = ""

    def check(self, name: str, version: str) -> None:
        """Compare a request's address with what is served; an empty version means any.

        Raises:
            NotFound: another model or version.
        """
        if name != self.name or version not in ("", self.version):
            asked = f"{name}' version '{version}" if version else name
            raise NotFound(
                f"model '{asked[:200]}' is not served here: this is '{self.name}' version "
                f"'{self.version}'"
            )


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """The answer of ``/v2`` and ``ServerMetadata``."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(slots=True, eq=False)
class State:
    """Shared by the doors; written by start-up and drain.

    Attributes:
        phase: what start-up does now, for people.
        plane: the loaded model, once it is loaded and checked.
        draining: SIGTERM came; requests are still answered.
    """

    identity: Identity
    phase: str = "starting"
    plane: "Dataplane | None" = None
    draining: bool = False

    @property
    def ready(self) -> bool:
        """Whether new traffic should come here."""
        return self.plane is not None and not self.draining

    @property
    def queued(self) -> int:
        """Requests that wait for the model."""
        return 0 if self.plane is None else self.plane.queued

    def serving(self) -> "Dataplane":
        """The loaded model, also while draining.

        Raises:
            NotReady: it is still loading.
        """
        if self.plane is None:
            raise NotReady(
                f"model '{self.identity.name}' is not ready: {self.phase}", retry_after=1.0
            )
        return self.plane

    def metadata(self) -> ServerMetadata:
        """As ``/v2`` shows it."""
        from importlib.metadata import version

        return ServerMetadata("slipway", version("slipway-operator"), ("binary_tensor_data",))
