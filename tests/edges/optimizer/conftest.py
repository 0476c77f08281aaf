"""Files that the Jobs read."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.edges.optimizer.jobs import JobRunner
from tests.support.small_models import classifier, rows, save, save_rows

REPOSITORY = Path(__file__).resolve().parents[3]
MAGIKA_ROWS = 150


def example(script: str, *arguments: str) -> None:
    """Run one of the examples' programs."""
    program = REPOSITORY / "examples" / script
    subprocess.run([sys.executable, str(program), *arguments], check=True, capture_output=True)


@pytest.fixture
def job(tmp_path: Path) -> JobRunner:
    return JobRunner(tmp_path / "pod")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``m.onnx`` and ``d.npz``: a classifier of three classes that is right on most of 300 rows."""
    folder = tmp_path_factory.mktemp("small")
    save(folder / "m.onnx", classifier())
    save_rows(folder / "d.npz", rows(300))
    return folder


@pytest.fixture(scope="session")
def magika(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``v1.onnx`` and ``d.npz``: the examples' model and every third of its rows."""
    folder = tmp_path_factory.mktemp("magika")
    example("magika/make_models.py", str(folder))
    example("magika/make_dataset.py", str(folder / "all.npz"))
    with np.load(folder / "all.npz") as whole:
        some = slice(None, None, max(1, len(whole["labels"]) // MAGIKA_ROWS))
        save_rows(folder / "d.npz", {name: whole[name][some] for name in whole.files})
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``digits.skops`` and ``digits.npz`` of the examples."""
    folder = tmp_path_factory.mktemp("digits")
    example("sklearn/make_model.py", str(folder))
    return folder
