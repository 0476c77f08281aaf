"""What kopf hands over, and on which thread."""

import threading
from typing import Any

import kopf
from kopf._core.actions import invocation

from slipway import contract
from slipway_operator.handlers import configure, registry
from slipway_operator.kube.cluster import WatchEvent
from tests.support.builders import model_deployment


async def _deliver(kind: str | None) -> tuple[list[WatchEvent], list[int]]:
    """Give the registered handler one event, the way kopf calls handlers."""
    seen: list[WatchEvent] = []
    threads: list[int] = []

    def note(event: WatchEvent) -> None:
        seen.append(event)
        threads.append(threading.get_ident())

    (handler,) = registry(note)._watching._handlers
    event: Any = {"type": kind, "object": model_deployment()}
    await invocation.invoke(handler.fn, settings=kopf.OperatorSettings(), kwargs={"event": event})
    return seen, threads


async def test_an_event_is_handed_over_on_the_loops_own_thread() -> None:
    seen, threads = await _deliver("MODIFIED")
    assert seen == [WatchEvent("MODIFIED", model_deployment())]
    assert threads == [threading.get_ident()]


async def test_what_the_first_list_holds_counts_as_added() -> None:
    seen, _ = await _deliver(None)
    assert [event.type for event in seen] == ["ADDED"]


async def test_a_bookmark_is_no_change() -> None:
    assert (await _deliver("BOOKMARK"))[0] == []


def test_one_handler_for_one_resource_and_nothing_that_writes() -> None:
    found = registry(lambda event: None)
    (handler,) = found._watching._handlers
    assert handler.selector is not None
    assert handler.selector.group == contract.GROUP
    assert handler.selector.version == contract.VERSION
    assert handler.selector.any_name == contract.PLURAL
    assert [found._changing._handlers, found._spawning._handlers, found._indexing._handlers] == [
        [],
        [],
        [],
    ]


def test_kopf_posts_no_events_and_waits_for_no_peers() -> None:
    settings = kopf.OperatorSettings()
    configure(settings)
    assert settings.posting.enabled is False
    assert settings.peering.standalone is True
    assert settings.networking.request_timeout is not None
