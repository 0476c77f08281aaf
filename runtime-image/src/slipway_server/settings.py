"""What a server is started with: from the request file and environment of a pod, or by hand."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from slipway.artifacts.credentials import StorageConfig
from slipway.artifacts.layout import MANIFEST, digest_of
from slipway.artifacts.store import Reader, open_reader, split_uri
from slipway.contract import Env, PodPath, Port, StorageMount
from slipway.errors import Invalid, NotFound
from slipway_server.loading import Address, LocalArtifact, fetch, open_file, open_folder
from slipway_server.served import Concurrency, PodRequest, Warmup, parse_request
from slipway_server.state import Identity

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_POD_DRAIN_SECONDS: Final = 3.0
_GRACE_SECONDS: Final = 25.0  # below the 30 s that Kubernetes gives a pod
_REQUEST_LIMIT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class StoreSource:
    """An artifact in a store, and where to put it; ``storage`` may be why nobody can log in."""

    artifacts_uri: str
    manifest_uri: str
    digest: str
    storage: StorageConfig | Invalid
    work: Path

    def open(self) -> LocalArtifact:
        """Download and verify. See ``loading.fetch`` for what it raises."""
        return fetch(self.address(), self.work)

    def address(self) -> Address:
        """The manifest and the blobs.

        Raises:
            Invalid: a URI that is no address.
        """
        root, key = split_uri(self.manifest_uri)
        return Address(
            manifests=_reader(root, self.storage),
            blobs=_reader(self.artifacts_uri, self.storage),
            manifest_key=key,
            digest=self.digest,
        )


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A folder with a manifest, or a bare model file."""

    path: Path

    def open(self) -> LocalArtifact:
        """Verify what can be verified. See ``loading.open_folder`` for what it raises."""
        return open_folder(self.path) if self.path.is_dir() else open_file(self.path)


class GrpcTransport(StrEnum):
    """Who speaks HTTP/2 on the gRPC port."""

    OWN = "own"
    GRPC_AIO = "grpc.aio"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the doors are. ``host`` ``None`` is every address; port 0 is any free one."""

    host: str | None
    http_port: int
    grpc_port: int


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask, and what is told of it.

    Attributes:
        certificate, key: files of TLS on both ports; absent means none.
        token: file with the bearer token; absent means that everybody may ask.
        log: whether each request is a line on stdout.
        spans: whether each request is a span of OpenTelemetry.
    """

    certificate: Path | None = None
    key: Path | None = None
    token: Path | None = None
    log: bool = False
    spans: bool = False


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model to serve, and where its bytes are."""

    identity: Identity
    source: StoreSource | LocalSource


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """All of it. What is said of runs, queues and warm-up holds for each model by itself.

    Attributes:
        models: at least one, each with a name of its own.
        threads: of one run, one at a time; ``None`` learns what to do with the CPU limit.
        drain_seconds: how long to go on as before after SIGTERM, while the news spreads.
        grace_seconds: from SIGTERM to the end at the latest.
    """

    models: tuple[ServedModel, ...]
    listen: Listen
    threads: int | None = None
    concurrency: Concurrency = field(default_factory=Concurrency)
    warmup: Warmup = field(default_factory=Warmup)
    drain_seconds: float = 0.0
    grace_seconds: float = _GRACE_SECONDS
    grpc_transport: GrpcTransport = GrpcTransport.OWN
    access: Access = field(default_factory=Access)


def pod_settings(env: Mapping[str, str]) -> ServerSettings:
    """Settings of a pod, from the request that its operator wrote.

    Raises:
        Invalid: no request, or one that cannot be met.
    """
    request = _request(env)
    source = StoreSource(
        artifacts_uri=request.artifacts_uri,
        manifest_uri=request.manifest_uri,
        digest=request.manifest_digest,
        storage=artifact_storage(env),
        work=Path(env.get(Env.WORK_DIR, PodPath.WORK)),
    )
    identity = Identity(_name(request.name), _name(request.revision), request.manifest_digest)
    return ServerSettings(
        models=(ServedModel(identity, source),),
        listen=Listen(
            host=env.get(Env.BIND_ADDRESS) or None,
            http_port=int(_number(env, Env.HTTP_PORT, Port.HTTP)),
            grpc_port=int(_number(env, Env.GRPC_PORT, Port.GRPC)),
        ),
        threads=request.threads,
        concurrency=request.concurrency,
        warmup=request.warmup,
        drain_seconds=_number(env, Env.DRAIN_SECONDS, _POD_DRAIN_SECONDS),
        grace_seconds=_number(env, Env.GRACE_SECONDS, _GRACE_SECONDS),
        grpc_transport=_transport(env),
        access=_access(env),
    )


def local_settings(
    targets: Sequence[tuple[str | None, Path]], *, listen: Listen, env: Mapping[str, str]
) -> ServerSettings:
    """Settings of a server that somebody starts by hand.

    Args:
        targets: name, and a folder with a manifest or a model file; without a name the model has
            the folder's or file's.
        listen: where.
        env: for the drain time.

    Raises:
        Invalid: no such target, a name that no URL carries, or one that is given twice.
    """
    models = tuple(_local_model(name, target.resolve()) for name, target in targets)
    names = [model.identity.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise Invalid(f"two models are called '{name}': name them with --model NAME=DIR")
    return ServerSettings(
        models=models,
        listen=listen,
        drain_seconds=_number(env, Env.DRAIN_SECONDS, 0.0),
        grace_seconds=_number(env, Env.GRACE_SECONDS, _GRACE_SECONDS),
        grpc_transport=_transport(env),
        access=_access(env),
    )


def _local_model(name: str | None, path: Path) -> ServedModel:
    digest = ""
    if path.is_dir():
        try:
            digest = digest_of((path / MANIFEST).read_bytes())
        except OSError:
            digest = ""  # open_folder says what is wrong
    version = digest[7:19] if digest else "1"
    return ServedModel(Identity(_name(name or path.stem), version, digest), LocalSource(path))


def read_request(env: Mapping[str, str]) -> bytes:
    """The request that the operator wrote for this pod.

    Raises:
        NotFound: there is none.
    """
    path = Path(env.get(Env.REQUEST_FILE, PodPath.REQUEST_FILE))
    try:
        with path.open("rb") as file:
            return file.read(_REQUEST_LIMIT)
    except OSError as error:
        raise NotFound(
            f"there is no request file (set {Env.REQUEST_FILE}, or name a model: "
            "python -m slipway_server serve DIR)"
        ) from error


def _request(env: Mapping[str, str]) -> PodRequest:
    try:
        return parse_request(read_request(env))
    except NotFound:
        raise
    except Invalid as error:
        raise Invalid(f"the request file is not a ServingRequest: {error}") from error


def artifact_storage(env: Mapping[str, str]) -> StorageConfig | Invalid:
    """Credentials of the artifact store, where they are mounted; or what to say if they are not.

    A Secret that was deleted leaves an empty folder, and one that never was leaves none. That is
    told only when the store is asked: a container that starts again finds its artifact in the pod.
    """
    folder = Path(env.get(Env.STORAGE_DIR, PodPath.STORAGE)) / StorageMount.ARTIFACTS
    try:
        return StorageConfig.from_folder(folder)
    except Invalid as error:
        if folder.is_dir() and any(folder.iterdir()):
            raise
        return error


@dataclass(frozen=True, slots=True)
class _NoStore:
    """Implements ``Reader`` where there are no credentials: without any, AWS would be asked."""

    error: Invalid

    def read(self, key: str, *, limit: int) -> bytes:
        """See ``Reader.read``."""
        del key, limit
        raise self.error

    def download(self, key: str, path: Path) -> None:
        """See ``Reader.download``."""
        del key, path
        raise self.error


def _reader(root: str, storage: StorageConfig | Invalid) -> Reader:
    if isinstance(storage, StorageConfig):
        return open_reader(root, storage)
    return _NoStore(storage) if root.startswith("s3://") else open_reader(root, StorageConfig())


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise Invalid(
            f"'{text[:80]}' is no name for a model or revision: use letters, digits, '.', '_' "
            "and '-' (--name)"
        )
    return text


def _access(env: Mapping[str, str]) -> Access:
    certificate, key = _path(env, Env.TLS_CERTIFICATE), _path(env, Env.TLS_KEY)
    if (certificate is None) != (key is None):
        raise Invalid(f"only one of {Env.TLS_CERTIFICATE} and {Env.TLS_KEY} is set: set both")
    return Access(
        certificate=certificate,
        key=key,
        token=_path(env, Env.TOKEN_FILE),
        log=_switch(env, Env.ACCESS_LOG, "json"),
        spans=_switch(env, Env.SPANS, "otlp"),
    )


def _path(env: Mapping[str, str], name: str) -> Path | None:
    text = env.get(name)
    return Path(text) if text else None


def _switch(env: Mapping[str, str], name: str, on: str) -> bool:
    text = env.get(name) or "off"
    if text not in (on, "off"):
        raise Invalid(f"{name} is '{text[:40]}': use {on} or off")
    return text == on


def _transport(env: Mapping[str, str]) -> GrpcTransport:
    text = env.get(Env.GRPC_TRANSPORT) or GrpcTransport.OWN
    try:
        return GrpcTransport(text)
    except ValueError as error:
        known = " or ".join(GrpcTransport)
        raise Invalid(f"{Env.GRPC_TRANSPORT} is '{text[:40]}': use {known}") from error


def _number(env: Mapping[str, str], key: str, default: float) -> float:
    text = env.get(key)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise Invalid(f"{key} is '{text[:40]}': use a number") from error
    if not 0 <= value <= 1e6:
        raise Invalid(f"{key} is {text[:40]}: use a number from 0")
    return value
