"""The environment of a container that runs as a plain process. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slipway.api.quantity import parse_quantity
from slipway.contract import Env, PodPath
from slipway.errors import Invalid
from slipway_local.pods.volumes import Mount, field_of
from slipway_operator.plan.objects import Object

RUN_MARK: Final = "SLIPWAY_LOCAL_RUN"  # by it the warden knows what belongs to a cluster
_PASSED: Final = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ")
_DRAIN_SECONDS: Final = "0.5"  # the proxy drops a pod at once; in a cluster the news takes longer
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Room:
    """Folders of one container on this machine.

    Attributes:
        own: seen by this container alone.
        shared: the pod's empty volumes, one folder each.
    """

    own: Path
    shared: Path

    @property
    def storage(self) -> Path:
        """Stands for ``PodPath.STORAGE``."""
        return self.own / "storage"

    @property
    def home(self) -> Path:
        """Home and working directory."""
        return self.own / "home"

    @property
    def termination_log(self) -> Path:
        """Stands for ``/dev/termination-log``."""
        return self.own / "termination-log"

    def place(self, mount: Mount) -> Path:
        """Where a mount's content is on this machine.

        Raises:
            Invalid: no program of Slipway can be told of that path.
        """
        if mount.files is None:
            return self.shared / mount.volume
        if mount.path == PodPath.REQUEST_DIR:
            return self.own / "request"
        prefix = f"{PodPath.STORAGE}/"
        if mount.path.startswith(prefix) and "/" not in mount.path.removeprefix(prefix):
            return self.storage / mount.path.removeprefix(prefix)
        raise Invalid(
            f"mountPath '{mount.path}' is unknown: local mode has {PodPath.REQUEST_DIR} and "
            f"{PodPath.STORAGE}/<purpose> for files"
        )


def environment(
    pod: Object,
    container: Object,
    *,
    room: Room,
    mounts: tuple[Mount, ...],
    host: Mapping[str, str],
) -> dict[str, str]:
    """All variables of a container: few of the host's, its own, and where its things are.

    Raises:
        Invalid: a variable or mount that local mode cannot offer.
    """
    threads = str(cpu_threads(container))
    result = {key: host[key] for key in _PASSED if key in host}
    result |= {
        "HOME": str(room.home),
        "TMPDIR": str(room.home),
        "PYTHONUNBUFFERED": "1",
        Env.DRAIN_SECONDS: _DRAIN_SECONDS,
    }
    result |= dict.fromkeys(_THREADS, threads)
    for variable in container.get("env") or []:
        result[variable["name"]] = _value(pod, variable)
    result |= {
        Env.BIND_ADDRESS: pod["status"]["podIP"],
        Env.STORAGE_DIR: str(room.storage),
        Env.TERMINATION_LOG: str(room.termination_log),
    }
    for mount in mounts:
        result |= _told(mount, room.place(mount))
    return {str(key): value for key, value in result.items()}


def _value(pod: Object, variable: Object) -> str:
    source = variable.get("valueFrom")
    if source is None:
        return str(variable.get("value", ""))
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    raise Invalid(
        f"env {variable['name']} comes from {', '.join(source)}: local mode has value and fieldRef"
    )


def _told(mount: Mount, place: Path) -> dict[str, str]:
    match mount.path:
        case PodPath.REQUEST_DIR:
            return {Env.REQUEST_FILE: str(place / Path(PodPath.REQUEST_FILE).name)}
        case PodPath.WORK:
            return {Env.WORK_DIR: str(place)}
        case PodPath.TMP:
            return {"TMPDIR": str(place)}
        case _:
            return {}


def cpu_threads(container: Object) -> int:
    """Threads of numeric libraries: the CPU limit rounded up, 1 without a limit."""
    limit = ((container.get("resources") or {}).get("limits") or {}).get("cpu")
    return max(1, math.ceil(parse_quantity(limit))) if limit else 1
