"""A running cluster whose images are stand-in programs."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slipway_local.cluster import RunningCluster
from tests.support import standin

STANDIN = (sys.executable, standin.__file__)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RunningCluster]:
    async with RunningCluster(
        tmp_path / "run",
        images=frozenset({"slipway-server:local"}),
        programs={"standin": STANDIN},
        backoff=0.3,
        scaling_period=0.5,
    ) as running:
        yield running
