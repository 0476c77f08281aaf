import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field

import pytest

from slipway.errors import Conflict, NotFound, Transient
from slipway_operator.control.elector import Elector, NotLeader
from slipway_operator.plan.objects import Object, Ref
from tests.support import virtual_loop
from tests.support.virtual_loop import until

REF = Ref("Lease", "slipway", "slipway-operator")


@dataclass
class Leases:
    """One Lease with optimistic locking; each identity can be cut off or slowed down."""

    lease: Object | None = None
    version: int = 0
    writers: list[str] = field(default_factory=list)

    def store(self, obj: Object) -> Object:
        self.version += 1
        self.lease = deepcopy(obj)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        self.writers.append(obj["spec"]["holderIdentity"])
        return deepcopy(self.lease)


@dataclass
class Door:
    """How one process reaches the Lease."""

    leases: Leases
    down: bool = False
    hangs: bool = False

    async def _pass(self) -> None:
        if self.hangs:
            await asyncio.sleep(10_000)
        await asyncio.sleep(0.01)
        if self.down:
            raise Transient("the API server does not answer")

    async def get(self, ref: Ref) -> Object:
        await self._pass()
        if self.leases.lease is None:
            raise NotFound(f"{ref} is not there")
        return deepcopy(self.leases.lease)

    async def create(self, obj: Object) -> Object:
        await self._pass()
        if self.leases.lease is not None:
            raise Conflict("exists")
        return self.leases.store(obj)

    async def replace(self, obj: Object) -> Object:
        await self._pass()
        assert self.leases.lease is not None
        if obj["metadata"]["resourceVersion"] != self.leases.lease["metadata"]["resourceVersion"]:
            raise Conflict("changed meanwhile")
        return self.leases.store(obj)


@dataclass
class Process:
    """An elector, its door, and its task."""

    elector: Elector
    door: Door
    task: "asyncio.Task[None]"

    def may_write(self) -> bool:
        try:
            self.elector.gate()
        except NotLeader:
            return False
        return True


@asynccontextmanager
async def process(leases: Leases, identity: str) -> AsyncIterator[Process]:
    door = Door(leases)
    elector = Elector(door, REF, identity, clock=asyncio.get_running_loop().time)
    task = asyncio.create_task(elector.run())
    try:
        yield Process(elector, door, task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_before_it_leads_it_does_not_write() -> None:
    async def story() -> None:
        elector = Elector(Door(Leases()), REF, "a", clock=now)
        with pytest.raises(NotLeader, match="does not write"):
            elector.gate()

    virtual_loop.run(story)


def test_it_takes_a_free_lease_and_renews_it_every_two_seconds() -> None:
    async def story() -> Leases:
        leases = Leases()
        async with process(leases, "a") as a:
            await asyncio.wait_for(a.elector.leading.wait(), 1)
            await asyncio.sleep(59)
            assert a.may_write()
        return leases

    leases = virtual_loop.run(story)
    assert leases.lease is not None
    spec = leases.lease["spec"]
    assert 29 <= len(leases.writers) <= 31
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("a", 15)
    assert spec["leaseTransitions"] == 0
    assert spec["acquireTime"] <= spec["renewTime"]


def test_one_that_is_held_is_left_alone() -> None:
    async def story() -> None:
        leases = Leases()
        async with process(leases, "a") as a:
            await a.elector.leading.wait()
            async with process(leases, "b") as b:
                await asyncio.sleep(120)
                assert not b.elector.leading.is_set()
                assert not b.may_write()
                assert a.may_write()
        assert set(leases.writers) == {"a"}

    virtual_loop.run(story)


@pytest.mark.parametrize("trouble", ["down", "hangs"])
def test_who_cannot_renew_stops_writing_before_another_begins(trouble: str) -> None:
    async def story() -> None:
        leases = Leases()
        async with process(leases, "a") as a:
            await a.elector.leading.wait()
            async with process(leases, "b") as b:
                await asyncio.sleep(20)
                began = now()
                setattr(a.door, trouble, True)
                fenced = taken = None
                while taken is None:
                    assert not (a.may_write() and b.may_write())
                    fenced = fenced or (None if a.may_write() else now())
                    taken = now() if b.may_write() else None
                    await asyncio.sleep(0.05)
                assert fenced is not None
                assert 7.9 <= fenced - began <= 10.1
                assert taken - fenced >= 3
                assert taken - began <= 20
                await asyncio.wait_for(a.task, 5)  # who lost it ends
                assert not a.elector.leading.is_set()
        assert leases.lease is not None
        assert leases.lease["spec"]["leaseTransitions"] == 1

    virtual_loop.run(story)


def test_a_short_outage_loses_nothing() -> None:
    async def story() -> None:
        async with process(Leases(), "a") as a:
            await a.elector.leading.wait()
            a.door.down = True
            await asyncio.sleep(6)
            a.door.down = False
            await asyncio.sleep(3)
            assert a.may_write()
            assert not a.task.done()

    virtual_loop.run(story)


def test_the_fence_closes_by_the_clock_even_when_nobody_looks() -> None:
    async def story() -> None:
        async with process(Leases(), "a") as a:
            await a.elector.leading.wait()
            a.task.cancel()  # as a stalled process would
            await asyncio.sleep(10.1)
            assert a.elector.leading.is_set()
            assert not a.may_write()

    virtual_loop.run(story)


def test_a_lease_that_is_released_is_taken_at_once() -> None:
    async def story() -> None:
        leases = Leases()
        async with process(leases, "a") as a, process(leases, "b") as b:
            await until(lambda: a.may_write() or b.may_write())
            first, second = (a, b) if a.may_write() else (b, a)
            first.task.cancel()
            await first.elector.release()
            assert not first.may_write()
            began = now()
            await until(second.may_write)
            assert now() - began <= 4

    virtual_loop.run(story)


def test_a_release_that_fails_still_closes_the_fence(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with process(Leases(), "a") as a:
            await a.elector.leading.wait()
            a.task.cancel()
            a.door.hangs = True
            await asyncio.wait_for(a.elector.release(), 3)
            assert not a.may_write()

    virtual_loop.run(story)
    assert "was not released" in caplog.text


def test_somebody_else_s_lease_is_never_released() -> None:
    async def story() -> None:
        leases = Leases()
        async with process(leases, "a") as a:
            await a.elector.leading.wait()
            a.task.cancel()
            assert leases.lease is not None
            leases.lease["spec"]["holderIdentity"] = "b"
            await a.elector.release()
            assert leases.lease["spec"]["holderIdentity"] == "b"

    virtual_loop.run(story)


def test_of_many_that_race_one_wins_and_two_never_write() -> None:
    async def story() -> None:
        leases = Leases()
        async with process(leases, "a") as a, process(leases, "b") as b, process(leases, "c") as c:
            all_ = (a, b, c)
            for round_ in range(400):
                assert sum(p.may_write() for p in all_) <= 1
                all_[round_ % 3].door.down = (round_ // 40) % 2 == 1
                await asyncio.sleep(0.25)
        assert leases.writers

    virtual_loop.run(story)
