"""``status``: what was observed, what was decided, and why. Numbers travel as strings."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from slipway.api.v1alpha1.base import ApiModel
from slipway.artifacts.manifest import Verdict

SHORT_LIMIT: Final = 256  # characters: longer texts are cut before they are stored
LONG_LIMIT: Final = 2048
MOST_CANDIDATES: Final = 32
_Short = Annotated[str, Field(max_length=SHORT_LIMIT)]
_Long = Annotated[str, Field(max_length=LONG_LIMIT)]
_Number = Annotated[str, Field(max_length=32)]
_Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, max_length=40)]


class Phase(StrEnum):
    """A summary for people; nothing is decided by it."""

    PENDING = "Pending"
    OPTIMIZING = "Optimizing"
    VALIDATING = "Validating"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    HEALTHY = "Healthy"
    DEGRADED = "Degraded"


class ConditionType(StrEnum):
    """Positive polarity only; the last two are kstatus' and present only when true."""

    READY = "Ready"  # the stable revision serves
    OPTIMIZED = "Optimized"
    VALIDATED = "Validated"
    ROLLED_OUT = "RolledOut"  # the spec's revision is the stable one
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


class Condition(ApiModel):
    """A ``metav1.Condition``."""

    type: _Short
    status: Literal["True", "False", "Unknown"]
    reason: _Short
    message: _Long
    last_transition_time: _Time
    observed_generation: int


class CandidateStatus(ApiModel):
    """One measured variant."""

    name: _Short
    verdict: Verdict
    reason: _Long
    size_bytes: int | None = None
    score: _Number | None = None
    latency_p50_ms: _Number | None = None
    latency_p95_ms: _Number | None = None
    latency_ratio: _Number | None = None


class ArtifactStatus(ApiModel):
    """What is served, by digest."""

    variant: _Short
    digest: _Short
    size_bytes: int
    uri: _Long
    manifest_digest: _Short


class ValidationStatus(ApiModel):
    """The judgement before any traffic."""

    verdict: Verdict
    reason: _Short
    message: _Long
    cache_hit: bool = False
    report_uri: _Long | None = None
    candidates: Annotated[tuple[CandidateStatus, ...], Field(max_length=MOST_CANDIDATES)] = ()


class RevisionStatus(ApiModel):
    """One revision's artifact and pods."""

    revision: _Short
    source_digest: _Short | None = None
    artifact: ArtifactStatus | None = None
    node_class: _Short | None = None
    validation: ValidationStatus | None = None
    replicas: int = 0
    ready_replicas: int = 0
    since: _Time | None = Field(default=None, description="When it got this role.")


class RejectedRevision(ApiModel):
    """A revision that is not tried again until the spec changes or a retry is asked."""

    revision: _Short
    reason: _Short
    message: _Long
    time: _Time


class AnalysisStatus(ApiModel):
    """The last judgement of one metric."""

    name: _Short
    value: _Number | None = None
    threshold: _Short
    verdict: Verdict
    samples: int = 0
    message: _Long = ""


class WeightStatus(ApiModel):
    """Percent of requests: asked for, and measured where there were requests."""

    desired: int
    actual: int | None = None


class RolloutStatus(ApiModel):
    """Where a rollout stands: what cannot be observed again after a restart."""

    current_step_index: int = 0
    step_started_at: _Time
    ready_at: _Time | None = Field(
        default=None, description="When the step's pods were all ready; it is judged from then."
    )
    judged_at: _Time | None = None
    failures: int = 0
    passes: int = 0
    weight: WeightStatus
    analysis: Annotated[tuple[AnalysisStatus, ...], Field(max_length=8)] = ()


class RetryStatus(ApiModel):
    """An optimization that failed for now and will be tried again."""

    revision: _Short
    job_uid: _Short = Field(description="The Job whose failure this is.")
    attempts: int
    not_before: _Time
    reason: _Short
    message: _Long


class HandledStatus(ApiModel):
    """The last value of each act's annotation that was carried out: an act happens once."""

    promote: _Short | None = None
    abort: _Short | None = None
    retry: _Short | None = None


class PhaseTime(ApiModel):
    """How long the newest revision took to get through a phase."""

    phase: Phase
    started_at: _Time
    seconds: int | None = Field(default=None, description="Absent while it lasts.")


class Status(ApiModel):
    """The whole."""

    observed_generation: int = 0
    phase: Phase = Phase.PENDING
    message: _Long = ""
    target_revision: _Short | None = Field(
        default=None, description="The revision that the spec asks for; the one to retry."
    )
    stable: RevisionStatus | None = None
    canary: RevisionStatus | None = None
    rollout: RolloutStatus | None = None
    rejected_revisions: Annotated[tuple[RejectedRevision, ...], Field(max_length=16)] = ()
    retry: RetryStatus | None = None
    handled: HandledStatus | None = None
    phases: Annotated[tuple[PhaseTime, ...], Field(max_length=16)] = ()
    replicas: int = Field(default=0, description="Pods of the stable revision.")
    selector: _Long = Field(default="", description="Their label selector, for scalers.")
    url: _Long = ""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    list_map_keys = {"conditions": "type"}  # noqa: RUF012 - a ClassVar of the base
