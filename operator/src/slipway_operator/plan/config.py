"""What the administrator decided, once for all resources."""

from dataclasses import dataclass, field

from slipway.api.v1alpha1.model import ModelFormatName
from slipway.errors import Invalid


@dataclass(frozen=True, slots=True)
class DefaultArtifacts:
    """Where artifacts go when a resource does not say."""

    storage_uri: str
    secret_name: str = ""


@dataclass(frozen=True, slots=True)
class Images:
    """Default images; the optimizer's is chosen by the model's format."""

    server: str
    optimizer: str
    optimizer_classic: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()

    def optimizer_for(self, model_format: ModelFormatName) -> str:
        """The image that reads this format."""
        match model_format:
            case ModelFormatName.ONNX:
                return self.optimizer
            case ModelFormatName.SKLEARN:
                return self.optimizer_classic


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
