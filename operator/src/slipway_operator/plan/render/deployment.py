"""The server Deployment of a revision. Pure.

Its pod template depends on the revision alone and never on its role, so that promotion and
rollback restart nothing. ``spec.replicas`` is not here: it is scaled apart, by whoever owns it.
"""

from slipway.api.v1alpha1.predictor import Resources
from slipway.contract import (
    GRPC_PORT_NAME,
    HTTP_PORT_NAME,
    Component,
    Label,
    Port,
    StorageMount,
)
from slipway.tasks import ArtifactReference, ServingRequest
from slipway_operator.plan.config import Config
from slipway_operator.plan.names import child_labels, owner_reference, selector
from slipway_operator.plan.objects import Object
from slipway_operator.plan.render.pod import (
    container,
    pod_spec,
    request_annotation,
    resources,
    storage_volumes,
    with_gpu,
)
from slipway_operator.plan.revision import Revision

_DEFAULT_RESOURCES = Resources.model_validate(
    {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}
)
_GRACE_SECONDS = 45
CONTAINER = "server"


def deployment(
    resource: Object, revision: Revision, artifact: ArtifactReference, config: Config
) -> Object:
    """Pods that serve one artifact, named by digest."""
    meta = resource["metadata"]
    labels = child_labels(meta["name"], component=Component.PREDICTOR, revision=revision.name)
    content = revision.content
    request = ServingRequest(
        namespace=meta["namespace"],
        name=meta["name"],
        revision=revision.name,
        artifacts_uri=content.artifacts_uri,
        manifest_uri=artifact.manifest_uri,
        manifest_digest=artifact.manifest_digest,
        session=content.predictor.session,
        concurrency=content.predictor.concurrency,
        warmup=content.predictor.warmup,
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": revision.name,
            "namespace": meta["namespace"],
            "labels": {**labels, str(Label.VARIANT): artifact.variant},
            "ownerReferences": [owner_reference(resource)],
        },
        "spec": {
            "selector": {"matchLabels": selector(meta["name"], revision.name)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "revisionHistoryLimit": 1,
            "template": {
                "metadata": {
                    "labels": {**labels, str(Label.VARIANT): artifact.variant},
                    "annotations": request_annotation(request),
                },
                "spec": _pod(revision, artifact, config),
            },
        },
    }


def _pod(revision: Revision, artifact: ArtifactReference, config: Config) -> Object:
    content = revision.content
    storages = {StorageMount.ARTIFACTS: content.artifacts_storage}
    mounts = (StorageMount.ARTIFACTS,) if content.artifacts_storage else ()
    spec = pod_spec(config, storage_volumes(storages))
    spec["terminationGracePeriodSeconds"] = _GRACE_SECONDS
    spec["containers"] = [
        container(
            CONTAINER,
            content.server_image,
            ["python", "-m", "slipway_server"],
            config=config,
            mounts=mounts,
        )
        | {
            "ports": [
                {"name": HTTP_PORT_NAME, "containerPort": int(Port.HTTP), "protocol": "TCP"},
                {"name": GRPC_PORT_NAME, "containerPort": int(Port.GRPC), "protocol": "TCP"},
            ],
            "resources": with_gpu(
                resources(content.predictor.resources, _DEFAULT_RESOURCES),
                artifact.execution_provider,
            ),
            **_probes(),
        }
    ]
    return spec


def _probes() -> Object:
    def http(path: str, period: int, failures: int) -> Object:
        return {
            "httpGet": {"path": path, "port": HTTP_PORT_NAME},
            "periodSeconds": period,
            "timeoutSeconds": 2,
            "failureThreshold": failures,
        }

    return {
        "startupProbe": http("/v2/health/ready", 1, 600),
        "readinessProbe": http("/v2/health/ready", 2, 2),
        "livenessProbe": http("/v2/health/live", 10, 6),
    }
