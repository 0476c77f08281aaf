"""The operator's settings, read from the environment once."""

from collections.abc import Mapping
from dataclasses import dataclass

from slipway.contract import OperatorEnv as Env
from slipway.contract import Port
from slipway.errors import Invalid
from slipway_operator.plan.config import Config, DefaultArtifacts, Images


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the composition root needs.

    Attributes:
        namespaces: those that are watched; empty means all.
        resync_seconds: after how long each resource is looked at though nothing happened.
        identity: who this process is in the Lease.
    """

    config: Config
    namespaces: tuple[str, ...]
    identity: str
    lease_namespace: str
    port: int
    resync_seconds: float
    json_logs: bool
    log_level: str


def read(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables.

    Raises:
        Invalid: one is missing or unusable; the message names it.
    """

    def required(name: Env) -> str:
        value = environ.get(name, "").strip()
        if not value:
            raise Invalid(f"environment variable {name} is not set; the Helm chart sets it")
        return value

    def several(name: Env) -> tuple[str, ...]:
        return tuple(part.strip() for part in environ.get(name, "").split(",") if part.strip())

    uri = environ.get(Env.ARTIFACTS_URI, "").strip()
    if uri and not uri.startswith("s3://"):
        raise Invalid(
            f"{Env.ARTIFACTS_URI} is '{uri}': storage.defaults.storageUri must be s3://bucket/prefix"
        )
    level = environ.get(Env.LOG_LEVEL, "INFO").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise Invalid(f"{Env.LOG_LEVEL} is '{level}': use DEBUG, INFO, WARNING or ERROR")
    return Settings(
        config=Config(
            images=Images(
                server=required(Env.IMAGE_SERVER),
                optimizer=required(Env.IMAGE_OPTIMIZER),
                optimizer_classic=required(Env.IMAGE_OPTIMIZER_CLASSIC),
                optimizer_torch=environ.get(Env.IMAGE_OPTIMIZER_TORCH, "").strip(),
                optimizer_tensorflow=environ.get(Env.IMAGE_OPTIMIZER_TENSORFLOW, "").strip(),
                optimizer_mindspore=environ.get(Env.IMAGE_OPTIMIZER_MINDSPORE, "").strip(),
                server_openvino=environ.get(Env.IMAGE_SERVER_OPENVINO, "").strip(),
                optimizer_openvino=environ.get(Env.IMAGE_OPTIMIZER_OPENVINO, "").strip(),
                server_cuda=environ.get(Env.IMAGE_SERVER_CUDA, "").strip(),
                optimizer_cuda=environ.get(Env.IMAGE_OPTIMIZER_CUDA, "").strip(),
                loader_images=several(Env.LOADER_IMAGES),
                pull_policy=environ.get(Env.IMAGE_PULL_POLICY) or "IfNotPresent",
                pull_secrets=several(Env.IMAGE_PULL_SECRETS),
            ),
            default_artifacts=DefaultArtifacts(uri, environ.get(Env.ARTIFACTS_SECRET, ""))
            if uri
            else None,
            cluster_domain=environ.get(Env.CLUSTER_DOMAIN) or "svc.cluster.local",
        ),
        namespaces=several(Env.WATCH_NAMESPACES),
        identity=required(Env.POD_NAME),
        lease_namespace=required(Env.POD_NAMESPACE),
        port=_port(environ.get(Env.PORT)),
        resync_seconds=_resync(environ.get(Env.RESYNC_SECONDS)),
        json_logs=environ.get(Env.LOG_FORMAT) == "json",
        log_level=level,
    )


def _port(text: str | None) -> int:
    if not text:
        return int(Port.OPERATOR)
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise Invalid(f"{Env.PORT} is '{text[:20]}': use a port from 1 to 65535")
    return int(text)


def _resync(text: str | None) -> float:
    if not text:
        return 600.0
    if not text.isdecimal() or not 10 <= int(text) <= 86_400:
        raise Invalid(f"{Env.RESYNC_SECONDS} is '{text[:20]}': use whole seconds, 10 to 86400")
    return float(text)
