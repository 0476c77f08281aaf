"""What bounds floods. Pure."""

from typing import Final

from slipway_server.transport.h2.frames import Code, ConnectionFault


class Credit:
    """What a peer may still send that serves no call. Costs are below, by kind.

    A call gives back more than its own frames may cost, and time gives back what a quiet client's
    pings and updates need, so that only a flood ever reaches zero.
    """

    __slots__ = ("left",)
    MOST: Final = 20_000
    EVERY_SECOND: Final = 1_000
    CALL: Final = 20  # that was answered
    DATA: Final = 4  # a frame that carries much, either way
    LARGE: Final = 1024
    SMALL: Final = 64
    FRAME: Final = 1  # PING, PRIORITY, WINDOW_UPDATE, unknown, an all but empty DATA
    SETTINGS: Final = 20
    RESET: Final = 10
    BYTES: Final = 256  # of a frame that is ignored, for one more

    def __init__(self) -> None:
        self.left = self.MOST

    def spend(self, cost: int) -> None:
        """Pay.

        Raises:
            ConnectionFault: there is nothing left.
        """
        self.left -= cost
        if self.left < 0:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that serve no call")

    def earn(self, gain: int) -> None:
        """Get back."""
        self.left = min(self.MOST, self.left + gain)
