"""Which children the memory asks for: what to create, apply, scale and delete. Pure.

Everything here follows from the *stored* memory; nothing here changes it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from slipway.artifacts.manifest import Verdict
from slipway.contract import Annotation, Component, Label
from slipway.tasks import JobReport, format_report
from slipway_operator.plan import acts, optimize, rollout
from slipway_operator.plan.analysis import needs_replay
from slipway_operator.plan.config import Config
from slipway_operator.plan.memory import Memory, Note
from slipway_operator.plan.names import job_name, replay_name
from slipway_operator.plan.objects import Object, Ref, labels, parse_time, ref_of
from slipway_operator.plan.podstate import is_ready
from slipway_operator.plan.render.deployment import deployment
from slipway_operator.plan.render.job import optimization_job, replay_job
from slipway_operator.plan.render.revision import controller_revision
from slipway_operator.plan.render.scaler import autoscaler, disruption_budget
from slipway_operator.plan.render.service import address_of, service
from slipway_operator.plan.replay import replay_is_lost
from slipway_operator.plan.revision import Revision, Snapshot
from slipway_operator.plan.rollout import Facts
from slipway_operator.plan.scaling import desired_stable


@dataclass(frozen=True, slots=True)
class Scale:
    """Set a Deployment's replicas, which no scaler owns now."""

    ref: Ref
    replicas: int


@dataclass(frozen=True, slots=True)
class Annotate:
    """Set one annotation; ``None`` takes it away."""

    ref: Ref
    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete this very object."""

    ref: Ref
    uid: str


@dataclass(frozen=True, slots=True)
class Create:
    """Create it unless it exists; never changed afterwards."""

    object: Object


@dataclass(frozen=True, slots=True)
class Apply:
    """Bring it to this."""

    object: Object


Action = Create | Apply | Annotate | Scale | Delete


@dataclass(frozen=True, slots=True)
class World:
    """All that children are made from.

    Attributes:
        revisions: the stored ones, by name.
        content: of the target revision, for when it is not stored yet.
    """

    memory: Memory
    facts: Facts
    revisions: dict[str, Revision]
    content: Snapshot
    config: Config

    @property
    def resource(self) -> Object:
        """The ModelDeployment."""
        return self.facts.observed.resource

    @property
    def name(self) -> str:
        """Its name."""
        return self.facts.observed.name


def actions(world: World) -> tuple[Action, ...]:
    """In the order in which they are carried out: what makes traffic fail comes last."""
    return (
        *_target(world),
        *_servers(world),
        *_traffic(world),
        *_scaler(world),
        *_replay(world),
        *_retired(world),
    )


def _target(world: World) -> Iterator[Action]:
    target, facts, memory = world.facts.target, world.facts, world.memory
    revision = world.revisions.get(target)
    if revision is None:
        number = max((known.number for known in world.revisions.values()), default=0) + 1
        yield Create(controller_revision(world.resource, target, number, world.content))
    if acts.asked(world.resource, memory, "retry", target):
        yield from _forget_outcome(world, revision)
        return
    if target in (memory.stable, memory.canary) or memory.rejection(target):
        return
    match facts.outcome:
        case optimize.Waiting(job_missing=True):
            if memory.retry is None or facts.now >= parse_time(memory.retry.not_before):
                yield Create(
                    optimization_job(
                        world.resource,
                        target,
                        revision.content if revision else world.content,
                        job=facts.spec.job,
                        attempt=acts.attempt(memory, target),
                        config=world.config,
                        stable=world.revisions.get(memory.stable or ""),
                    )
                )
        case optimize.Done(report=report, stored=False):
            if revision is not None:
                yield Annotate(ref_of(revision.object), Annotation.RESULT, format_report(report))
        case optimize.Failed(job_uid=uid):
            retry = memory.retry
            if retry and retry.job_uid == uid and facts.now >= parse_time(retry.not_before):
                yield Delete(Ref("Job", facts.observed.namespace, job_name(target)), uid)
        case _:
            pass


def _forget_outcome(world: World, revision: Revision | None) -> Iterator[Action]:
    """Before a retry: an outcome that was not a pass, and the Job that had it."""
    observed = world.facts.observed
    found = revision.report if revision else None
    if revision is not None and found is not None and found.verdict is not Verdict.PASSED:
        yield Annotate(ref_of(revision.object), Annotation.RESULT, None)
    job = observed.child("Job", job_name(world.facts.target))
    if job is not None and (found is None or found.verdict is not Verdict.PASSED):
        yield Delete(_job_ref(job), job["metadata"]["uid"])


def _job_ref(job: Object) -> Ref:
    return Ref("Job", job["metadata"]["namespace"], job["metadata"]["name"])


def _servers(world: World) -> Iterator[Action]:
    observed = world.facts.observed
    for name in _serving(world.memory):
        revision = world.revisions.get(name)
        if revision is None or revision.report is None or revision.report.artifact is None:
            continue
        yield Apply(deployment(world.resource, revision, revision.report.artifact, world.config))
        yield Apply(service(world.resource, name=name, revision=name, config=world.config))
        replicas = _replicas(world, name)
        current = observed.child("Deployment", name)
        if replicas is not None and (
            current is None or current["spec"].get("replicas") != replicas
        ):
            yield Scale(Ref("Deployment", observed.namespace, name), replicas)


def _serving(memory: Memory) -> list[str]:
    return [name for name in (memory.stable, memory.canary) if name is not None]


def _replicas(world: World, name: str) -> int | None:
    """Pods of a serving revision; ``None`` where a scaler owns the number."""
    facts, memory = world.facts, world.memory
    if name == memory.canary:
        return rollout.wanted_canary_replicas(memory, facts.spec, facts.observed)
    current = facts.observed.child("Deployment", name)
    if facts.spec.autoscaling is None:
        return facts.spec.replicas
    if current is None or not current["spec"].get("replicas", 1):
        return desired_stable(facts.spec, None)  # a scaler does not wake a Deployment from zero
    return None


def _traffic(world: World) -> Iterator[Action]:
    yield Apply(
        service(
            world.resource,
            name=world.name,
            revision=_selected(world),
            config=world.config,
        )
    )
    yield Apply(disruption_budget(world.resource))


def _selected(world: World) -> str | None:
    """The revision that users' requests go to; ``None`` = all ready pods, during a canary."""
    memory, observed = world.memory, world.facts.observed
    if memory.stable is None:
        return memory.canary or world.facts.target
    if memory.canary is None or memory.rollout is None:
        return memory.stable
    for pod in observed.of_kind("Pod"):
        # Before widening, no third revision may have ready pods: it would get requests too.
        stray = _revision_of(pod) not in (memory.stable, memory.canary)
        if stray and _is_server(pod) and is_ready(pod):
            return memory.stable
    return None


def _revision_of(pod: Object) -> str | None:
    return labels(pod).get(Label.REVISION)


def _is_server(pod: Object) -> bool:
    return labels(pod).get(Label.APP_COMPONENT) == Component.PREDICTOR


def _scaler(world: World) -> Iterator[Action]:
    wanted = world.facts.spec.autoscaling
    stable = world.memory.stable
    for scaler in world.facts.observed.of_kind("HorizontalPodAutoscaler"):
        if wanted is None or scaler["metadata"]["name"] != stable:
            yield Delete(
                Ref(
                    "HorizontalPodAutoscaler",
                    scaler["metadata"]["namespace"],
                    scaler["metadata"]["name"],
                ),
                scaler["metadata"]["uid"],
            )
    if wanted is not None and stable is not None:
        yield Apply(autoscaler(world.resource, stable, wanted))


def _replay(world: World) -> Iterator[Action]:
    memory, observed = world.memory, world.facts.observed
    canary, stable = memory.canary, memory.stable
    for job in observed.of_kind("Job"):
        name = job["metadata"]["name"]
        old = name.endswith("-replay") and name != (replay_name(canary) if canary else "")
        if old or (canary and name == replay_name(canary) and replay_is_lost(observed, canary)):
            yield Delete(_job_ref(job), job["metadata"]["uid"])
    if canary is None or stable is None or memory.rollout is None:
        return
    revision = world.revisions.get(canary)
    if revision is None or revision.report is None or revision.report.artifact is None:
        return
    if not needs_replay(world.facts.spec.rollout.canary.analysis):
        return
    if memory.rollout.ready_at is None or observed.child("Job", replay_name(canary)):
        return
    urls = tuple(
        address_of(found, world.config) if (found := observed.child("Service", name)) else ""
        for name in (stable, canary)
    )
    if all(urls):
        yield Create(
            replay_job(
                world.resource,
                revision,
                revision.report.artifact,
                urls=(urls[0], urls[1]),
                config=world.config,
            )
        )


def _retired(world: World) -> Iterator[Action]:
    """Scale down what no longer serves, and forget revisions beyond the history limit."""
    memory, observed, facts = world.memory, world.facts.observed, world.facts
    serving = set(_serving(memory))
    for old in observed.of_kind("Deployment"):
        name = old["metadata"]["name"]
        if name not in serving and old["spec"].get("replicas", 1) and not _lingers(world):
            yield Scale(Ref("Deployment", observed.namespace, name), 0)
    used = serving | {facts.target}
    idle = sorted(
        (rev for rev in world.revisions.values() if rev.name not in used),
        key=lambda rev: rev.number,
    )
    for revision in idle[: max(0, len(idle) - facts.spec.revision_history_limit)]:
        yield from _forget(world, revision)


def _lingers(world: World) -> bool:
    """Whether old pods still get the requests of nodes that have not heard of the promotion."""
    since = world.memory.stable_since
    delay = timedelta(seconds=world.config.scale_down_delay)
    return since is not None and world.facts.now < since + delay


def _forget(world: World, revision: Revision) -> Iterable[Action]:
    observed = world.facts.observed
    names = {
        "Deployment": revision.name,
        "Service": revision.name,
        "Job": job_name(revision.name),
        "ControllerRevision": revision.name,
    }
    for kind, name in names.items():
        found = observed.child(kind, name)
        if found is not None:
            yield Delete(Ref(kind, observed.namespace, name), found["metadata"]["uid"])


def result_note(report: JobReport) -> Note:
    """How an optimization ended, for an Event."""
    if report.cache_hit:
        return Note("Normal", "OptimizationCacheHit", report.message)
    return Note("Normal", "OptimizationFinished", report.message)
