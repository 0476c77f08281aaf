"""What a server reads of an artifact's manifest and of its pod's request. Pure.

The whole of both is in ``slipway.artifacts.manifest`` and ``slipway.tasks``; a test holds that what
is written there is read here.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from slipway.artifacts.words import ExecutionProvider, FileRole, Verdict, node_class
from slipway.errors import Invalid
from slipway_server.record import Record

_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_W = TypeVar("_W", bound=StrEnum)
_REQUEST: Final = frozenset((
    "namespace", "name", "revision", "artifactsUri", "manifestUri", "manifestDigest",
    "session", "concurrency", "warmup",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A file of an artifact: a plain name without folders, its digest and its size in bytes."""

    name: str
    role: FileRole
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ServedTensor:
    """A model's input or output; -1 in ``shape`` is a dynamic dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServedManifest:
    """What a server acts on. What else the manifest tells is for people and other programs.

    Attributes:
        variant: which candidate of the optimizer it is.
        node_class: of the machine that measured.
        verdict, message: of the validation.
        requires_any_cpu_flag: of the CPU that serves; empty means that any CPU may.
        execution_provider: with which it was measured, and is run.
    """

    variant: str
    node_class: str
    verdict: Verdict
    message: str
    requires_any_cpu_flag: tuple[str, ...]
    execution_provider: ExecutionProvider
    inputs: tuple[ServedTensor, ...]
    outputs: tuple[ServedTensor, ...]
    files: tuple[ServedFile, ...]

    def file(self, role: FileRole) -> ServedFile:
        """The one file with that role.

        Raises:
            Invalid: when there is none.
        """
        for file in self.files:
            if file.role is role:
                return file
        raise Invalid(f"the manifest lists no {role} file")


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How much a server takes on: ``spec.predictor.concurrency``."""

    max_queued: int = 256
    timeout_seconds: int = 30
    max_connection_age_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Warmup:
    """What a server does before it is ready: ``spec.predictor.warmup``."""

    iterations: int = 10
    golden_samples: int = 8


@dataclass(frozen=True, slots=True)
class PodRequest:
    """What the operator asks of a server pod. ``threads``: of one run; ``None`` is learnt."""

    name: str
    revision: str
    artifacts_uri: str
    manifest_uri: str
    manifest_digest: str
    threads: int | None
    concurrency: Concurrency
    warmup: Warmup


def parse_manifest(data: bytes) -> ServedManifest:
    """Read verified bytes.

    Raises:
        Invalid: they are no manifest of this release; begins with the field.
    """
    root = Record.parsed(data)
    root.number("schemaVersion", 1, least=1, most=1)
    hardware, validation = root.record("hardware"), root.record("validation")
    provider = root.text("executionProvider") if root.has("executionProvider") else "CPU"
    return ServedManifest(
        variant=root.text("variant"),
        node_class=node_class(hardware.text("architecture"), hardware.texts("cpuFlags")),
        verdict=_word(Verdict, validation.text("verdict"), "validation.verdict"),
        message=validation.text("message"),
        requires_any_cpu_flag=root.texts("requiresAnyCpuFlag", ()),
        execution_provider=_word(ExecutionProvider, provider, "executionProvider"),
        inputs=tuple(_tensor(tensor) for tensor in root.records("inputs")),
        outputs=tuple(_tensor(tensor) for tensor in root.records("outputs")),
        files=tuple(_file(file) for file in root.records("files")),
    )


def parse_request(data: bytes) -> PodRequest:
    """Read a pod's request. A field that is not known is refused: somebody relies on it.

    Raises:
        Invalid: it is none of this release; begins with the field.
    """
    root = Record.parsed(data)
    root.only(_REQUEST)
    root.text("namespace")
    session = root.record("session", optional=True)
    queue = root.record("concurrency", optional=True)
    warmup = root.record("warmup", optional=True)
    threads = None
    if session.has("intraOpNumThreads"):
        threads = session.number("intraOpNumThreads", least=1, most=256)
    return PodRequest(
        name=root.text("name"),
        revision=root.text("revision"),
        artifacts_uri=root.text("artifactsUri"),
        manifest_uri=root.text("manifestUri"),
        manifest_digest=root.text("manifestDigest"),
        threads=threads,
        concurrency=Concurrency(
            max_queued=queue.number("maxQueued", 256, least=1, most=100_000),
            timeout_seconds=queue.number("timeoutSeconds", 30, least=1, most=3600),
            max_connection_age_seconds=queue.number(
                "maxConnectionAgeSeconds", 60, least=1, most=86_400
            ),
        ),
        warmup=Warmup(
            iterations=warmup.number("iterations", 10, least=1, most=1000),
            golden_samples=warmup.number("goldenSamples", 8, most=64),
        ),
    )


def _tensor(tensor: Record) -> ServedTensor:
    return ServedTensor(tensor.text("name"), tensor.text("datatype"), tensor.numbers("shape"))


def _file(file: Record) -> ServedFile:
    return ServedFile(
        name=file.text("name", pattern=_FILE),
        role=_word(FileRole, file.text("role"), "files.role"),
        digest=file.text("digest", pattern=_DIGEST),
        size_bytes=file.number("sizeBytes"),
    )


def _word(kind: type[_W], text: str, where: str) -> _W:
    try:
        return kind(text)
    except ValueError as error:
        raise Invalid(f"{where}: '{text[:80]}' is not known to this release") from error
