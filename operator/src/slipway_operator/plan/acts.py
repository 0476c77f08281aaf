"""What people ask for by annotation: promote, abort, retry. Each is carried out once. Pure.

The value names the revision meant, optionally followed by ``/`` and anything that makes it new
(``slipway retry`` writes a time). One that comes too late, for another revision, changes nothing.
"""

from dataclasses import replace
from typing import Literal

from slipway.contract import Annotation
from slipway_operator.plan.memory import Memory
from slipway_operator.plan.names import short_hash
from slipway_operator.plan.objects import Object, annotations

Act = Literal["promote", "abort", "retry"]
_ANNOTATION: dict[Act, Annotation] = {
    "promote": Annotation.PROMOTE,
    "abort": Annotation.ABORT,
    "retry": Annotation.RETRY,
}


def asked(resource: Object, memory: Memory, act: Act, revision: str | None) -> bool:
    """Whether this act is asked for this revision and was not carried out yet."""
    value = annotations(resource).get(_ANNOTATION[act])
    if not value or revision is None or value[:256] == getattr(memory.handled, act):
        return False
    return value.split("/", 1)[0] == revision


def attempt(memory: Memory, revision: str) -> int:
    """A number that is new after every retry of the revision, 0 before the first.

    It is part of the optimization's input key: a cached refusal is judged anew.
    """
    value = memory.handled.retry
    if value is None or value.split("/", 1)[0] != revision:
        return 0
    return int(short_hash(value)[:7], 16)


def done(resource: Object, memory: Memory, act: Act) -> Memory:
    """Remember that it was carried out."""
    value = annotations(resource)[_ANNOTATION[act]][:256]
    return replace(memory, handled=memory.handled.model_copy(update={act: value}))
