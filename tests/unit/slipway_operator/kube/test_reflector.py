import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from slipway.errors import Transient
from slipway_operator.kube.cluster import Gone, Listing, WatchEvent
from slipway_operator.kube.reflector import Reflector
from slipway_operator.plan.objects import Object
from tests.support import virtual_loop

Step = WatchEvent | Exception | float  # an event, an error, or a silence of so many seconds
Watch = tuple[Step, ...]


def pod(name: str, version: int) -> Object:
    return {"kind": "Pod", "metadata": {"name": name, "resourceVersion": str(version)}}


def added(name: str, version: int) -> WatchEvent:
    return WatchEvent("ADDED", pod(name, version))


def bookmark(version: int) -> WatchEvent:
    return WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


@dataclass
class Scripted:
    """A cluster that lists and watches as written; afterwards it is silent."""

    lists: list[Listing | Exception]
    watches: list[Watch]
    calls: list[tuple[str, float]] = field(default_factory=list)

    def _called(self, what: str) -> None:
        self.calls.append((what, asyncio.get_running_loop().time() - 1000.0))

    async def list(self, kind: str, namespace: str | None, *, selector: str = "") -> Listing:
        self._called(f"list {kind} {namespace} {selector}")
        found = self.lists.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def watch(
        self, kind: str, namespace: str | None, *, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        self._called(f"watch {resource_version}")
        for step in self.watches.pop(0) if self.watches else (10_000.0,):
            match step:
                case WatchEvent():
                    yield step
                case Exception():
                    raise step
                case _:
                    await asyncio.sleep(step)


@dataclass
class Seen:
    names: list[str] = field(default_factory=list)
    contact: float = 0.0
    synced: bool = False


def play(
    lists: list[Listing | Exception], watches: list[Watch], *, seconds: float
) -> tuple[Scripted, Seen]:
    cluster, seen = Scripted(lists, watches), Seen()

    def listed(items: Iterable[Object]) -> None:
        seen.names.append("=" + ",".join(item["metadata"]["name"] for item in items))

    async def story() -> None:
        unused: Any = cluster
        reflector = Reflector(
            unused,
            "Pod",
            "default",
            selector="a=b",
            on_list=listed,
            on_event=lambda event: seen.names.append(event.object["metadata"]["name"]),
        )
        task = asyncio.create_task(reflector.run())
        await asyncio.sleep(seconds)
        seen.contact, seen.synced = reflector.last_contact - 1000.0, reflector.synced.is_set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_loop.run(story)
    return cluster, seen


def test_it_lists_then_watches_on_from_the_newest_version_it_saw() -> None:
    cluster, seen = play(
        [Listing((pod("a", 1),), "5")],
        [(added("b", 6), 20.0, bookmark(9), 20.0)],
        seconds=60,
    )
    assert [call for call, _ in cluster.calls] == ["list Pod default a=b", "watch 5", "watch 9"]
    assert seen == Seen(["=a", "b"], contact=20.0, synced=True)


def test_a_version_that_is_too_old_means_list_again() -> None:
    cluster, seen = play(
        [Listing((pod("a", 1),), "5"), Listing((pod("c", 8),), "9")],
        [(10.0, added("b", 6), Gone("too old"))],
        seconds=30,
    )
    assert [call for call, _ in cluster.calls][2:] == ["list Pod default a=b", "watch 9"]
    assert seen.names == ["=a", "b", "=c"]


def test_errors_back_off_and_success_forgets_them(caplog: pytest.LogCaptureFixture) -> None:
    down = Transient("list pods: the API server does not answer")
    cluster, seen = play(
        [down, down, down, down, down, down, down, Listing((), "5")], [], seconds=100
    )
    times = [time for _, time in cluster.calls]
    waits = [round(after - before, 3) for before, after in pairwise(times)]
    assert waits[:7] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert seen.synced
    assert caplog.messages == [str(down)] * 7


def test_a_watch_that_breaks_goes_on_where_it_was() -> None:
    broken = Transient("watch pods: the API server does not answer")
    cluster, _ = play([Listing((), "5")], [(5.0, added("b", 6), broken)], seconds=30)
    assert [call for call, _ in cluster.calls][2:] == ["watch 6"]


@pytest.mark.parametrize("watch", [(), (Gone("too old"),)])
def test_a_server_that_ends_every_watch_at_once_is_not_hammered(watch: Watch) -> None:
    cluster, _ = play([Listing((), "5")] * 1000, [watch] * 1000, seconds=60)
    assert len(cluster.calls) < 40


def test_before_the_first_list_nothing_is_known() -> None:
    _, seen = play([Transient("no")] * 10, [], seconds=5)
    assert seen == Seen([], contact=-1000.0, synced=False)
