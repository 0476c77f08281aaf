"""A short run of every fuzz target, the same each time; ``make campaign`` runs them for long."""

import pytest

from tests.fuzz import engine
from tests.fuzz.targets import TARGETS

RUNS = 1500
SECONDS = 5.0


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_break_a_parser(name: str) -> None:
    assert engine.random_changes(name, RUNS, SECONDS, seed=1) > 0
