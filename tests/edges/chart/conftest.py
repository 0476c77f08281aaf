"""The chart, rendered by the real helm."""

from pathlib import Path

import pytest

from tests.support import helm as real
from tests.support.charts import Render
from tests.support.helm import Json


@pytest.fixture
def render(tmp_path: Path) -> Render:
    """Renders the chart with some values."""

    def with_values(values: Json | None = None) -> list[Json]:
        return real.rendered(values, folder=tmp_path)

    return with_values
