"""``spec.model``: which trained model, and how to read it."""

from enum import StrEnum

from pydantic import Field

from slipway.api.v1alpha1.base import ApiModel, Digest, FileUri, SecretName


class ModelFormatName(StrEnum):
    """Formats that the optimizer reads; each chooses the optimizer image."""

    ONNX = "onnx"
    SKLEARN = "sklearn"


class ModelFormat(ApiModel):
    """The framework that wrote the model."""

    name: ModelFormatName = Field(description="Framework that wrote the model file.")


class SecretReference(ApiModel):
    """A Secret in the same namespace."""

    name: SecretName = Field(description="Name of a Secret in the resource's namespace.")


class Storage(ApiModel):
    """How to log in to an S3-compatible store."""

    secret_ref: SecretReference = Field(
        description="Secret with AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY and, where needed, AWS_SESSION_TOKEN, AWS_S3_ADDRESSING_STYLE "
        "and ca.crt. Only pods read it; the operator never does."
    )


class Model(ApiModel):
    """The trained model."""

    model_format: ModelFormat
    storage_uri: FileUri = Field(
        description="The model file: s3://bucket/key, or file:///path in local mode."
    )
    digest: Digest | None = Field(
        default=None,
        description="Optional pin, sha256:<hex>. Other bytes are refused. Without it the "
        "optimization Job records the digest it found.",
    )
    storage: Storage | None = Field(
        default=None, description="How to read storageUri; absent means without credentials."
    )
