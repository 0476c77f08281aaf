"""What a connection leaves behind when its client has gone."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from tests.support.connections import Owner, opened

HEAD = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Without Python looking for garbage."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize(
    "received",
    [b"", HEAD[:20], HEAD, HEAD + b"nine byte", (HEAD + b"nine byte") * 3, b"nonsense\r\n\r\n"],
    ids=["nothing", "half a head", "no body", "a request", "three at once", "nonsense"],
)
def test_a_connection_that_was_lost_is_gone_at_once(received: bytes) -> None:
    connection, _ = opened(Owner())
    seen = weakref.ref(connection)
    connection.data_received(received)
    connection.connection_lost(None)
    del connection
    assert seen() is None
