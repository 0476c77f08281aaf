"""The fault injector that the simulation relies on."""

import pytest

from slipway.errors import SlipwayError
from slipway_local.api import ObjectsApi
from slipway_local.clock import VirtualClock
from slipway_local.objects import Objects
from tests.support.faults import Dropped, FaultyCluster
from tests.support.manifests import config_map, ref


@pytest.fixture
def api() -> ObjectsApi:
    return ObjectsApi(Objects(VirtualClock()))


async def names(api: ObjectsApi) -> list[str]:
    return [obj["metadata"]["name"] for obj in (await api.list("ConfigMap", None)).items]


@pytest.mark.parametrize(("when", "there"), [("before", ["a"]), ("after", ["a", "b"])])
async def test_the_caller_is_dropped_before_or_after_its_second_write(
    api: ObjectsApi, when: str, there: list[str]
) -> None:
    faulty = FaultyCluster(api, fail_at=2, when=when)  # type: ignore[arg-type]
    await faulty.create(config_map("a"))
    await faulty.get(ref("ConfigMap", "a"))

    with pytest.raises(Dropped):
        await faulty.create(config_map("b"))

    assert await names(api) == there
    with pytest.raises(Dropped):
        await faulty.get(ref("ConfigMap", "a"))


async def test_reads_count_where_asked_for(api: ObjectsApi) -> None:
    faulty = FaultyCluster(api, fail_at=2, counted="all")
    await faulty.list("ConfigMap", None)

    with pytest.raises(Dropped):
        await faulty.list("Secret", None)

    assert faulty.calls == ["list ConfigMap", "list Secret"]


async def test_a_call_that_the_cluster_refuses_is_counted_and_refused(api: ObjectsApi) -> None:
    faulty = FaultyCluster(api, fail_at=None)

    with pytest.raises(SlipwayError):
        await faulty.create(config_map("Bad Name"))

    assert faulty.calls == ["create ConfigMap default/Bad Name"]


def test_no_handler_of_ordinary_errors_survives_being_dropped() -> None:
    assert not issubclass(Dropped, Exception)
