"""Waiting for something that another process does, with a limit."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(look: Callable[[], T], *, seconds: float = 60.0) -> T:
    """What ``look`` returns once it is true.

    Raises:
        AssertionError: not within ``seconds``; says what it returned last.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"still {found!r} after {seconds} s"
        await asyncio.sleep(0.02)
    return found


async def until_async(look: Callable[[], Awaitable[T]], *, seconds: float = 60.0) -> T:
    """The same for a coroutine function."""
    end = time.monotonic() + seconds
    while not (found := await look()):
        assert time.monotonic() < end, f"still {found!r} after {seconds} s"
        await asyncio.sleep(0.02)
    return found
