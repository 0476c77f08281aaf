"""The manifest of an artifact: the digest chain from source to served bytes, and the verdict."""

from typing import Literal

from pydantic import Field

from slipway.artifacts.words import ExecutionProvider, FileRole, Verdict, node_class
from slipway.errors import Invalid
from slipway.wire import WireModel

__all__ = [
    "ArtifactFile", "ArtifactManifest", "CandidateReport", "Dataset", "ExecutionProvider",
    "FileRole", "GateResult", "Hardware", "Source", "Stage", "Tensor", "ValidationReport",
    "Verdict",
]  # fmt: skip


class ArtifactFile(WireModel):
    """One file: a plain name without folders, its digest and its size in bytes."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    role: FileRole
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


class Tensor(WireModel):
    """A model's input or output in Open Inference Protocol v2 terms; -1 is a dynamic dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Source(WireModel):
    """The bytes that went in."""

    uri: str
    digest: str
    size_bytes: int
    model_format: str


class Dataset(WireModel):
    """The data that judged: ``calibration_rows`` never did."""

    uri: str
    digest: str
    rows: int
    calibration_rows: int


class Hardware(WireModel):
    """The machine that measured. A quantised pick is tied to its CPU flags."""

    architecture: str
    cpu_model: str
    cpu_flags: tuple[str, ...]
    threads: int

    @property
    def node_class(self) -> str:
        """See ``words.node_class``."""
        return node_class(self.architecture, self.cpu_flags)


class CandidateReport(WireModel):
    """One variant with what was measured; ``None`` is *not measured*, never zero."""

    name: str
    recipe: str
    verdict: Verdict
    reason: str
    size_bytes: int | None = None
    score: float | None = None  # the task's metric on rows that calibration never saw
    score_delta: float | None = None  # score minus the baseline's, paired
    sqnr_db: float | None = None  # outputs against the baseline's
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_ratio: float | None = None  # paired with the baseline; below 1 is faster
    latency_ratio_upper: float | None = None  # its upper 95 % bound


class GateResult(WireModel):
    """One gate, with the value it saw and the bound it was held to."""

    name: str
    metric: str
    value: float | None
    bound: str
    verdict: Verdict
    message: str


class ValidationReport(WireModel):
    """The judgement on the picked variant."""

    verdict: Verdict
    reason: str  # CamelCase: GatesPassed, NumericOnly, AccuracyGateFailed, ...
    message: str
    task: str
    metric: str | None
    gates: tuple[GateResult, ...] = ()
    candidates: tuple[CandidateReport, ...] = ()


class Stage(WireModel):
    """A part of the model in a file of its own; run in order, they answer as the whole does.

    Attributes:
        share: of the whole model's measured time.
    """

    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    share: float


class ArtifactManifest(WireModel):
    """Source -> toolchain -> options -> files: everything that made the artifact, by digest."""

    schema_version: Literal[1] = 1
    input_key: str = Field(pattern=r"^[0-9a-f]{64}$")
    variant: str
    source: Source
    dataset: Dataset | None
    toolchain: dict[str, str]
    hardware: Hardware
    options: dict[str, object]
    opset: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    requires_any_cpu_flag: tuple[str, ...] = ()  # of the CPU that serves; empty: any CPU may
    execution_provider: ExecutionProvider = ExecutionProvider.CPU  # that measured, and serves
    files: tuple[ArtifactFile, ...]
    stages: tuple[Stage, ...] = ()
    validation: ValidationReport
    created_at: str

    def file(self, role: FileRole) -> ArtifactFile:
        """The one file with that role.

        Raises:
            Invalid: when there is none.
        """
        for file in self.files:
            if file.role is role:
                return file
        raise Invalid(f"the manifest lists no {role} file")

    @property
    def size_bytes(self) -> int:
        """Bytes that serving needs: model and external data."""
        served = (FileRole.MODEL, FileRole.EXTERNAL_DATA)
        return sum(file.size_bytes for file in self.files if file.role in served)
