"""What status remembers because nobody could observe it again: pointers, step, refusals. Pure.

A transition changes the memory and nothing else; it is stored before any child follows it. So a
crash at any line loses at most a decision that will be made again.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from slipway.api.v1alpha1.status import (
    SHORT_LIMIT,
    HandledStatus,
    RejectedRevision,
    RetryStatus,
    RevisionStatus,
    RolloutStatus,
    Status,
    WeightStatus,
)
from slipway_operator.plan.objects import format_time, parse_time

_KEPT_REJECTIONS = 16
_MESSAGE_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth an Event."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Memory:
    """The remembered part of status.

    Attributes:
        stable, canary: names of revisions.
        stable_since: when stable was promoted.
    """

    stable: str | None = None
    stable_since: datetime | None = None
    canary: str | None = None
    rollout: RolloutStatus | None = None
    rejected: tuple[RejectedRevision, ...] = ()
    retry: RetryStatus | None = None
    handled: HandledStatus = field(default_factory=HandledStatus)

    @classmethod
    def of(cls, status: Status) -> "Memory":
        """Read it back."""
        stable, canary = status.stable, status.canary
        return cls(
            stable=stable.revision if stable else None,
            stable_since=parse_time(stable.since) if stable and stable.since else None,
            canary=canary.revision if canary else None,
            rollout=status.rollout,
            rejected=status.rejected_revisions,
            retry=status.retry,
            handled=status.handled or HandledStatus(),
        )

    def rejection(self, revision: str) -> RejectedRevision | None:
        """Why that revision is not tried, if so."""
        return next((entry for entry in self.rejected if entry.revision == revision), None)

    def start(self, revision: str, now: datetime, *, weight: int) -> "Memory":
        """Begin a rollout."""
        return replace(
            self,
            canary=revision,
            retry=None,
            rollout=RolloutStatus(
                step_started_at=format_time(now), weight=WeightStatus(desired=weight)
            ),
        )

    def step(self, index: int, now: datetime, *, weight: int) -> "Memory":
        """Go to a step; what was judged last stays visible."""
        assert self.rollout is not None
        return replace(
            self,
            rollout=RolloutStatus(
                current_step_index=index,
                step_started_at=format_time(now),
                weight=WeightStatus(desired=weight),
                analysis=self.rollout.analysis,
            ),
        )

    def promote(self, now: datetime) -> "Memory":
        """The canary becomes stable."""
        return replace(self, stable=self.canary, stable_since=now, canary=None, rollout=None)

    def drop_canary(self) -> "Memory":
        """End the rollout without a verdict on the revision."""
        return replace(self, canary=None, rollout=None)

    def reject(self, revision: str, reason: str, message: str, now: datetime) -> "Memory":
        """Remember not to try this revision again; ends its rollout if it has one."""
        entry = RejectedRevision(
            revision=revision,
            reason=reason[:SHORT_LIMIT],
            message=message[:_MESSAGE_LIMIT],
            time=format_time(now),
        )
        others = tuple(e for e in self.rejected if e.revision != revision)
        base = self.drop_canary() if self.canary == revision else self
        return replace(base, retry=None, rejected=(*others, entry)[-_KEPT_REJECTIONS:])

    def forgive(self, revision: str) -> "Memory":
        """Try it again."""
        return replace(
            self,
            retry=None,
            rejected=tuple(entry for entry in self.rejected if entry.revision != revision),
        )

    def into(self, status: Status) -> Status:
        """Write it into a status; derived parts of revisions are kept where they fit."""
        return status.model_copy(
            update={
                "stable": _pointer(status, self.stable, self.stable_since),
                "canary": _pointer(status, self.canary, None),
                "rollout": self.rollout,
                "rejected_revisions": self.rejected,
                "retry": self.retry,
                "handled": self.handled if self.handled != HandledStatus() else None,
            }
        )


def _pointer(status: Status, name: str | None, since: datetime | None) -> RevisionStatus | None:
    if name is None:
        return None
    for known in (status.stable, status.canary):
        if known is not None and known.revision == name:
            return known.model_copy(update={"since": format_time(since) if since else known.since})
    return RevisionStatus(revision=name, since=format_time(since) if since else None)
