"""Leadership by a Lease, with a fence: who is not surely leader does not write.

Semantics of client-go's leaderelection (lease 15 s, renew deadline 10 s, retry 2 s), measured on
the monotonic clock: validity counts from the *start* of the last renewal that succeeded.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from slipway.errors import Conflict, NotFound, SlipwayError, Transient
from slipway_operator.plan.objects import Object, Ref

_log = logging.getLogger(__name__)
LEASE_SECONDS: Final = 15.0
RENEW_DEADLINE: Final = 10.0
RETRY_SECONDS: Final = 2.0


class NotLeader(Transient):
    """This process may not write now."""


class LeaseClient(Protocol):
    """The three calls that an elector makes; each is fenced by nothing."""

    async def get(self, ref: Ref) -> Object:
        """Read the Lease."""

    async def create(self, obj: Object) -> Object:
        """Create it."""

    async def replace(self, obj: Object) -> Object:
        """Write it, only onto the resource version read."""


class Elector:
    """Takes and keeps a Lease.

    Attributes:
        leading: set while this process leads.
    """

    def __init__(
        self,
        client: LeaseClient,
        ref: Ref,
        identity: str,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.leading = asyncio.Event()
        self._client = client
        self._ref = ref
        self._identity = identity
        self._clock = clock
        self._valid_until = 0.0
        self._seen: tuple[object, float] = (None, 0.0)  # last observed holder record, and when

    def gate(self) -> None:
        """The fence before every write.

        Raises:
            NotLeader: the lease is not, or may no longer be, ours.
        """
        if self._clock() >= self._valid_until:
            raise NotLeader("this process does not hold the lease: it does not write")

    async def run(self) -> None:
        """Try to lead, then renew. Returns when a lease that was held is lost."""
        while True:
            started = self._clock()
            try:
                async with asyncio.timeout(RETRY_SECONDS):
                    held = await self._try(started)
            except (SlipwayError, TimeoutError) as error:
                _log.warning("lease %s: %s", self._ref.name, error or "no answer in time")
                held = False
            if held:
                self._valid_until = started + RENEW_DEADLINE
                if not self.leading.is_set():
                    _log.info("leads as %s", self._identity)
                    self.leading.set()
            elif self.leading.is_set() and self._clock() >= self._valid_until:
                self.leading.clear()
                _log.error("lost the lease")
                return
            await asyncio.sleep(max(0.0, started + RETRY_SECONDS - self._clock()))

    async def release(self) -> None:
        """Hand over: a standby need not wait for the lease to run out."""
        if not self.leading.is_set():
            return
        self.leading.clear()
        self._valid_until = 0.0
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                lease = await self._client.get(self._ref)
                if lease["spec"].get("holderIdentity") == self._identity:
                    lease["spec"]["holderIdentity"] = ""
                    lease["spec"]["leaseDurationSeconds"] = 1
                    await self._client.replace(lease)
        except (SlipwayError, TimeoutError) as error:
            _log.warning("lease %s was not released: %s", self._ref.name, error)

    async def _try(self, started: float) -> bool:
        try:
            lease = await self._client.get(self._ref)
        except NotFound:
            await self._client.create(self._lease({}, transitions=0))
            return True
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder and holder != self._identity and not self._expired(spec, started):
            return False
        transitions = int(spec.get("leaseTransitions") or 0)
        if holder != self._identity:
            transitions += 1
        try:
            await self._client.replace(self._lease(lease, transitions=transitions))
        except Conflict:
            return False
        return True

    def _expired(self, spec: Object, started: float) -> bool:
        """Whether the holder's record has not moved for its duration, by our own clock."""
        record = (spec.get("holderIdentity"), spec.get("renewTime"))
        if record != self._seen[0]:
            self._seen = (record, started)
        duration = float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)
        return started - self._seen[1] >= duration

    def _lease(self, lease: Object, *, transitions: int) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = lease.get("spec") or {}
        same = old.get("holderIdentity") == self._identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": lease.get("metadata")
            or {"name": self._ref.name, "namespace": self._ref.namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(LEASE_SECONDS),
                "acquireTime": old.get("acquireTime") if same else now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
