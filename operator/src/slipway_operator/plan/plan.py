"""``plan(observed, config)``: everything that one reconcile will do. Pure and total.

Either the memory makes a transition, and then storing it is all that happens; or it stands, and
then the children follow it. So every write is allowed by something already stored.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from slipway.api.v1alpha1.resource import Spec, parse_spec, parse_status
from slipway.api.v1alpha1.status import LONG_LIMIT, ConditionType, Phase, Status
from slipway.errors import Invalid
from slipway_operator.plan import optimize, rollout
from slipway_operator.plan.children import Action, Annotate, World, actions, result_note
from slipway_operator.plan.conditions import Fact, merge
from slipway_operator.plan.config import Config
from slipway_operator.plan.memory import Memory, Note
from slipway_operator.plan.objects import parse_time
from slipway_operator.plan.observed import Observed
from slipway_operator.plan.report import report
from slipway_operator.plan.revision import Revision, read_revision, snapshot, target_name
from slipway_operator.plan.rollout import Facts


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order: notes, actions, status. A transition has no actions.

    Attributes:
        status: the whole new status, camelCase, without absent fields.
        watch_since: since when requests of each serving revision are to be counted; ``None``
            means nobody needs them.
        requeue_at: when to look again without any event.
    """

    status: dict[str, Any]
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    watch_since: datetime | None = None
    requeue_at: datetime | None = None


def plan(observed: Observed, config: Config) -> Plan:
    """Decide. Same input, same plan."""
    before = parse_status(observed.resource)
    try:
        spec = parse_spec(observed.resource)
        content = snapshot(spec, namespace_uid=observed.namespace_uid, config=config)
    except Invalid as error:
        return stalled(observed, "SpecInvalid", str(error))
    memory = Memory.of(before)
    revisions = _revisions(observed)
    target = target_name(observed.name, spec)
    facts = Facts(
        observed=observed,
        spec=spec,
        target=target,
        outcome=optimize.outcome(observed, target, revisions.get(target)),
    )
    moved = rollout.advance(memory, facts)
    world = World(
        memory=moved.memory, facts=facts, revisions=revisions, content=content, config=config
    )
    reported = report(world, before)
    status = _dump(reported)
    if moved.memory != memory:
        return Plan(
            status=status,
            notes=moved.notes,
            watch_since=_watch_since(moved.memory),
            requeue_at=observed.now,
        )
    todo = actions(world)
    return Plan(
        status=status,
        actions=todo,
        notes=_notes(todo, facts, before, reported),
        watch_since=_watch_since(memory),
        requeue_at=_requeue_at(world, spec),
    )


def _revisions(observed: Observed) -> dict[str, Revision]:
    found = (read_revision(obj) for obj in observed.of_kind("ControllerRevision"))
    return {revision.name: revision for revision in found if revision is not None}


def _notes(
    todo: tuple[Action, ...], facts: Facts, before: Status, after: Status
) -> tuple[Note, ...]:
    """Events of what leaves no trace in the memory."""
    notes: list[Note] = []
    if after.phase is Phase.OPTIMIZING and before.phase is not Phase.OPTIMIZING:
        notes.append(Note("Normal", "OptimizationStarted", after.message))
    if any(isinstance(action, Annotate) for action in todo):
        match facts.outcome:
            case optimize.Done(report=found):
                notes.append(result_note(found))
            case _:
                pass
    return tuple(notes)


def _watch_since(memory: Memory) -> datetime | None:
    if memory.canary is None or memory.stable is None or memory.rollout is None:
        return None
    ready_at = memory.rollout.ready_at
    return parse_time(ready_at) if ready_at else None


def _requeue_at(world: World, spec: Spec) -> datetime | None:
    now = world.facts.now
    moments = [rollout.next_moment(world.memory, world.facts)]
    since = world.memory.stable_since
    if since is not None:
        moments.append(since + timedelta(seconds=world.config.scale_down_delay))
    ahead = [moment for moment in moments if moment is not None and moment > now]
    return min(ahead, default=None)


def stalled(observed: Observed, reason: str, message: str) -> Plan:
    """Nothing can be done until the user acts; what serves goes on serving."""
    before = parse_status(observed.resource)
    generation = int(observed.resource["metadata"].get("generation", 0))
    serving = before.stable is not None
    kept = "; what serves goes on serving" if serving else ""
    facts = [
        Fact(
            ConditionType.READY,
            "True" if serving else "False",
            "StableServes" if serving else reason,
            f"{message}{kept}",
        ),
        Fact(ConditionType.ROLLED_OUT, "False", reason, message),
        Fact(ConditionType.STALLED, "True", reason, message),
    ]
    status = before.model_copy(
        update={
            "observed_generation": generation,
            "phase": Phase.DEGRADED,
            "message": f"{message}{kept}"[:LONG_LIMIT],
            "conditions": merge(before.conditions, facts, generation=generation, now=observed.now),
        }
    )
    return Plan(status=_dump(status))


def _dump(status: Status) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)
