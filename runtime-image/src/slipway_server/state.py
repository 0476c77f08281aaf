"""Where the server and its models are in their lives: doors look at it, the lifecycle sets it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slipway.contract import Header
from slipway.errors import NotFound
from slipway_server.errors import NotReady
from slipway_server.metrics import ModelMetrics

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
class Model:
    """One model: its numbers, and its plane once it is loaded and checked.

    Attributes:
        phase: what start-up does with it now, for people.
    """

    identity: Identity
    phase: str = "starting"
    plane: "Dataplane | None" = None
    metrics: ModelMetrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = ModelMetrics(self.identity.name, queued=lambda: self.queued)

    @property
    def labels(self) -> dict[str, str]:
        """What answers of this model carry as headers (HTTP) and trailers (gRPC)."""
        labels = {Header.REVISION: self.identity.version, Header.ARTIFACT: self.identity.digest}
        return {name.value: value for name, value in labels.items() if value}

    @property
    def label_lines(self) -> bytes:
        """``labels`` as header lines."""
        return "".join(f"{name}: {value}\r\n" for name, value in self.labels.items()).encode()

    @property
    def queued(self) -> int:
        """Requests that wait for it."""
        return 0 if self.plane is None else self.plane.queued

    def serving(self) -> "Dataplane":
        """The loaded model, also while the server drains.

        Raises:
            NotReady: it is still loading.
        """
        if self.plane is None:
            raise NotReady(
                f"model '{self.identity.name}' is not ready: {self.phase}", retry_after=1.0
            )
        return self.plane


class State:
    """Shared by the doors; ``open`` and ``drain`` are for start-up and drain alone.

    Attributes:
        models: in the order in which they were named.
        draining: SIGTERM came; requests are still answered.
    """

    def __init__(self, identities: Sequence[Identity]) -> None:
        self.models = tuple(Model(identity) for identity in identities)
        self.draining = False
        self._next: asyncio.Future[None] | None = None
        self._by_name = {model.identity.name: model for model in self.models}

    def open(self, model: Model, plane: "Dataplane") -> None:
        """Let traffic to ``model``."""
        model.plane = plane
        self._tell()

    def drain(self) -> None:
        """Send new traffic elsewhere."""
        self.draining = True
        self._tell()

    def changed(self) -> "asyncio.Future[None]":
        """Done as soon as anything of what is ready changes after this call."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return self._next

    def _tell(self) -> None:
        told, self._next = self._next, None
        if told is not None:
            told.set_result(None)

    @property
    def ready(self) -> bool:
        """Whether new traffic should come here: every model is loaded."""
        return not self.draining and all(model.plane is not None for model in self.models)

    @property
    def single(self) -> Model | None:
        """The model, if there is one only."""
        return self.models[0] if len(self.models) == 1 else None

    def has(self, model: Model) -> bool:
        """Whether new traffic for ``model`` should come here."""
        return model.plane is not None and not self.draining

    def reason(self, models: Sequence[Model]) -> str:
        """Why ``models`` are not ready."""
        if self.draining:
            return "draining"
        return next((model.phase for model in models if model.plane is None), "")

    def model(self, name: str, version: str = "") -> Model:
        """The model of that name and version; an empty version means any.

        Raises:
            NotFound: it is not served here.
        """
        model = self._by_name.get(name) or self.single
        if model is None:
            raise NotFound(f"model '{name[:200]}' is not served here: the models are {self.names}")
        model.identity.check(name, version)
        return model

    @property
    def names(self) -> str:
        """The models' names, for people."""
        return ", ".join(f"'{model.identity.name}'" for model in self.models)

    def metadata(self) -> ServerMetadata:
        """As ``/v2`` shows it."""
        from importlib.metadata import version

        return ServerMetadata("slipway", version("slipway-operator"), ("binary_tensor_data",))
