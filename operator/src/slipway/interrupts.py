"""SIGINT and SIGTERM for programs that run an event loop."""

import asyncio
import signal
from collections.abc import Callable


def on_interrupt(act: Callable[[], object]) -> None:
    """Call ``act`` in the running loop whenever SIGINT or SIGTERM comes.

    Every program that owns processes or connections takes its signals this way. Python's own way,
    a ``KeyboardInterrupt`` from wherever the loop is, can hit between taking a callback from the
    queue and running it: a task's wake-up is lost, and ``asyncio.run`` waits for it for ever.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, act)
