"""Where things lie on disk, and what one cluster consists of."""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.shell import Failure

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


def cache() -> Path:
    """Returns the folder of everything that is built once and kept, outside the tree."""
    chosen = os.environ.get("SLIPWAY_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "slipway"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster: what `up` decided and every other command reads back.

    Attributes:
        name: Tells clusters on one machine apart.
        node: Whether it has a node with pods, in a network of its own; otherwise it is an API
            server on this machine's loopback.
        controllers: Whether the controller manager and the scheduler run.
        audit: Whether the API server writes an audit log of every request.
        port: The API server's port on 127.0.0.1, the same inside and outside.
        etcd_port: etcd's port for clients, on loopback.
        peer_port: etcd's port for its peers, on loopback.
    """

    name: str
    node: bool
    controllers: bool
    audit: bool
    port: int
    etcd_port: int
    peer_port: int

    @property
    def state(self) -> Path:
        """The folder with all that this cluster writes; `down` removes it."""
        return state_of(self.name)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, which works inside and outside."""
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One log file per component."""
        return self.state / "logs"

    @property
    def cgroup(self) -> str:
        """The name of the cgroup under which all pods of this cluster live."""
        return cgroup_of(self.name)

    def save(self) -> None:
        """Writes the decision into the state folder."""
        (self.state / "cluster.json").write_text(json.dumps(asdict(self)))


def state_of(name: str) -> Path:
    """Returns the state folder of the cluster of that name."""
    if not _NAME.fullmatch(name):
        raise Failure(
            f"{name!r} cannot name a cluster: at most 30 lower-case letters, digits and inner '-'."
        )
    return cache() / "clusters" / name


def cgroup_of(name: str) -> str:
    """Returns the cgroup of the cluster of that name."""
    return f"slipway-{name}"


def load(name: str) -> Cluster:
    """Reads back what `up` decided.

    Raises:
        Failure: There is no cluster of that name.
    """
    path = state_of(name) / "cluster.json"
    if not path.is_file():
        raise Failure(f"There is no cluster {name!r}: start it with `python -m tests.cluster up`.")
    return Cluster(**json.loads(path.read_text()))
