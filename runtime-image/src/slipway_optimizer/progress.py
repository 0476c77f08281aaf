"""Progress as plain lines on stdout: what runs, which of how many, how long it may take still."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(slots=True)
class Progress:
    """Writes one line per event, as a Job log and as a terminal want it.

    Attributes:
        clock: seconds, monotonic.
        words: how a line is put for who reads it.
    """

    step: str
    stream: TextIO = field(default_factory=lambda: sys.stdout)
    clock: Callable[[], float] = time.monotonic
    words: Callable[[str], str] = str
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def seconds(self) -> float:
        """Since the step began, to the millisecond."""
        return round(self.clock() - self._started, 3)

    def say(self, text: str) -> None:
        """One line: ``[build  12.3s] text``."""
        print(
            f"[{self.step:<8} {self.seconds:6.1f}s] {self.words(text)}",
            file=self.stream,
            flush=True,
        )

    def candidate(self, number: int, total: int, name: str) -> None:
        """Candidate ``number`` of ``total`` begins (from 1); the rest is guessed from the past."""
        done = number - 1
        left = f", about {self.seconds / done * (total - done):.0f} s left" if done else ""
        self.say(f"candidate {number} of {total}: {name}{left}")
