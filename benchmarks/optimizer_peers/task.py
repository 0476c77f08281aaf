"""What is asked of everybody."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Task:
    """A model, its rows with labels, and how much accuracy may be lost."""

    name: str
    model: Path
    dataset: Path
    gate: float
