"""Where the frameworks' environments are."""

from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
FRAMEWORKS: Final = ("torch", "tensorflow", "mindspore", "openvino")
VARIABLE: Final = "SLIPWAY_TEST_CONVERSIONS"  # what to test, separated by commas


def python_of(name: str) -> Path:
    """The environment's interpreter."""
    return REPOSITORY / f".venv-{name}" / "bin" / "python"


def mark_of(name: str) -> Path:
    """Holds the lock that the environment was made from, once it is whole."""
    return REPOSITORY / f".venv-{name}" / ".installed"


def lock_of(name: str) -> Path:
    """The image's locked requirements."""
    return REPOSITORY / "runtime-image" / f"requirements-optimizer-{name}.txt"
