"""What the operator asks of the pods it makes, and what they report back.

A request reaches its program as the file ``PodPath.REQUEST_FILE`` (the pod's own annotation
``Annotation.REQUEST`` through a downward API volume), so that no text of a user is ever part of a
command line. A report is the container's termination message: at most 4 KiB of JSON.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from slipway.api.v1alpha1.model import ModelFormatName, ModelInput
from slipway.api.v1alpha1.optimization import Optimization
from slipway.api.v1alpha1.predictor import Concurrency, Session, Warmup
from slipway.api.v1alpha1.validation import Validation
from slipway.artifacts.manifest import ExecutionProvider, Verdict
from slipway.contract import TERMINATION_MESSAGE_LIMIT
from slipway.errors import Invalid
from slipway.wire import WireModel


class LoaderRequest(WireModel):
    """Code that makes the model, for files that hold weights only."""

    uri: str
    function: str = "load"


class SourceRequest(WireModel):
    """The model to fetch, and how to read it."""

    uri: str  # a trailing / means a folder
    model_format: ModelFormatName
    digest: str | None = None
    inputs: tuple[ModelInput, ...] = ()
    loader: LoaderRequest | None = None
    allow_pickle: bool = False


class StableRequest(WireModel):
    """What is served now, for gates that compare with it.

    Attributes:
        artifacts_uri: root of its store; ``None``: its files lie beside the manifest (a folder).
    """

    manifest_uri: str
    manifest_digest: str | None = None
    artifacts_uri: str | None = None


class OptimizationRequest(WireModel):
    """Input of the optimization Job, and of ``slipway optimize``.

    Attributes:
        stable: of the stable revision, when there is one and some gate is against it.
        artifacts_uri: root of the artifact store, namespace uid included.
        threads: CPU threads that the serving pods will have; what is measured is measured so.
        attempt: raised when a user asks to retry: part of the input key, so that a refusal that was
            cached is judged anew.
    """

    model: SourceRequest
    optimization: Optimization
    validation: Validation
    artifacts_uri: str
    threads: int = 1
    attempt: int = 0
    stable: StableRequest | None = None


class CandidateSummary(WireModel):
    """What status shows of a candidate."""

    name: str
    verdict: Verdict
    reason: str
    size_bytes: int | None = None
    score: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_ratio: float | None = None


class ArtifactReference(WireModel):
    """Which artifact, and the digest by which every later reader checks the manifest.

    Attributes:
        execution_provider: what its pods must have.
    """

    manifest_uri: str
    manifest_digest: str
    variant: str
    model_digest: str
    source_digest: str
    size_bytes: int
    execution_provider: ExecutionProvider = ExecutionProvider.CPU


class JobReport(WireModel):
    """Termination message of the last step: the whole outcome."""

    kind: Literal["JobReport"] = "JobReport"
    artifact: ArtifactReference | None = None
    cache_hit: bool
    verdict: Verdict
    reason: str
    message: str
    report_uri: str | None = None
    node_class: str = ""
    candidates: tuple[CandidateSummary, ...] = ()
    seconds: dict[str, float] = Field(default_factory=dict)  # by step


class StepFailure(WireModel):
    """Termination message of a step that ended in an error."""

    kind: Literal["StepFailure"] = "StepFailure"
    reason: str  # CamelCase
    message: str
    transient: bool


class ServingRequest(WireModel):
    """Input of a server pod.

    Attributes:
        name: the model's name in every protocol: the ModelDeployment's.
        manifest_uri: ``s3://`` or ``file://`` address of ``manifest.json``; blobs are found from
            ``artifacts_uri``.
    """

    namespace: str
    name: str
    revision: str
    artifacts_uri: str
    manifest_uri: str
    manifest_digest: str
    session: Session = Session()
    concurrency: Concurrency = Concurrency()
    warmup: Warmup = Warmup()


class ReplayRequest(WireModel):
    """Input of a replay Job: send stored feeds to both revisions and compare the answers.

    Attributes:
        stable_url, canary_url: base URLs of the revisions' own Services.
        samples: how many feeds at most, in stored order.
    """

    name: str
    artifacts_uri: str
    manifest_uri: str
    manifest_digest: str
    stable_url: str
    canary_url: str
    samples: int = 256


class ReplayReport(WireModel):
    """Termination message of a replay Job. Latencies are of whole requests, one at a time."""

    kind: Literal["ReplayReport"] = "ReplayReport"
    samples: int
    agreeing: int
    stable_errors: int
    canary_errors: int
    stable_p95_ms: float | None = None
    canary_p95_ms: float | None = None
    message: str = ""


Report = Annotated[JobReport | StepFailure | ReplayReport, Field(discriminator="kind")]


class _Envelope(WireModel):
    report: Report


def parse_report(text: str) -> JobReport | StepFailure | ReplayReport:
    """Read a termination message.

    Raises:
        Invalid: it is not one of ours (cut off, or written by something else).
    """
    try:
        return _Envelope.model_validate_json(f'{{"report":{text}}}').report
    except ValidationError as error:
        raise Invalid(f"unreadable termination message: {text[:120]!r}") from error


def format_report(report: JobReport | StepFailure | ReplayReport) -> str:
    """JSON that fits a termination message: what decides nothing is left out or cut, step by step.

    Candidates beyond four go first, then long texts, then everything that is only told. A character
    takes up to six bytes of JSON, and the artifact's addresses are never cut.
    """
    text = ""
    for slimmer in _ever_slimmer(report):
        text = slimmer.model_dump_json(exclude_none=True)
        if len(text.encode()) <= TERMINATION_MESSAGE_LIMIT:
            break
    return text


def _ever_slimmer(
    report: JobReport | StepFailure | ReplayReport,
) -> Iterator[JobReport | StepFailure | ReplayReport]:
    yield report
    if isinstance(report, JobReport):
        report = report.model_copy(update={"candidates": report.candidates[:4]})
        yield report
    yield report.model_copy(update={"message": report.message[:400]})
    cut: dict[str, object] = {"message": report.message[:200]}
    if isinstance(report, JobReport | StepFailure):
        cut["reason"] = report.reason[:64]
    if isinstance(report, JobReport):
        cut |= {"candidates": (), "seconds": {}, "node_class": report.node_class[:32]}
        yield report.model_copy(update=cut)
        cut["report_uri"] = None
    yield report.model_copy(update=cut)
