"""HTTP/1.1 connections in memory: no socket, no loop that runs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from slipway_server.observe import Request
from slipway_server.transport.connection import Connection
from slipway_server.transport.exchange import Exchange, HttpLimits
from slipway_server.transport.repeats import KnownHeads


class _Wire:
    """The socket's side of a connection in memory."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written.append(data)

    def writelines(self, parts: Sequence[bytes]) -> None:
        self.write(b"".join(parts))

    def close(self) -> None:
        self.closed = True

    abort = close
    write_eof = close

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        """Nothing reads."""

    resume_reading = pause_reading

    def get_extra_info(self, name: str) -> None:
        del name

    def set_write_buffer_limits(self, high: int) -> None:
        """Everything is written at once."""


def _echo(exchange: Exchange) -> None:
    exchange.reply(200, (bytes(exchange.body),))


def _refuse(exchange: Exchange, status: int, message: str) -> None:
    assert 400 <= status < 500, message
    exchange.reply(status, (message.encode(),))


class Owner:
    """A server that answers every request with its body."""

    def __init__(self) -> None:
        self.limits = HttpLimits(head=2000, body=4000, buffered=8000, plain_from=40, coded_from=100)
        self.buffered = 0
        self.closing = False
        self.connections: set[Connection] = set()
        self.date = b""
        self.now = 0.0
        self.observer: Callable[[Request], None] | None = None
        self.handle: Callable[[Exchange], None] = _echo
        self.refuse: Callable[[Exchange, int, str], None] = _refuse
        self.known = KnownHeads()

    def head(self, status: int, content_type: bytes) -> bytes:
        return b"HTTP/1.1 %d -\r\ncontent-type: %b\r\n" % (status, content_type)


_LOOP: Final = asyncio.new_event_loop()
_LOOP.close()  # the connection asks it for the time only


def opened(owner: Owner) -> tuple[Connection, _Wire]:
    """A new connection, and what is written on it."""
    wire = _Wire()
    connection = Connection(owner, _LOOP)
    connection.connection_made(wire)  # type: ignore[arg-type] # what it uses of a transport
    return connection, wire


def talk(owner: Owner, data: bytes, piece: int) -> list[bytes]:
    """The answers to ``data``, which comes in pieces of that size, on a new connection."""
    connection, wire = opened(owner)
    for start in range(0, len(data), piece):
        if wire.closed:
            break
        connection.data_received(data[start : start + piece])
        assert owner.buffered <= 2 * owner.limits.body
    connection.connection_lost(None)
    assert owner.buffered == 0
    assert not owner.connections
    return wire.written
