"""``spec.model``: which trained model, and how to read it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from slipway.api.v1alpha1.base import ApiModel, Digest, FileUri, Rule, RuledModel, SecretName, Text


class ModelFormatName(StrEnum):
    """Formats that the optimizer reads; each chooses the optimizer image."""

    ONNX = "onnx"
    SKLEARN = "sklearn"
    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    PYTORCH = "pytorch"
    TENSORFLOW = "tensorflow"
    MINDSPORE = "mindspore"


# Formats whose files may hold the weights alone, so that code must say what they are weights of.
LOADED_FORMATS = (ModelFormatName.PYTORCH, ModelFormatName.MINDSPORE)
# Formats that can be saved by pickling, which runs code when it is read.
PICKLED_FORMATS = (
    ModelFormatName.SKLEARN,
    ModelFormatName.XGBOOST,
    ModelFormatName.LIGHTGBM,
    ModelFormatName.PYTORCH,
    ModelFormatName.TENSORFLOW,
)


class ModelFormat(ApiModel):
    """The framework that wrote the model."""

    name: ModelFormatName = Field(
        description="Framework that wrote the model. sklearn: skops, joblib, pickle; xgboost: "
        ".json, .ubj; lightgbm: .txt; pytorch: .pt2, TorchScript, safetensors with a Hugging Face "
        "config.json, or weights with a loader; tensorflow: SavedModel, .keras, .h5, .tflite; "
        "mindspore: a checkpoint with a loader, .mindir."
    )


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


class Loader(ApiModel):
    """Python code that makes the model, for files that hold its weights only."""

    storage_uri: FileUri = Field(
        description="A Python file, read with the model's own Secret. It runs without credentials "
        "and without network."
    )
    function: str = Field(
        default="load",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        max_length=64,
        description="Function of that file: takes the model's path (pathlib.Path), returns the "
        "module in evaluation mode.",
    )
    image: Text | None = Field(
        default=None,
        min_length=1,
        description="Optimizer image with the packages that the loader imports, made from "
        "Slipway's. The administrator lists which are allowed (runtime.loaderImages).",
    )


class InputDatatype(StrEnum):
    """Datatypes of the Open Inference Protocol v2 that an input may have."""

    BOOL = "BOOL"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    UINT8 = "UINT8"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"


class ModelInput(ApiModel):
    """What one input looks like, where the file does not say it."""

    name: Text = Field(min_length=1, description="The input's name in the served model.")
    datatype: InputDatatype = Field(default=InputDatatype.FP32, description="Of its elements.")
    shape: tuple[Annotated[int, Field(ge=-1, le=1 << 30)], ...] = Field(
        min_length=1,
        max_length=8,
        description="Sizes, the batch first; -1 means any, for instance [-1, 3, 224, 224].",
    )


class Model(RuledModel):
    """The trained model."""

    model_format: ModelFormat
    storage_uri: FileUri = Field(
        description="The model: s3://bucket/key, or file:///path in local mode. A trailing / means "
        "a folder: SavedModel, Hugging Face, ONNX with external data."
    )
    digest: Digest | None = Field(
        default=None,
        description="Optional pin, sha256:<hex>. Other bytes are refused. Without it the "
        "optimization Job records the digest it found.",
    )
    storage: Storage | None = Field(
        default=None, description="How to read storageUri; absent means without credentials."
    )
    inputs: tuple[ModelInput, ...] = Field(
        default=(),
        max_length=32,
        description="In the order of the model's arguments, for formats that do not say it "
        "(TorchScript, a loader's module). Without them the data set's arrays tell.",
    )
    loader: Loader | None = Field(
        default=None, description="For pytorch and mindspore: what the file holds weights of."
    )
    allow_pickle: bool = Field(
        default=False,
        description="Also read files that run code when they are opened (joblib, pickle, whole "
        "PyTorch modules, Keras Lambda layers): in a sandboxed process without credentials and "
        "network. Set it only for files that you trust.",
    )
    list_map_keys = {"inputs": "name"}  # noqa: RUF012 - a ClassVar of the base
    rules = (
        Rule(
            cel="!has(self.loader) || self.modelFormat.name in ['pytorch', 'mindspore']",
            message="loader is for the formats pytorch and mindspore, but modelFormat.name is "
            "{modelFormat.name}: leave it out",
            check=lambda m: m.loader is None or m.model_format.name in LOADED_FORMATS,
        ),
        Rule(
            cel="!has(self.allowPickle) || !self.allowPickle || "
            "!(self.modelFormat.name in ['onnx', 'mindspore'])",
            message="allowPickle means nothing for modelFormat.name {modelFormat.name}: leave it "
            "out",
            check=lambda m: not m.allow_pickle or m.model_format.name in PICKLED_FORMATS,
        ),
    )
