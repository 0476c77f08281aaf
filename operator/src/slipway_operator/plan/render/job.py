"""The optimization Job: fetch -> build -> validate -> publish, and the replay Job. Pure.

Only the first and the last step hold credentials; the two that open the model hold none.
"""

import math

from slipway.api.quantity import parse_quantity
from slipway.api.v1alpha1.model import Storage
from slipway.api.v1alpha1.predictor import Job as JobSpec
from slipway.api.v1alpha1.predictor import Resources
from slipway.api.v1alpha1.validation import Reference
from slipway.contract import Component, ExitCode, Step, StorageMount
from slipway.tasks import (
    ArtifactReference,
    LoaderRequest,
    OptimizationRequest,
    ReplayRequest,
    SourceRequest,
    StableRequest,
)
from slipway_operator.plan.config import Config
from slipway_operator.plan.names import child_labels, job_name, owner_reference, replay_name
from slipway_operator.plan.objects import Object
from slipway_operator.plan.render.pod import (
    Request,
    container,
    pod_spec,
    request_annotation,
    resources,
    storage_volumes,
    with_gpu,
)
from slipway_operator.plan.revision import Revision, Snapshot

_DEFAULT_RESOURCES = Resources.model_validate(
    {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}
)
_REPLAY_RESOURCES = Resources.model_validate(
    {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
)
_REPLAY_DEADLINE_SECONDS = 300
# What failed because of its input fails again: no second pod.
_GIVE_UP = {
    "action": "FailJob",
    "onExitCodes": {"operator": "In", "values": [int(ExitCode.USAGE), int(ExitCode.INVALID)]},
}
_MEASURING = (Step.BUILD, Step.VALIDATE)
_MOUNTS: dict[Step, tuple[StorageMount, ...]] = {
    Step.FETCH: (StorageMount.MODEL, StorageMount.DATASET, StorageMount.ARTIFACTS),
    Step.BUILD: (),
    Step.VALIDATE: (),
    Step.PUBLISH: (StorageMount.ARTIFACTS,),
}


def optimization_request(
    content: Snapshot, attempt: int, stable: Revision | None = None
) -> OptimizationRequest:
    """What the Job is asked for; ``stable`` is what its gates may be against."""
    model = content.model
    loader = None
    if model.loader is not None:
        loader = LoaderRequest(uri=model.loader.storage_uri, function=model.loader.function)
    return OptimizationRequest(
        model=SourceRequest(
            uri=model.storage_uri,
            model_format=model.model_format.name,
            digest=model.digest,
            inputs=model.inputs,
            loader=loader,
            allow_pickle=model.allow_pickle,
        ),
        optimization=content.optimization,
        validation=content.validation,
        artifacts_uri=content.artifacts_uri,
        threads=serving_threads(content),
        attempt=attempt,
        stable=_stable(content, stable),
    )


def _stable(content: Snapshot, stable: Revision | None) -> StableRequest | None:
    wanted = any(gate.against is Reference.STABLE for gate in content.validation.gates)
    artifact = stable.report.artifact if stable is not None and stable.report else None
    if not wanted or stable is None or artifact is None:
        return None
    return StableRequest(
        manifest_uri=artifact.manifest_uri,
        manifest_digest=artifact.manifest_digest,
        artifacts_uri=stable.content.artifacts_uri,
    )


def serving_threads(content: Snapshot) -> int:
    """Threads that a serving pod will use: asked for, or its CPU limit rounded up, or 1."""
    predictor = content.predictor
    if predictor.session.intra_op_num_threads is not None:
        return predictor.session.intra_op_num_threads
    limit = predictor.resources.limits.cpu
    return max(1, math.ceil(parse_quantity(limit))) if limit is not None else 1


def optimization_job(
    resource: Object,
    revision: str,
    content: Snapshot,
    *,
    job: JobSpec,
    attempt: int,
    config: Config,
    stable: Revision | None = None,
) -> Object:
    """Created once a revision; its four containers run one after the other."""
    dataset = content.validation.dataset
    storages: dict[StorageMount, Storage | None] = {
        StorageMount.MODEL: content.model.storage,
        StorageMount.DATASET: dataset.storage if dataset else None,
        StorageMount.ARTIFACTS: content.artifacts_storage,
    }
    spec = pod_spec(config, storage_volumes(storages))
    wanted = resources(job.resources, _DEFAULT_RESOURCES)
    measuring = with_gpu(wanted, content.optimization.execution_provider)
    steps = [
        container(
            step,
            content.optimizer_image,
            ["python", "-m", "slipway_optimizer", "job", str(step)],
            config=config,
            mounts=tuple(mount for mount in _MOUNTS[step] if storages[mount] is not None),
        )
        | {"resources": measuring if step in _MEASURING else wanted}
        for step in Step
    ]
    spec["initContainers"], spec["containers"] = steps[:-1], steps[-1:]
    return _job(
        resource,
        name=job_name(revision),
        labels=child_labels(
            resource["metadata"]["name"], component=Component.OPTIMIZER, revision=revision
        ),
        request=optimization_request(content, attempt, stable),
        pod=spec,
        policy={
            "backoffLimit": job.backoff_limit,
            "activeDeadlineSeconds": job.active_deadline_seconds,
            "ttlSecondsAfterFinished": job.ttl_seconds_after_finished,
        },
    )


def replay_job(
    resource: Object,
    canary: Revision,
    artifact: ArtifactReference,
    *,
    urls: tuple[str, str],
    config: Config,
) -> Object:
    """Sends stored feeds to (stable, canary) ``urls`` and counts; the feeds are the canary's."""
    request = ReplayRequest(
        name=resource["metadata"]["name"],
        artifacts_uri=canary.content.artifacts_uri,
        manifest_uri=artifact.manifest_uri,
        manifest_digest=artifact.manifest_digest,
        stable_url=urls[0],
        canary_url=urls[1],
    )
    storages = {StorageMount.ARTIFACTS: canary.content.artifacts_storage}
    spec = pod_spec(config, storage_volumes(storages))
    mounts = (StorageMount.ARTIFACTS,) if canary.content.artifacts_storage else ()
    spec["containers"] = [
        container(
            "replay",
            canary.content.server_image,
            ["python", "-m", "slipway_server", "replay"],
            config=config,
            mounts=mounts,
        )
        | {"resources": resources(Resources(), _REPLAY_RESOURCES)}
    ]
    return _job(
        resource,
        name=replay_name(canary.name),
        labels=child_labels(
            resource["metadata"]["name"], component=Component.REPLAY, revision=canary.name
        ),
        request=request,
        pod=spec,
        policy={"backoffLimit": 3, "activeDeadlineSeconds": _REPLAY_DEADLINE_SECONDS},
    )


def _job(
    resource: Object,
    *,
    name: str,
    labels: dict[str, str],
    request: Request,
    pod: Object,
    policy: Object,
) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": resource["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [owner_reference(resource)],
        },
        "spec": {
            **policy,
            "podFailurePolicy": {"rules": [_GIVE_UP]},
            "template": {
                "metadata": {"labels": labels, "annotations": request_annotation(request)},
                "spec": {**pod, "restartPolicy": "Never"},
            },
        },
    }
