"""The asynchronous border."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from slipway_local.api import ObjectsApi
from slipway_local.clock import VirtualClock
from slipway_local.objects import Objects
from slipway_operator.kube.cluster import Cluster, Gone, WatchEvent
from tests.support.manifests import config_map, ref


@pytest.fixture
def objects() -> Objects:
    return Objects(VirtualClock())


@pytest.fixture
def api(objects: Objects) -> ObjectsApi:
    return ObjectsApi(objects)


async def test_nothing_that_a_caller_holds_is_the_store_s_own(api: ObjectsApi) -> None:
    cluster: Cluster = api
    given = config_map()
    returned = [await cluster.create(given), await cluster.get(ref("ConfigMap"))]
    returned += [await cluster.patch(ref("ConfigMap"), {"data": {"b": "2"}})]
    returned += [await cluster.apply(config_map())]
    returned += (await cluster.list("ConfigMap", None)).items
    async with aclosing(watch(api, "1")) as events:
        returned += [(await anext(events)).object]

    for obj in (given, *returned):
        obj["data"]["a"] = "altered"
        obj["metadata"]["labels"] = {"altered": "yes"}

    live = await cluster.get(ref("ConfigMap"))
    assert live["data"] == {"a": "1", "b": "2"}
    assert "labels" not in live["metadata"]


def watch(api: ObjectsApi, version: str) -> AsyncGenerator[WatchEvent, None]:
    found = api.watch("ConfigMap", None, selector="", resource_version=version)
    assert isinstance(found, AsyncGenerator)  # it can be closed
    return found


async def test_a_watch_goes_on_where_the_list_ended(api: ObjectsApi, objects: Objects) -> None:
    objects.create(config_map("before"))
    listing = await api.list("ConfigMap", None)
    objects.create(config_map("between"))

    async with aclosing(watch(api, listing.resource_version)) as events:
        first = await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        objects.create(config_map("after"))
        second = await waiting

    names = [event.object["metadata"]["name"] for event in (first, second)]
    assert [obj["metadata"]["name"] for obj in listing.items] == ["before"]
    assert names == ["between", "after"]


async def test_a_watch_misses_nothing_that_happens_while_its_reader_is_busy(
    api: ObjectsApi, objects: Objects
) -> None:
    objects.create(config_map("first"))
    seen = []
    async with aclosing(watch(api, "1")) as events:
        async for event in events:
            seen.append(event.object["metadata"]["name"])
            if len(seen) < 4:
                objects.create(config_map(f"while-{len(seen)}"))
            else:
                break

    assert seen == ["first", "while-1", "while-2", "while-3"]


async def test_a_watch_from_a_forgotten_version_is_gone(api: ObjectsApi, objects: Objects) -> None:
    objects.create(config_map())
    objects.compact()

    with pytest.raises(Gone):
        await anext(aiter(watch(api, "1")))


async def test_an_open_watch_is_gone_once_the_log_is_forgotten_behind_it(
    api: ObjectsApi, objects: Objects
) -> None:
    waiting = asyncio.ensure_future(anext(aiter(watch(api, str(objects.version)))))
    await asyncio.sleep(0)

    objects.create(config_map())
    objects.compact()

    with pytest.raises(Gone):
        await waiting


async def test_watches_end_when_told_to_and_leave_nothing_behind(
    api: ObjectsApi, objects: Objects
) -> None:
    async def read() -> list[WatchEvent]:
        return [event async for event in watch(api, "1")]

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    objects.create(config_map())
    await asyncio.sleep(0)
    api.end_watches()

    assert [event.type for event in await reading] == ["ADDED"]
    assert objects.listeners == set()
