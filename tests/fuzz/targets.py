"""What is fuzzed: a table of parsers. To add one: a function on bytes, its seeds, a line below.

A function may raise nothing on whatever bytes: it catches what its parser promises to raise, and
asserts what must hold beyond that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.fuzz import http2, protocols


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    Attributes:
        run: parses; any exception is a finding.
        seeds: valid inputs, from which others are made.
        modules: import prefixes that coverage is measured of.
        words: what the grammar has and chance would not find.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    modules: tuple[str, ...]
    words: tuple[bytes, ...] = ()


_H2 = ("slipway_server.transport.h2",)
_DOORS = (
    "slipway_server.protocol",
    "slipway_server.transport.coding",
    "slipway_server.transport.connection",
    "slipway_server.transport.head",
)

TARGETS: dict[str, Target] = {
    "h2-bytes": Target(http2.raw, http2.raw_seeds, _H2),
    "h2-frames": Target(http2.structured, http2.structured_seeds, _H2),
    "h2-headers": Target(http2.header_blocks, http2.header_block_seeds, _H2),
    "h2-messages": Target(http2.messages, http2.message_seeds, _H2),
    **{
        name: Target(run, partial(list, protocols.SEEDS[name]), _DOORS, protocols.WORDS)
        for name, run in protocols.TARGETS.items()
    },
}
