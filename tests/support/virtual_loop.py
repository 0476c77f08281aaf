"""An event loop whose time jumps to the next timer: seconds of waiting pass in no time."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Waits for nothing: it lets the time pass that it was to wait for."""

    elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits and no timer is set: this would hang for ever"
        self.elapsed += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """For coroutines that touch no socket, thread or process."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Seconds of virtual time, from 1000."""
        return 1000.0 + self._jump.elapsed


def run(main: Callable[[], Awaitable[T]]) -> T:
    """What the coroutine function returns, in virtual time."""

    async def whole() -> T:
        return await main()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(whole())


async def until(look: Callable[[], Any], *, seconds: float = 600.0) -> None:
    """Let virtual time pass until ``look`` is true.

    Raises:
        AssertionError: not within ``seconds``.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not look():
        assert loop.time() < end, f"not within {seconds} s of virtual time"
        await asyncio.sleep(0.05)
