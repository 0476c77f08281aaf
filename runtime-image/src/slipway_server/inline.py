"""Whether the runs of a model stay on the event loop, judged by how long they take. Pure."""

from typing import Final

_TOO_LONG_SECONDS: Final = 0.02  # of a run on the loop
# So many of them in a row were the last ones: a CPU quota stops the process for up to 0.1 s at any
# moment, which says nothing of the model.
_TOO_MANY: Final = 3
_FAR_TOO_LONG_SECONDS: Final = 0.25  # longer than any such pause: one run says enough
# A machine that is overloaded makes pauses of any length. So many short runs in a row elsewhere
# acquit the model; each time that it leaves again doubles their number.
_ACQUITTAL: Final = 50


class Inline:
    """What is known of one model.

    Attributes:
        stays: whether the next run is on the loop.
    """

    __slots__ = ("_allowed", "_count", "_needed", "stays")

    def __init__(self, allowed: bool) -> None:  # noqa: FBT001 - the one thing it says
        """Begin on the loop, if the model is short enough at all."""
        self._allowed = allowed
        self.stays = allowed
        self._count = 0  # of the runs in a row that speak for a change
        self._needed = _ACQUITTAL

    def ran(self, seconds: float) -> None:
        """A run took so long, wherever it was."""
        is_long = seconds > _TOO_LONG_SECONDS
        if not self._allowed:
            return
        self._count = self._count + 1 if is_long is self.stays else 0
        if self.stays and (self._count >= _TOO_MANY or seconds > _FAR_TOO_LONG_SECONDS):
            self.stays, self._count = False, 0
        elif not self.stays and self._count >= self._needed:
            self.stays, self._count = True, 0
            self._needed *= 2
