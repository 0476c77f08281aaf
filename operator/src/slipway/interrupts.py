"""SIGINT and SIGTERM for programs that run an event loop."""

import asyncio
import signal
from collections.abc import Callable


def on_interrupt(act: Callable[[], object]) -> None:
    """Call ``act`` in the running loop whenever SIGINT or SIGTERM comes.

    Programs that own processes take their signals this way. Python's own way, a second
    ``KeyboardInterrupt`` from wherever the loop is, was seen to leave ``asyncio.run`` waiting for
    ever: most likely it hits between taking a callback from the queue and running it, and a task's
    wake-up is lost.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, act)
