"""Revisions: what makes two specs the same model in production, and what is kept of each. Pure."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from slipway.api.v1alpha1.model import Model, Storage
from slipway.api.v1alpha1.optimization import Optimization
from slipway.api.v1alpha1.predictor import Predictor
from slipway.api.v1alpha1.resource import Spec
from slipway.api.v1alpha1.validation import Validation
from slipway.artifacts.layout import join_uri
from slipway.contract import Annotation
from slipway.errors import Invalid
from slipway.tasks import JobReport, parse_report
from slipway.wire import WireModel
from slipway_operator.plan.config import Config
from slipway_operator.plan.names import revision_name
from slipway_operator.plan.objects import Object, annotations

RENDER_VERSION = 1


class Snapshot(WireModel):
    """The immutable content of a ``ControllerRevision``: all that its pods are made from.

    Attributes:
        render_version: how pods are rendered; an operator upgrade keeps the old way for old
            revisions, so that it restarts nothing.
        artifacts_uri: root of the artifact store, namespace uid included.
    """

    render_version: int
    model: Model
    optimization: Optimization
    validation: Validation
    predictor: Predictor
    server_image: str
    optimizer_image: str
    artifacts_uri: str
    artifacts_storage: Storage | None = None


def user_fields(spec: Spec) -> dict[str, Any]:
    """What a revision's hash covers: the user's words, nothing rendered and no default image.

    Absent and default values hash alike, so a field added later with a default changes no hash.
    """
    parts = {
        "model": spec.model,
        "optimization": spec.optimization,
        "validation": spec.validation,
        "predictor": spec.predictor,
    }
    return {
        name: part.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        for name, part in parts.items()
    }


def target_name(resource: str, spec: Spec) -> str:
    """Name of the revision that the spec asks for."""
    return revision_name(resource, user_fields(spec))


def snapshot(spec: Spec, *, namespace_uid: str, config: Config) -> Snapshot:
    """Resolve the defaults once, when the revision is made.

    Raises:
        Invalid: no place for artifacts, an address that no pod could open, or an image that is not
            allowed.
    """
    storage = None
    if spec.artifacts is not None:
        root, storage = spec.artifacts.storage_uri, spec.artifacts.storage
    elif config.default_artifacts is not None:
        default = config.default_artifacts
        root = default.storage_uri
        if default.secret_name:
            storage = Storage.model_validate({"secretRef": {"name": default.secret_name}})
    else:
        raise Invalid(
            "spec.artifacts is absent and the operator has no default: set "
            "spec.artifacts.storageUri, or storage.defaults.storageUri of the Helm chart"
        )
    config.check_uri("spec.artifacts.storageUri", root)
    config.check_uri("spec.model.storageUri", spec.model.storage_uri)
    if spec.model.loader is not None:
        config.check_uri("spec.model.loader.storageUri", spec.model.loader.storage_uri)
    for name, student in spec.optimization.student_loaders.items():
        where = f"the loader of candidate {name}"
        config.check_uri(f"storageUri of {where}", student.storage_uri)
        if student.weights_uri is not None:
            config.check_uri(f"weightsUri of {where}", student.weights_uri)
    if spec.validation.dataset is not None:
        config.check_uri("spec.validation.dataset.storageUri", spec.validation.dataset.storage_uri)
    return Snapshot(
        render_version=RENDER_VERSION,
        model=spec.model,
        optimization=spec.optimization,
        validation=spec.validation,
        predictor=spec.predictor,
        server_image=spec.predictor.runtime_image or config.images.server_for(spec.optimization),
        optimizer_image=config.images.optimizer_for(spec.model, spec.optimization),
        artifacts_uri=join_uri(root, namespace_uid),
        artifacts_storage=storage,
    )


@dataclass(frozen=True, slots=True)
class Revision:
    """A stored revision, and the outcome of its optimization once there is one."""

    name: str
    number: int
    content: Snapshot
    report: JobReport | None
    object: Object


def read_revision(obj: Object) -> Revision | None:
    """A ``ControllerRevision`` of ours; ``None`` when its content is not readable."""
    try:
        content = Snapshot.model_validate(obj.get("data") or {})
        text = annotations(obj).get(Annotation.RESULT)
        report = parse_report(text) if text else None
    except (ValidationError, Invalid):
        return None
    return Revision(
        name=obj["metadata"]["name"],
        number=int(obj.get("revision", 0)),
        content=content,
        report=report if isinstance(report, JobReport) else None,
        object=obj,
    )
