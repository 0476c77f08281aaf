"""A ModelDeployment as rows and lines for people. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from slipway.api.v1alpha1.resource import parse_status
from slipway.api.v1alpha1.status import CandidateStatus, RevisionStatus, Status
from slipway_operator.plan.objects import Object, parse_time

COLUMNS = ("NAME", "PHASE", "READY", "STABLE", "CANARY", "WEIGHT", "VARIANT", "REPLICAS", "AGE")
CANDIDATE_COLUMNS = ("CANDIDATE", "SIZE", "SCORE", "P50 MS", "P95 MS", "RATIO", "VERDICT", "REASON")
_ABSENT = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def plain(self) -> str:
        """Aligned with spaces, as kubectl prints."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        return "\n".join(
            "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


def table(resources: list[Object], now: datetime, *, all_namespaces: bool) -> Table:
    """One row a resource."""
    columns = (("NAMESPACE",) if all_namespaces else ()) + COLUMNS
    rows = []
    for resource in resources:
        meta, status = resource["metadata"], parse_status(resource)
        first = (meta["namespace"],) if all_namespaces else ()
        rows.append((*first, meta["name"], *_cells(status), age(meta["creationTimestamp"], now)))
    return Table(columns, tuple(rows))


def _cells(status: Status) -> tuple[str, ...]:
    ready = next((c.status for c in status.conditions if c.type == "Ready"), "Unknown")
    stable, canary = status.stable, status.canary
    weight = status.rollout.weight if status.rollout else None
    actual = _ABSENT if weight is None or weight.actual is None else f"{weight.actual}%"
    return (
        str(status.phase),
        ready,
        stable.revision if stable else _ABSENT,
        canary.revision if canary else _ABSENT,
        f"{actual} of {weight.desired}%" if weight else _ABSENT,
        stable.artifact.variant if stable and stable.artifact else _ABSENT,
        f"{stable.ready_replicas}/{stable.replicas}" if stable else _ABSENT,
    )


def age(then: str, now: datetime) -> str:
    """``45s``, ``12m``, ``5h``, ``3d``."""
    seconds = max(0, int((now - parse_time(then)).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def size(count: int | None) -> str:
    """``3.2 MB``."""
    if count is None:
        return _ABSENT
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def candidates(measured: tuple[CandidateStatus, ...], picked: str | None) -> Table:
    """What was built and measured; the pick is marked."""
    rows = tuple(
        (
            f"* {one.name}" if one.name == picked else f"  {one.name}",
            size(one.size_bytes),
            one.score or _ABSENT,
            one.latency_p50_ms or _ABSENT,
            one.latency_p95_ms or _ABSENT,
            f"{one.latency_ratio}x" if one.latency_ratio else _ABSENT,
            str(one.verdict),
            one.reason,
        )
        for one in measured
    )
    return Table(CANDIDATE_COLUMNS, rows)


def _told_at(event: Object) -> tuple[str, int]:
    """When it was told; of one second, the later write is the later event."""
    version = str(event["metadata"].get("resourceVersion") or "")
    return event.get("lastTimestamp") or "", int(version) if version.isdigit() else 0


def describe(resource: Object, events: list[Object], now: datetime) -> Iterator[str]:
    """The story of one resource, with its numbers."""
    meta, status = resource["metadata"], parse_status(resource)
    yield f"{meta['namespace']}/{meta['name']}: {status.phase}"
    yield f"  {status.message or 'the operator has not looked at it yet'}"
    yield f"  url: {status.url or _ABSENT}"
    for role, revision in (("stable", status.stable), ("canary", status.canary)):
        if revision is not None:
            yield from _revision(role, revision)
    if status.rollout is not None:
        weight = status.rollout.weight
        measured = "not measured yet" if weight.actual is None else f"{weight.actual} % measured"
        step = status.rollout.current_step_index + 1
        yield f"rollout: step {step}, {weight.desired} % asked, {measured}"
        for entry in status.rollout.analysis:
            value = entry.value or "unknown"
            line = f"  {entry.name}: {value} ({entry.threshold}) {entry.verdict} {entry.message}"
            yield line.rstrip()
    for rejected in status.rejected_revisions:
        yield f"refused: {rejected.revision} {rejected.reason} at {rejected.time}"
        yield f"  {rejected.message}"
    if status.conditions:
        yield "conditions:"
    for condition in status.conditions:
        yield f"  {condition.type}={condition.status} {condition.reason}: {condition.message}"
    if status.phases:
        yield "phases: " + ", ".join(
            f"{p.phase} {p.seconds} s" if p.seconds is not None else f"{p.phase} now"
            for p in status.phases
        )
    yield from _events(events, now)


def _revision(role: str, revision: RevisionStatus) -> Iterator[str]:
    yield f"{role}: {revision.revision}, {revision.ready_replicas}/{revision.replicas} pods ready"
    if revision.artifact is not None:
        artifact = revision.artifact
        yield f"  variant {artifact.variant}, {size(artifact.size_bytes)}, {artifact.digest}"
        yield f"  from source {revision.source_digest}"
    if revision.validation is not None:
        validation = revision.validation
        yield f"  validation {validation.verdict} ({validation.reason}): {validation.message}"
        picked = revision.artifact.variant if revision.artifact else None
        for line in candidates(validation.candidates, picked).plain().splitlines():
            yield f"    {line}"
        if validation.report_uri:
            yield f"  report: {validation.report_uri}"


def _events(events: list[Object], now: datetime) -> Iterator[str]:
    if not events:
        return
    yield "events:"
    for event in sorted(events, key=_told_at):
        when = age(event["lastTimestamp"], now) if event.get("lastTimestamp") else _ABSENT
        yield f"  {when} ago {event['type']} {event['reason']}: {event['message']}"


def progress_line(status: Status) -> str:
    """One line for a log: phase and why."""
    return f"{status.phase}: {status.message}"
