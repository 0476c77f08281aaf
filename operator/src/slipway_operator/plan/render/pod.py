"""What every pod of ours has in common: no rights, no token, nothing writable but scratch. Pure."""

from slipway.api.v1alpha1.model import Storage
from slipway.api.v1alpha1.predictor import Resources
from slipway.artifacts.words import ExecutionProvider
from slipway.contract import GPU, Annotation, PodPath, StorageMount
from slipway.tasks import OptimizationRequest, ReplayRequest, ServingRequest
from slipway_operator.plan.config import Config
from slipway_operator.plan.objects import Object

_UID = 65532
_REQUEST_VOLUME = "request"
_WORK_VOLUME = "work"
_TMP_VOLUME = "tmp"

Request = OptimizationRequest | ServingRequest | ReplayRequest


def request_annotation(request: Request) -> dict[str, str]:
    """The pod's input, as the annotation that its request volume shows as a file."""
    return {str(Annotation.REQUEST): request.model_dump_json(exclude_none=True)}


def pod_spec(config: Config, volumes: list[Object]) -> Object:
    """The restricted pod without its containers.

    Satisfies the Pod Security Standard ``restricted``. The kubelet's fsGroup makes mounted
    Secrets readable for our uid alone.
    """
    spec: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _UID,
            "runAsGroup": _UID,
            "fsGroup": _UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [
            {
                "name": _REQUEST_VOLUME,
                "downwardAPI": {
                    "items": [
                        {
                            "path": "request.json",
                            "fieldRef": {
                                "fieldPath": f"metadata.annotations['{Annotation.REQUEST}']"
                            },
                        }
                    ]
                },
            },
            {"name": _WORK_VOLUME, "emptyDir": {}},
            {"name": _TMP_VOLUME, "emptyDir": {}},
            *volumes,
        ],
    }
    if config.images.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in config.images.pull_secrets]
    if config.node_selector:
        spec["nodeSelector"] = dict(config.node_selector)
    return spec


def container(
    name: str, image: str, command: list[str], *, config: Config, mounts: tuple[StorageMount, ...]
) -> Object:
    """A container with a constant command; what it is to do comes by its request file."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": config.images.pull_policy,
        "command": command,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": _REQUEST_VOLUME, "mountPath": str(PodPath.REQUEST_DIR), "readOnly": True},
            {"name": _WORK_VOLUME, "mountPath": str(PodPath.WORK)},
            {"name": _TMP_VOLUME, "mountPath": str(PodPath.TMP)},
            *(
                {
                    "name": _volume(mount),
                    "mountPath": f"{PodPath.STORAGE}/{mount}",
                    "readOnly": True,
                }
                for mount in mounts
            ),
        ],
    }


def storage_volumes(storages: dict[StorageMount, Storage | None]) -> list[Object]:
    """One Secret volume for each purpose that has one.

    Optional, so that a missing Secret is the program's clear refusal and not a pod that hangs.
    """
    return [
        {
            "name": _volume(mount),
            "secret": {
                "secretName": storage.secret_ref.name,
                "defaultMode": 0o440,
                "optional": True,
            },
        }
        for mount, storage in storages.items()
        if storage is not None
    ]


def resources(wanted: Resources, defaults: Resources) -> Object:
    """Requests and limits: the user's, else the defaults, each quantity on its own."""

    def merged(mine: dict[str, str], other: dict[str, str]) -> dict[str, str]:
        return {**other, **mine}

    requests = merged(
        wanted.requests.model_dump(exclude_none=True),
        defaults.requests.model_dump(exclude_none=True) if not _any(wanted) else {},
    )
    limits = merged(
        wanted.limits.model_dump(exclude_none=True),
        defaults.limits.model_dump(exclude_none=True) if not _any(wanted) else {},
    )
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def with_gpu(wanted: Object, provider: ExecutionProvider) -> Object:
    """The same with the one GPU that CUDA needs; what a limit names, is requested by it."""
    if provider is not ExecutionProvider.CUDA:
        return wanted
    return {**wanted, "limits": {**wanted.get("limits", {}), GPU: "1"}}


def _any(wanted: Resources) -> bool:
    parts = (wanted.requests, wanted.limits)
    return any(value is not None for part in parts for value in (part.cpu, part.memory))


def _volume(mount: StorageMount) -> str:
    return f"storage-{mount}"
