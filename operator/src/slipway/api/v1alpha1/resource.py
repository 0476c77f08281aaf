"""``ModelDeployment``: the one resource."""

from typing import Any

from pydantic import Field, ValidationError

from slipway.api.v1alpha1.autoscaling import Autoscaling
from slipway.api.v1alpha1.base import ApiModel, FileUri, Rule, RuledModel
from slipway.api.v1alpha1.model import Model, ModelFormatName, Storage
from slipway.api.v1alpha1.optimization import ExportFormat, Optimization
from slipway.api.v1alpha1.predictor import Job, Predictor
from slipway.api.v1alpha1.rollout import Rollout
from slipway.api.v1alpha1.status import Status
from slipway.api.v1alpha1.validation import Validation
from slipway.errors import Invalid


class Artifacts(ApiModel):
    """Where optimised models are written."""

    storage_uri: FileUri = Field(
        description="Prefix in an S3-compatible store, s3://bucket/prefix; file:///folder in "
        "local mode."
    )
    storage: Storage | None = Field(default=None, description="How to write there.")


# Formats of the models that an image reads, beside ONNX, by the exports that it can write.
_WRITERS = {
    ExportFormat.TFLITE: ModelFormatName.TENSORFLOW,
    ExportFormat.SAVED_MODEL: ModelFormatName.TENSORFLOW,
    ExportFormat.PT2: ModelFormatName.PYTORCH,
}


def _image_can_export(spec: "Spec") -> bool:
    name = spec.model.model_format.name
    return name is ModelFormatName.ONNX or all(
        _WRITERS.get(wanted) is name for wanted in spec.optimization.exports
    )


class Spec(RuledModel):
    """What the user wants."""

    model: Model
    optimization: Optimization = Field(default_factory=Optimization)
    validation: Validation = Field(default_factory=Validation)
    artifacts: Artifacts | None = Field(
        default=None, description="Absent: the operator's default (Helm storage.defaults)."
    )
    predictor: Predictor = Field(default_factory=Predictor)
    job: Job = Field(default_factory=Job)
    replicas: int = Field(
        default=1, ge=0, le=1000, description="Pods of the stable revision without autoscaling."
    )
    autoscaling: Autoscaling | None = None
    rollout: Rollout = Field(default_factory=Rollout)
    revision_history_limit: int = Field(
        default=5, ge=0, le=100, description="Old revisions to keep for rollback."
    )
    progress_deadline_seconds: int = Field(
        default=600,
        ge=10,
        le=86_400,
        description="Time for pods to become ready and for a step to be judged. Absolute: "
        "flapping pods do not reset it.",
    )
    rules = (
        Rule(
            cel="!has(self.optimization) || !has(self.optimization.exports) || "
            "self.model.modelFormat.name == 'onnx' || self.optimization.exports.all(e, "
            "e == 'PT2' ? self.model.modelFormat.name == 'pytorch' : "
            "self.model.modelFormat.name == 'tensorflow')",
            message="optimization.exports asks for another framework than the one that reads "
            "modelFormat.name {model.modelFormat.name}, and no image holds both: export the "
            "published ONNX file by a resource of its own",
            check=_image_can_export,
        ),
    )


class ModelDeployment(ApiModel):
    """From a trained model to gated production."""

    spec: Spec
    status: Status = Field(default_factory=Status)


def parse_spec(body: dict[str, Any], *, strict: bool = False) -> Spec:
    """The spec of a raw object.

    Args:
        body: the object as the API serves it.
        strict: refuse unknown fields too, as the API server does for ``kubectl apply``.

    Raises:
        Invalid: the first thing that is wrong, with its field.
    """
    try:
        return Spec.model_validate(body.get("spec") or {}, extra="forbid" if strict else "ignore")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in ("spec", *first["loc"]))
        raise Invalid(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


def parse_status(body: dict[str, Any]) -> Status:
    """The status of a raw object; what cannot be read counts as never written."""
    try:
        return Status.model_validate(body.get("status") or {})
    except ValidationError:
        return Status()
