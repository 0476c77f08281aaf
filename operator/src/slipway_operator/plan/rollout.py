"""The rollout: which transition, if any, the memory makes next, and why. Pure.

Total over what can be observed; one transition a call. Order: what people asked for, a canary that
is no longer wanted, the running rollout, then a new one.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from slipway.api.quantity import parse_duration
from slipway.api.v1alpha1.resource import Spec
from slipway.api.v1alpha1.rollout import Analysis, CanaryStep
from slipway.api.v1alpha1.status import RetryStatus, RolloutStatus
from slipway.artifacts.manifest import Verdict
from slipway.contract import Component
from slipway_operator.plan import acts, optimize
from slipway_operator.plan.analysis import Judgement, Samples, judge
from slipway_operator.plan.memory import Memory, Note
from slipway_operator.plan.objects import format_time, parse_time
from slipway_operator.plan.observed import Observed
from slipway_operator.plan.podstate import Trouble, is_ready, trouble_of
from slipway_operator.plan.replay import replay_report
from slipway_operator.plan.scaling import canary_replicas, desired_stable, measured_weight

DEFAULT_STEPS = (CanaryStep(set_weight=20), CanaryStep(set_weight=50))
_FINAL_REFUSAL_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What a transition depends on besides the memory.

    Attributes:
        target: the revision that the spec asks for.
        outcome: how far its optimization is.
    """

    observed: Observed
    spec: Spec
    target: str
    outcome: optimize.Outcome

    @property
    def now(self) -> datetime:
        """The time of the observation."""
        return self.observed.now


@dataclass(frozen=True, slots=True)
class Transition:
    """The memory after it, and what to tell."""

    memory: Memory
    notes: tuple[Note, ...] = ()


def advance(memory: Memory, facts: Facts) -> Transition:
    """The next transition; the same memory when nothing is to change now."""
    for attempt in (_retry_asked, _superseded, _aborted):
        found = attempt(memory, facts)
        if found is not None:
            return found
    if memory.canary is not None:
        return _roll(memory, facts)
    if facts.target == memory.stable or memory.rejection(facts.target):
        return Transition(memory)
    return _begin(memory, facts)


def steps_of(spec: Spec) -> tuple[CanaryStep, ...]:
    """The steps asked for, or 20 % and 50 %."""
    return spec.rollout.canary.steps or DEFAULT_STEPS


def weight_at(spec: Spec, index: int) -> int:
    """Percent that holds at a step; after the last one the canary takes all."""
    steps = steps_of(spec)
    if index >= len(steps):
        return 100
    weights = [step.set_weight for step in steps[: index + 1] if step.set_weight is not None]
    return weights[-1] if weights else 0


def current_index(memory: Memory, spec: Spec) -> int:
    """The step that a rollout is at: the last one where the spec has fewer than it had."""
    assert memory.rollout is not None
    return min(memory.rollout.current_step_index, len(steps_of(spec)) - 1)


def wanted_canary_replicas(memory: Memory, facts_spec: Spec, observed: Observed) -> int:
    """Pods that the canary should have at the step that is remembered."""
    assert memory.rollout is not None
    if memory.stable is None:
        bounds = facts_spec.autoscaling
        return bounds.min_replicas if bounds else facts_spec.replicas
    stable = desired_stable(facts_spec, observed.child("Deployment", memory.stable))
    return canary_replicas(memory.rollout.weight.desired, stable)


def ready_pods(observed: Observed, revision: str) -> int:
    """Pods of the revision that are endpoints."""
    return sum(is_ready(pod) for pod in observed.pods_of_revision(revision, Component.PREDICTOR))


def samples_of(memory: Memory, observed: Observed) -> Samples:
    """What there is to judge the canary by."""
    windows = observed.windows
    return Samples(
        canary=windows.get(memory.canary or ""),
        stable=windows.get(memory.stable or ""),
        replay=replay_report(observed, memory.canary or ""),
    )


def _retry_asked(memory: Memory, facts: Facts) -> Transition | None:
    resource = facts.observed.resource
    if not acts.asked(resource, memory, "retry", facts.target):
        return None
    if memory.rejection(facts.target) is None and memory.retry is None:
        return Transition(acts.done(resource, memory, "retry"))  # nothing failed: nothing to retry
    if not _clean(facts.outcome):
        return None  # the old outcome goes first (children._forget_outcome)
    fresh = acts.done(resource, memory.forgive(facts.target), "retry")
    return Transition(fresh, (Note("Normal", "RetryRequested", f"tries {facts.target} again"),))


def _clean(outcome: optimize.Outcome) -> bool:
    match outcome:
        case optimize.Waiting(job_missing=True):
            return True
        case optimize.Done(report=report, stored=True):
            return report.verdict is Verdict.PASSED
        case _:
            return False


def _superseded(memory: Memory, facts: Facts) -> Transition | None:
    if memory.canary is None or memory.canary == facts.target:
        return None
    text = f"rollout of {memory.canary} ends: the spec now asks for {facts.target}"
    return Transition(memory.drop_canary(), (Note("Normal", "RolloutSuperseded", text),))


def _aborted(memory: Memory, facts: Facts) -> Transition | None:
    resource = facts.observed.resource
    if not acts.asked(resource, memory, "abort", memory.canary):
        return None
    assert memory.canary is not None
    text = f"{memory.canary} was aborted by hand"
    fresh = memory.reject(memory.canary, "Aborted", text, facts.now)
    return Transition(acts.done(resource, fresh, "abort"), (Note("Normal", "Aborted", text),))


def _begin(memory: Memory, facts: Facts) -> Transition:
    target, outcome, now = facts.target, facts.outcome, facts.now
    match outcome:
        case optimize.Failed(mendable=True):
            return _retry_later(memory, facts, outcome)
        case optimize.Failed():
            return _refuse(memory, target, outcome.reason, outcome.message, now)
        case optimize.Done(report=report, stored=True):
            if report.verdict is not Verdict.PASSED or report.artifact is None:
                return _refuse(memory, target, report.reason, report.message, now)
            weight = weight_at(facts.spec, 0) if memory.stable is not None else 100
            text = f"{target} starts with variant {report.artifact.variant}: {report.message}"
            reason = "CanaryStarted" if memory.stable is not None else "DeploymentStarted"
            return Transition(
                memory.start(target, now, weight=weight), (Note("Normal", reason, text),)
            )
        case _:
            return Transition(memory)


def _retry_later(memory: Memory, facts: Facts, failed: optimize.Failed) -> Transition:
    known = memory.retry
    if known is not None and known.job_uid == failed.job_uid:
        return Transition(memory)
    attempts = known.attempts + 1 if known and known.revision == facts.target else 1
    retry = RetryStatus(
        revision=facts.target,
        job_uid=failed.job_uid,
        attempts=attempts,
        not_before=format_time(optimize.next_try(attempts, failed.at)),
        reason=failed.reason,
        message=failed.message,
    )
    text = f"{failed.message} (attempt {attempts}; next at {retry.not_before})"
    return Transition(replace(memory, retry=retry), (Note("Warning", failed.reason, text),))


def _refuse(memory: Memory, revision: str, reason: str, message: str, now: datetime) -> Transition:
    kept = f"; {memory.stable} goes on serving" if memory.stable else ""
    note = Note("Warning", reason, f"{revision} is refused: {message}{kept}")
    return Transition(memory.reject(revision, reason, message, now), (note,))


def _roll_back(memory: Memory, reason: str, message: str, now: datetime) -> Transition:
    assert memory.canary is not None
    kept = f"; {memory.stable} serves everything again" if memory.stable else ""
    note = Note("Warning", "RolledBack", f"{memory.canary}: {message}{kept}")
    return Transition(memory.reject(memory.canary, reason, message, now), (note,))


def _roll(memory: Memory, facts: Facts) -> Transition:
    assert memory.canary is not None
    assert memory.rollout is not None
    wanted = wanted_canary_replicas(memory, facts.spec, facts.observed)
    ready = ready_pods(facts.observed, memory.canary)
    # Without pods there is nobody to compare with, and nothing to lose.
    takes_all = memory.stable is None or memory.rollout.weight.desired >= 100 or wanted == 0
    if ready < wanted and (takes_all or memory.rollout.ready_at is None):
        return _not_ready(memory, facts, f"{ready} of {wanted} pods ready")
    if takes_all:
        text = f"{memory.canary} is stable: {ready} of {wanted} pods ready"
        return Transition(memory.promote(facts.now), (Note("Normal", "Promoted", text),))
    if memory.rollout.ready_at is None:
        ready_at = {"ready_at": format_time(facts.now)}
        return Transition(replace(memory, rollout=memory.rollout.model_copy(update=ready_at)))
    return _judge_step(memory, facts)


def _not_ready(memory: Memory, facts: Facts, message: str) -> Transition:
    assert memory.canary is not None
    assert memory.rollout is not None
    pods = facts.observed.pods_of_revision(memory.canary, Component.PREDICTOR)
    trouble = trouble_of(pods)
    age = facts.now - parse_time(memory.rollout.step_started_at)
    if trouble is not None and trouble.final and age > timedelta(seconds=_FINAL_REFUSAL_SECONDS):
        return _roll_back(memory, trouble.reason, trouble.message, facts.now)
    if age > timedelta(seconds=facts.spec.progress_deadline_seconds):
        why = trouble or Trouble("", "no pod tells why: see slipway logs")
        text = (
            f"{message} after {facts.spec.progress_deadline_seconds} s "
            f"(progressDeadlineSeconds): {why.message}"
        )
        return _roll_back(memory, "ProgressDeadlineExceeded", text, facts.now)
    return Transition(memory)


def _judge_step(memory: Memory, facts: Facts) -> Transition:
    assert memory.rollout is not None
    rollout, now = memory.rollout, facts.now
    analysis = facts.spec.rollout.canary.analysis
    if now < _judged_again_at(rollout, analysis):
        return _next_step(memory, facts)
    judgement = judge(analysis, samples_of(memory, facts.observed))
    judged = _record(memory, judgement, facts)
    assert judged.rollout is not None
    if judgement.verdict is Verdict.FAILED and judged.rollout.failures > analysis.failure_limit:
        return _roll_back(judged, "AnalysisFailed", judgement.message, now)
    started = parse_time(rollout.step_started_at)
    if judgement.verdict is Verdict.INCONCLUSIVE and now > started + timedelta(
        seconds=facts.spec.progress_deadline_seconds
    ):
        return _roll_back(judged, "AnalysisInconclusive", judgement.message, now)
    return Transition(judged, _judgement_note(judgement))


def _judged_again_at(rollout: RolloutStatus, analysis: Analysis) -> datetime:
    since = rollout.judged_at or rollout.ready_at or rollout.step_started_at
    return parse_time(since) + timedelta(seconds=parse_duration(analysis.interval))


def _judgement_note(judgement: Judgement) -> tuple[Note, ...]:
    if judgement.verdict is Verdict.FAILED:
        return (Note("Warning", "AnalysisFailed", judgement.message),)
    return ()


def _record(memory: Memory, judgement: Judgement, facts: Facts) -> Memory:
    assert memory.rollout is not None
    rollout = memory.rollout
    samples = samples_of(memory, facts.observed)
    actual = measured_weight(
        samples.canary.requests if samples.canary else 0,
        samples.stable.requests if samples.stable else 0,
    )
    failed = judgement.verdict is Verdict.FAILED
    return replace(
        memory,
        rollout=rollout.model_copy(
            update={
                "judged_at": format_time(facts.now),
                "failures": rollout.failures + failed,
                "passes": rollout.passes + (judgement.verdict is Verdict.PASSED),
                "analysis": judgement.metrics,
                "weight": rollout.weight.model_copy(update={"actual": actual}),
            }
        ),
    )


def _next_step(memory: Memory, facts: Facts) -> Transition:
    assert memory.rollout is not None
    rollout, resource = memory.rollout, facts.observed.resource
    steps = steps_of(facts.spec)
    index = current_index(memory, facts.spec)
    promoted = acts.asked(resource, memory, "promote", memory.canary)
    if not promoted and not _step_is_over(steps[index], memory, facts):
        return Transition(memory)
    weight = weight_at(facts.spec, index + 1)
    fresh = memory.step(index + 1, facts.now, weight=weight)
    if promoted:
        fresh = acts.done(resource, fresh, "promote")
    if weight == rollout.weight.desired:
        return Transition(fresh)
    text = f"{memory.canary}: weight {rollout.weight.desired} % -> {weight} %"
    return Transition(fresh, (Note("Normal", "WeightChanged", text),))


def _step_is_over(step: CanaryStep, memory: Memory, facts: Facts) -> bool:
    assert memory.rollout is not None
    verdicts = {entry.verdict for entry in memory.rollout.analysis}
    healthy = memory.rollout.passes > 0 and verdicts == {Verdict.PASSED}
    if step.pause is None:
        return healthy
    if step.pause.duration is None:
        return False
    started = parse_time(memory.rollout.step_started_at)
    return healthy and facts.now >= started + timedelta(seconds=parse_duration(step.pause.duration))


def next_moment(memory: Memory, facts: Facts) -> datetime | None:
    """When something may change without any event: the earliest deadline ahead."""
    moments: list[datetime] = []
    if memory.retry is not None:
        moments.append(parse_time(memory.retry.not_before))
    if memory.canary is not None and memory.rollout is not None:
        rollout = memory.rollout
        analysis = facts.spec.rollout.canary.analysis
        moments.append(_judged_again_at(rollout, analysis))
        started = parse_time(rollout.step_started_at)
        moments.append(started + timedelta(seconds=facts.spec.progress_deadline_seconds + 1))
        moments.append(started + timedelta(seconds=_FINAL_REFUSAL_SECONDS + 1))
        pause = steps_of(facts.spec)[current_index(memory, facts.spec)].pause
        if pause is not None and pause.duration is not None:
            moments.append(started + timedelta(seconds=parse_duration(pause.duration)))
    ahead = [moment for moment in moments if moment > facts.now]
    return min(ahead, default=None)
