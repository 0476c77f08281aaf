"""Heads that came before: parsed once, known by their bytes afterwards. Pure.

Clients send the same head with every request, and parsing it costs more than all else about a
small one. Equal bytes at the beginning of a request mean the same each time.
"""

from typing import Final, NamedTuple

from slipway_server.transport.exchange import Exchange
from slipway_server.transport.head import Head

END: Final = b"\r\n\r\n"
_KEPT: Final = 256
_LARGEST: Final = 2048  # bytes of a head


class Known(NamedTuple):
    """A head that was parsed, and the size of the body behind it. Shared, never changed."""

    method: bytes
    head: Head
    length: int


class KnownHeads:
    """Of all connections of a server, so that a new connection gains at once."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}

    def find(self, data: bytes) -> tuple[Known, bytes] | None:
        """The head and the body, if ``data`` is exactly one request with a known head."""
        end = data.find(END) + 4
        known = self._known.get(data[:end])
        if known is None or len(data) - end != known.length:
            return None
        return known, data[end:]

    def learn(self, data: bytes, exchange: Exchange) -> None:
        """Keep the head of the first request in ``data``, if ``data`` is that request only.

        A parser may see a head's end earlier (where lines end in LF alone) or later (behind empty
        lines) than at the first CR LF CR LF; then the lengths here differ, or there is such an LF.

        Args:
            data: received at once, from the first byte of a request on.
            exchange: what the parser made of its first request.
        """
        head, end = exchange.head, data.find(END) + 4
        plain = not (head.chunked or head.coding or head.expects or head.upgrade or head.parent)
        if (
            plain
            and exchange.keep_alive
            and end <= _LARGEST
            and len(data) - end == head.length == len(exchange.body)
            and data.count(b"\n", 0, end) == data.count(b"\r\n", 0, end)
        ):
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[data[:end]] = Known(exchange.method, head, head.length)
