"""What a container sees of its pod's volumes. Pure."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from slipway.errors import Invalid
from slipway_operator.plan.objects import Object

_ANNOTATION: Final = re.compile(r"metadata\.(annotations|labels)\['([^']+)'\]")

FindSecret = Callable[[str], Object | None]
"""Name -> the Secret in the pod's namespace."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One volume where a container sees it.

    Attributes:
        path: inside the container.
        files: contents by file name; None: an empty folder that the pod's containers share.
    """

    path: str
    volume: str
    files: dict[str, bytes] | None = None


def mounts_of(pod: Object, container: Object, find_secret: FindSecret) -> tuple[Mount, ...]:
    """All mounts of a container.

    Raises:
        Invalid: a Secret that is missing and not optional, or a volume that local mode has not.
    """
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    found = []
    for mount in container.get("volumeMounts") or []:
        volume = volumes[mount["name"]]
        files = _files(pod, volume, find_secret)
        found.append(Mount(mount["mountPath"], volume["name"], files))
    return tuple(found)


def _files(pod: Object, volume: Object, find_secret: FindSecret) -> dict[str, bytes] | None:
    if "emptyDir" in volume:
        return None
    if "secret" in volume:
        return _secret(volume["secret"], find_secret)
    if "downwardAPI" in volume:
        items = volume["downwardAPI"].get("items") or []
        return {item["path"]: _field(pod, item).encode() for item in items}
    kinds = ", ".join(sorted(volume.keys() - {"name"}))
    raise Invalid(
        f"volume '{volume['name']}' is of the kind '{kinds}': local mode has emptyDir, secret and "
        "downwardAPI"
    )


def _secret(source: Object, find_secret: FindSecret) -> dict[str, bytes]:
    name = source["secretName"]
    secret = find_secret(name)
    if secret is None:
        if source.get("optional"):
            return {}
        raise Invalid(f"secret '{name}' not found: create it in the pod's namespace")
    try:
        data = {
            key: base64.b64decode(text, validate=True)
            for key, text in (secret.get("data") or {}).items()
        }
    except ValueError as error:
        raise Invalid(f"secret '{name}' holds data that is not base64") from error
    data |= {key: text.encode() for key, text in (secret.get("stringData") or {}).items()}
    if not source.get("items"):
        return data
    return {item["path"]: data[item["key"]] for item in source["items"] if item["key"] in data}


def _field(pod: Object, item: Object) -> str:
    path = item["fieldRef"]["fieldPath"]
    if match := _ANNOTATION.fullmatch(path):
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    return field_of(pod, path)


def field_of(pod: Object, path: str) -> str:
    """A pod's field, as the downward API names it.

    Raises:
        Invalid: local mode does not offer it.
    """
    meta, status = pod["metadata"], pod["status"]
    known = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": pod["spec"]["nodeName"],
        "status.podIP": status.get("podIP", ""),
        "status.hostIP": status.get("hostIP", ""),
    }
    if path not in known:
        raise Invalid(f"fieldPath '{path}' is unknown: local mode has {', '.join(known)}")
    return str(known[path])
