"""What the administrator decided, once for all resources."""

from dataclasses import dataclass, field

from slipway.api.v1alpha1.model import Loader, Model, ModelFormatName
from slipway.api.v1alpha1.optimization import TENSORFLOW_EXPORTS, Optimization
from slipway.artifacts.words import ExecutionProvider
from slipway.errors import Invalid


@dataclass(frozen=True, slots=True)
class DefaultArtifacts:
    """Where artifacts go when a resource does not say."""

    storage_uri: str
    secret_name: str = ""


@dataclass(frozen=True, slots=True)
class Images:
    """Default images; the optimizer's is chosen by the model's format.

    Attributes:
        loader_images: what a loader's ``image`` may name: whole names, or beginnings of them that
            end in ``*``.
    """

    server: str
    optimizer: str
    optimizer_classic: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    optimizer_torch: str = ""
    optimizer_tensorflow: str = ""
    optimizer_mindspore: str = ""
    server_openvino: str = ""
    optimizer_openvino: str = ""
    server_cuda: str = ""
    optimizer_cuda: str = ""
    loader_images: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Every image that a pod may get, loaders' apart."""
        optional = (
            self.optimizer_torch, self.optimizer_tensorflow, self.optimizer_mindspore,
            self.server_openvino, self.optimizer_openvino, self.server_cuda, self.optimizer_cuda,
        )  # fmt: skip
        present = tuple(image for image in optional if image)
        return (self.server, self.optimizer, self.optimizer_classic, *present)

    def optimizer_for(self, model: Model, wished: Optimization) -> str:
        """The image that reads this model, trains its candidates and writes its exports.

        Raises:
            Invalid: the administrator has not allowed the loader's image, or has no image for the
                format; no image can do all that is wished.
        """
        own = _own_image(model, wished)
        if own is not None:
            return self._allowed(*own)
        name = model.model_format.name
        if wished.execution_provider is not ExecutionProvider.CPU:
            return self._of_provider(name, wished)
        if name is ModelFormatName.ONNX and (wished.exports or wished.trains):
            return self._of_framework(wished)
        if wished.trains and name is not ModelFormatName.PYTORCH:
            raise Invalid(
                f"a candidate in spec.optimization trains, which needs PyTorch, and the image that "
                f"reads modelFormat {name} lacks it: convert the model to ONNX, and deploy that"
            )
        image = self._by_format(name)
        if not image:
            raise Invalid(
                f"no optimizer image for modelFormat {name}: the administrator sets it in the Helm "
                "chart (runtime.images), or convert the model to ONNX"
            )
        return image

    def server_for(self, wished: Optimization) -> str:
        """The image that serves whatever wins: the one in which it was measured.

        Raises:
            Invalid: there is no such image.
        """
        provider = wished.execution_provider
        match provider:
            case ExecutionProvider.CPU:
                return self.server
            case ExecutionProvider.OPENVINO:
                image = self.server_openvino
            case ExecutionProvider.CUDA:
                image = self.server_cuda
        return image or _no_image("server", provider)

    def _of_provider(self, name: ModelFormatName, wished: Optimization) -> str:
        """Images with another provider read ONNX alone, and hold no framework."""
        provider = wished.execution_provider
        if name is not ModelFormatName.ONNX or wished.trains or wished.exports:
            what = f"reads modelFormat {name}"
            if name is ModelFormatName.ONNX:
                what = "trains" if wished.trains else f"writes {wished.exports[0]}"
            raise Invalid(
                f"a candidate in spec.optimization asks for executionProvider {provider}, and no "
                f"image has that and {what}: publish the ONNX model by a resource of its own, and "
                "name its model.onnx in another"
            )
        openvino = provider is ExecutionProvider.OPENVINO
        image = self.optimizer_openvino if openvino else self.optimizer_cuda
        return image or _no_image("optimizer", provider)

    def _of_framework(self, wished: Optimization) -> str:
        """An ONNX model goes to the image of the framework that trains or exports it."""
        of_tensorflow = any(export in TENSORFLOW_EXPORTS for export in wished.exports)
        if of_tensorflow and wished.trains:
            raise Invalid(
                f"spec.optimization trains, which needs PyTorch, and exports {wished.exports[0]}, "
                "which needs TensorFlow, and no image holds both: use one resource for each"
            )
        image = self.optimizer_tensorflow if of_tensorflow else self.optimizer_torch
        if not image and wished.exports:
            raise Invalid(
                f"no optimizer image writes {wished.exports[0]}: the administrator sets it in the "
                "Helm chart (runtime.images), or leave it out of spec.optimization.exports"
            )
        if not image:
            raise Invalid(
                "no optimizer image has PyTorch, which a candidate in spec.optimization needs to "
                "train: the administrator sets runtime.images.optimizerTorch of the Helm chart, or "
                "leave out training, distillation and structured pruning"
            )
        return image

    def _by_format(self, name: ModelFormatName) -> str:
        match name:
            case ModelFormatName.ONNX:
                return self.optimizer
            case ModelFormatName.SKLEARN | ModelFormatName.XGBOOST | ModelFormatName.LIGHTGBM:
                return self.optimizer_classic
            case ModelFormatName.PYTORCH:
                return self.optimizer_torch
            case ModelFormatName.TENSORFLOW:
                return self.optimizer_tensorflow
            case ModelFormatName.MINDSPORE:
                return self.optimizer_mindspore

    def _allowed(self, field: str, image: str) -> str:
        for allowed in self.loader_images:
            prefix = allowed.removesuffix("*")
            if image == allowed or (prefix != allowed and image.startswith(prefix)):
                return image
        listed = ", ".join(self.loader_images) or "none"
        raise Invalid(
            f"{field} is '{image}', but the administrator allows {listed}: ask to add it to "
            "runtime.loaderImages of the Helm chart"
        )


def _own_image(model: Model, wished: Optimization) -> tuple[str, str] | None:
    """(field, image) that the loaders name, the model's and the students'; one Job has one image.

    Raises:
        Invalid: they name several.
    """
    loaders: dict[str, Loader | None] = {"spec.model.loader.image": model.loader}
    for name, loader in wished.student_loaders.items():
        loaders[f"the image of candidate {name}'s loader"] = loader
    named = [(where, own.image) for where, own in loaders.items() if own and own.image is not None]
    for where, image in named[1:]:
        if image != named[0][1]:
            raise Invalid(
                f"{named[0][0]} is '{named[0][1]}' and {where} is '{image}', but one Job has one "
                "image: name one that has the packages of both"
            )
    return next(iter(named), None)


def _no_image(program: str, provider: ExecutionProvider) -> str:
    value = f"{program}{provider.capitalize()}"
    raise Invalid(
        f"no {program} image has executionProvider {provider}, which a candidate in "
        f"spec.optimization asks for: the administrator sets runtime.images.{value} of the Helm "
        "chart, or leave it out"
    )


@dataclass(frozen=True, slots=True)
class Config:
    """Everything ``plan`` may know besides what it observed.

    Attributes:
        cluster_domain: suffix of Service names; empty where Services are reached by address.
        http_port: port of the Services for HTTP.
        allow_files: whether ``file://`` addresses mean something (local mode).
        scale_down_delay: seconds between promotion and the end of the old pods, so that every
            node has stopped sending them connections.
    """

    images: Images
    default_artifacts: DefaultArtifacts | None = None
    cluster_domain: str = "svc.cluster.local"
    http_port: int = 80
    allow_files: bool = False
    scale_down_delay: float = 10.0
    node_selector: dict[str, str] = field(default_factory=dict)

    def check_uri(self, where: str, uri: str) -> None:
        """Refuse addresses that no pod could open.

        Raises:
            Invalid: a ``file://`` address outside local mode.
        """
        if uri.startswith("file://") and not self.allow_files:
            raise Invalid(
                f"{where} is '{uri}': file:// works in local mode only; upload it and use s3://"
            )
