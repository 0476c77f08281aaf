"""Status as a function of what is remembered and observed. Pure."""

from dataclasses import dataclass

from slipway.api.quantity import format_number
from slipway.api.v1alpha1.status import (
    LONG_LIMIT,
    MOST_CANDIDATES,
    SHORT_LIMIT,
    ArtifactStatus,
    CandidateStatus,
    ConditionType,
    Phase,
    PhaseTime,
    RevisionStatus,
    Status,
    ValidationStatus,
)
from slipway.artifacts.manifest import Verdict
from slipway.contract import Component, Step
from slipway.tasks import JobReport
from slipway_operator.plan import optimize, rollout
from slipway_operator.plan.analysis import summary
from slipway_operator.plan.children import World
from slipway_operator.plan.conditions import Fact, merge
from slipway_operator.plan.names import selector_text
from slipway_operator.plan.objects import format_time, parse_time
from slipway_operator.plan.podstate import trouble_of
from slipway_operator.plan.render.service import url_of
from slipway_operator.plan.revision import Revision
from slipway_operator.plan.scaling import desired_stable

_KEPT_PHASES = 12


@dataclass(frozen=True, slots=True)
class Summary:
    """The phase and why."""

    phase: Phase
    message: str
    stalled: str | None = None  # the reason, when only the user can go on


def report(world: World, before: Status) -> Status:
    """The status that should be stored: the memory, and everything derived."""
    memory, observed = world.memory, world.facts.observed
    generation = int(observed.resource["metadata"].get("generation", 0))
    status = memory.into(before)
    stable = _revision_status(world, status.stable)
    canary = _revision_status(world, status.canary)
    status = status.model_copy(update={"stable": stable, "canary": canary})
    told = _summary(world, status)
    main = observed.child("Service", world.name)
    return status.model_copy(
        update={
            "observed_generation": generation,
            "phase": told.phase,
            "message": told.message[:LONG_LIMIT],
            "target_revision": world.facts.target,
            "phases": _phases(world, before, told.phase),
            "replicas": stable.replicas if stable else 0,
            "selector": selector_text(world.name, memory.stable or world.facts.target),
            "url": url_of(observed.resource, main, world.config),
            "conditions": merge(
                before.conditions,
                _facts(world, status, told),
                generation=generation,
                now=world.facts.now,
            ),
        }
    )


def _revision_status(world: World, known: RevisionStatus | None) -> RevisionStatus | None:
    if known is None:
        return None
    observed = world.facts.observed
    deployment = observed.child("Deployment", known.revision) or {}
    pods = RevisionStatus(
        revision=known.revision,
        since=known.since,
        replicas=int((deployment.get("status") or {}).get("replicas") or 0),
        ready_replicas=rollout.ready_pods(observed, known.revision),
    )
    return _with_artifact(pods, world.revisions.get(known.revision))


def _with_artifact(status: RevisionStatus, revision: Revision | None) -> RevisionStatus:
    found = revision.report if revision else None
    if found is None or found.artifact is None:
        return status
    artifact = found.artifact
    return status.model_copy(
        update={
            "source_digest": artifact.source_digest,
            "node_class": found.node_class or None,
            "artifact": ArtifactStatus(
                variant=artifact.variant,
                digest=artifact.model_digest,
                size_bytes=artifact.size_bytes,
                uri=artifact.manifest_uri,
                manifest_digest=artifact.manifest_digest,
            ),
            "validation": _validation(found),
        }
    )


def _validation(found: JobReport) -> ValidationStatus:
    def number(value: float | None) -> str | None:
        return None if value is None else format_number(value)

    return ValidationStatus(
        verdict=found.verdict,
        reason=found.reason[:SHORT_LIMIT],
        message=found.message[:LONG_LIMIT],
        cache_hit=found.cache_hit,
        report_uri=found.report_uri,
        candidates=tuple(
            CandidateStatus(
                name=candidate.name[:SHORT_LIMIT],
                verdict=candidate.verdict,
                reason=candidate.reason[:LONG_LIMIT],
                size_bytes=candidate.size_bytes,
                score=number(candidate.score),
                latency_p50_ms=number(candidate.latency_p50_ms),
                latency_p95_ms=number(candidate.latency_p95_ms),
                latency_ratio=number(candidate.latency_ratio),
            )
            for candidate in found.candidates[:MOST_CANDIDATES]
        ),
    )


def _summary(world: World, status: Status) -> Summary:
    memory, target = world.memory, world.facts.target
    if memory.canary is not None:
        return _rolling(world, status)
    rejection = memory.rejection(target)
    if memory.stable == target:
        return _serving(world, status)
    if rejection is not None:
        kept = f"; {memory.stable} serves" if memory.stable else ""
        text = (
            f"{target} was refused ({rejection.reason}): {rejection.message}{kept}. Not tried "
            f"again until the spec changes or `slipway retry {world.name}`"
        )
        return Summary(Phase.DEGRADED, text, stalled=rejection.reason)
    return _optimizing(world)


def _serving(world: World, status: Status) -> Summary:
    stable = status.stable
    assert stable is not None
    wanted = _wanted_stable(world)
    pods = f"{stable.ready_replicas} of {wanted} pods ready"
    variant = f", variant {stable.artifact.variant}" if stable.artifact else ""
    if stable.ready_replicas >= wanted:
        return Summary(Phase.HEALTHY, f"{stable.revision} serves{variant}: {pods}")
    observed = world.facts.observed
    trouble = trouble_of(observed.pods_of_revision(stable.revision, Component.PREDICTOR))
    why = f": {trouble.message}" if trouble else ""
    if stable.ready_replicas == 0:
        return Summary(Phase.DEGRADED, f"{stable.revision} does not serve: {pods}{why}")
    phase = Phase.DEGRADED if trouble else Phase.PROGRESSING
    return Summary(phase, f"{stable.revision} serves{variant}: {pods}{why}")


def _wanted_stable(world: World) -> int:
    observed, memory = world.facts.observed, world.memory
    deployment = observed.child("Deployment", memory.stable or "")
    return desired_stable(world.facts.spec, deployment)


def _rolling(world: World, status: Status) -> Summary:
    memory, facts = world.memory, world.facts
    assert memory.rollout is not None
    assert memory.canary is not None
    wanted = rollout.wanted_canary_replicas(memory, facts.spec, facts.observed)
    ready = status.canary.ready_replicas if status.canary else 0
    pods = f"{ready} of {wanted} pods ready"
    trouble = trouble_of(facts.observed.pods_of_revision(memory.canary, Component.PREDICTOR))
    why = f": {trouble.message}" if trouble and ready < wanted else ""
    if memory.stable is None:
        return Summary(Phase.PROGRESSING, f"{memory.canary} starts: {pods}{why}")
    steps = rollout.steps_of(facts.spec)
    index = rollout.current_index(memory, facts.spec)
    weight = memory.rollout.weight.desired
    if weight >= 100:
        return Summary(Phase.PROGRESSING, f"{memory.canary} takes all requests: {pods}{why}")
    numbers = summary(facts.observed.windows, memory.canary, memory.stable)
    judged = ", ".join(f"{a.name} {a.value or a.verdict}" for a in memory.rollout.analysis)
    text = f"canary {weight}% (step {index + 1}/{len(steps)}): {pods}{why}; " + (
        f"last judged: {judged}" if judged else numbers
    )
    pause = steps[index].pause
    if pause is not None and pause.duration is None:
        return Summary(Phase.PAUSED, f"{text}; waits for `slipway promote {world.name}`")
    return Summary(Phase.PROGRESSING, text)


def _optimizing(world: World) -> Summary:
    target, memory = world.facts.target, world.memory
    kept = f"; {memory.stable} serves meanwhile" if memory.stable else ""
    starting = isinstance(world.facts.outcome, optimize.Failed | optimize.Waiting)
    if starting and memory.retry is not None and memory.retry.revision == target:
        retry = memory.retry
        text = f"{retry.message}; tried {retry.attempts} times, next at {retry.not_before}{kept}"
        return Summary(Phase.PENDING, text)
    match world.facts.outcome:
        case optimize.Running(step=step):
            late = step in (Step.VALIDATE, Step.PUBLISH)
            phase = Phase.VALIDATING if late else Phase.OPTIMIZING
            return Summary(phase, f"{target}: step {step} runs{kept}")
        case optimize.Waiting(message=message):
            return Summary(Phase.PENDING, f"{target} {message}{kept}")
        case optimize.Failed(message=message):
            return Summary(Phase.PENDING, f"{target}: {message}{kept}")
        case optimize.Done():
            return Summary(Phase.VALIDATING, f"{target}: optimization is done{kept}")


def _facts(world: World, status: Status, told: Summary) -> list[Fact]:
    facts = [
        _ready(world, status),
        *_optimized(world),
        _rolled_out(world, told),
    ]
    if told.stalled is not None:
        facts.append(Fact(ConditionType.STALLED, "True", told.stalled, told.message))
    elif told.phase is not Phase.HEALTHY:
        facts.append(Fact(ConditionType.RECONCILING, "True", str(told.phase), told.message))
    return facts


def _ready(world: World, status: Status) -> Fact:
    stable = status.stable
    if stable is None:
        return Fact(ConditionType.READY, "False", "NothingServes", "no revision serves yet")
    wanted = _wanted_stable(world)
    message = f"{stable.revision}: {stable.ready_replicas} of {wanted} pods ready"
    if stable.ready_replicas or wanted == 0:
        return Fact(ConditionType.READY, "True", "StableServes", message)
    observed = world.facts.observed
    trouble = trouble_of(observed.pods_of_revision(stable.revision, Component.PREDICTOR))
    return Fact(
        ConditionType.READY,
        "False",
        trouble.reason if trouble else "NoReadyPods",
        f"{message}: {trouble.message}" if trouble else message,
    )


def _optimized(world: World) -> tuple[Fact, Fact]:
    retry = world.memory.retry
    rejection = world.memory.rejection(world.facts.target)
    match world.facts.outcome:
        case optimize.Done(report=found):
            variant = found.artifact.variant if found.artifact else "none"
            reason = "CacheHit" if found.cache_hit else "VariantSelected"
            passed = found.verdict is Verdict.PASSED
            return (
                Fact(ConditionType.OPTIMIZED, "True", reason, f"variant {variant}"),
                Fact(
                    ConditionType.VALIDATED,
                    "True" if passed else "False",
                    found.reason,
                    found.message,
                ),
            )
        case optimize.Failed(reason=reason, message=message):
            pass
        case optimize.Waiting(reason=reason, message=message):
            if retry is not None:
                reason, message = retry.reason, retry.message
            elif rejection is not None:
                reason, message = rejection.reason, rejection.message
        case optimize.Running(step=step):
            text = f"step {step} runs"
            return (
                Fact(ConditionType.OPTIMIZED, "Unknown", "Running", text),
                Fact(ConditionType.VALIDATED, "Unknown", "Running", text),
            )
    failed = retry is not None or rejection is not None
    return (
        Fact(ConditionType.OPTIMIZED, "False" if failed else "Unknown", reason, message),
        Fact(ConditionType.VALIDATED, "Unknown", reason, message),
    )


def _rolled_out(world: World, told: Summary) -> Fact:
    memory, target = world.memory, world.facts.target
    if memory.stable == target and memory.canary is None:
        return Fact(ConditionType.ROLLED_OUT, "True", "Promoted", f"{target} is stable")
    rejection = memory.rejection(target)
    reason = rejection.reason if rejection else "InProgress"
    return Fact(ConditionType.ROLLED_OUT, "False", reason, told.message)


def _phases(world: World, before: Status, phase: Phase) -> tuple[PhaseTime, ...]:
    """How long each phase of the newest generation took."""
    now = world.facts.now
    fresh = before.observed_generation != int(
        world.facts.observed.resource["metadata"].get("generation", 0)
    )
    known = () if fresh else before.phases
    if known and known[-1].phase is phase:
        return known
    closed = tuple(
        entry.model_copy(
            update={"seconds": round((now - parse_time(entry.started_at)).total_seconds())}
        )
        if entry.seconds is None
        else entry
        for entry in known
    )
    return (*closed, PhaseTime(phase=phase, started_at=format_time(now)))[-_KEPT_PHASES:]
