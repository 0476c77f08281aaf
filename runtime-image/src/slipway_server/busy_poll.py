"""Whether the loop keeps looking for the next request instead of going to sleep. Pure.

A CPU that sleeps takes longer to wake up than a tiny model takes to answer. So where a client asks
again at once, as one with a single connection on this node does, the loop looks again and again for
a moment. Clients that take longer never find it so.
"""

from typing import Final

# Between an answer and the next request: two switches of a process, not a way over a network.
_SECONDS: Final = 200e-6
_NEEDED: Final = 4  # such requests in a row, before the loop stays awake; one late request ends it


class BusyPoll:
    """What is known of the requests of one model."""

    __slots__ = ("_allowed", "_in_a_row", "_until")

    def __init__(self, allowed: bool) -> None:  # noqa: FBT001 - the one thing it says
        """Begin; it is allowed where CPUs are to spare."""
        self._allowed = allowed
        self._in_a_row = 0
        self._until = 0.0

    def came(self, now: float) -> None:
        """A request came, at ``now`` seconds."""
        if now < self._until:
            self._in_a_row += 1
        else:
            self._in_a_row = 0

    def rests(self, now: float) -> bool:
        """All is answered; returns whether to keep looking."""
        self._until = now + _SECONDS
        return self._allowed and self._in_a_row >= _NEEDED

    def goes_on(self, now: float) -> bool:
        """Whether to look once more."""
        return now < self._until
