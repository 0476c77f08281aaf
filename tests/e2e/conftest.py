"""One cluster, one store, one installation for the whole run; one namespace for each test."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import recording
from tests.e2e.figures import FIGURES, tell
from tests.e2e.helm import Installation
from tests.e2e.s3 import ObjectStore
from tests.e2e.settings import RECORD, Images
from tests.e2e.space import Files, Space
from tests.support import models

_HERE = Path(__file__).parent
_LONGEST = 420  # seconds of one test

# Without a cluster there is nothing to collect: `python -m tests.e2e` brings one.
collect_ignore_glob = [] if Images.from_environment() else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here is slow and needs the cluster."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(_LONGEST))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def images() -> Images:
    """What the runner named."""
    found = Images.from_environment()
    assert found is not None
    return found


@pytest.fixture(scope="session")
def store(images: Images) -> ObjectStore:
    """The S3 server."""
    return ObjectStore(images.s3)


@pytest.fixture(scope="session")
def files(store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Models and data sets, uploaded."""
    folder = tmp_path_factory.mktemp("models")
    models.write(folder)
    _write_few(folder)
    return Files(folder, {path.name: store.put(path.name, path) for path in folder.iterdir()})


def _write_few(folder: Path) -> None:
    """Fewer rows, for tests that are not about judging: 240 of them judge and are replayed."""
    with np.load(folder / "magika.npz") as rows:
        np.savez(folder / "few.npz", **{name: rows[name][:300] for name in rows.files})


@pytest.fixture(scope="session")
def installation(images: Images) -> Installation:
    """Slipway, installed by Helm."""
    installed = Installation(images)
    installed.notes = installed.install()
    tell(f"helm install, two replicas ready: {installed.seconds:.1f} s")
    return installed


@pytest.fixture(scope="session")
def first(
    request: pytest.FixtureRequest, store: ObjectStore, files: Files, installation: Installation
) -> Iterator[Space]:
    """A namespace with a magika model ``first`` that was applied by kubectl and is Healthy."""
    for made in _space("first", store, files):
        began = time.monotonic()
        made.apply(made.magika("first"))
        ready = made.healthy("first", seconds=300)
        phases = ", ".join(
            f"{phase['phase']} {phase.get('seconds', 0)}" for phase in ready["status"]["phases"]
        )
        tell(f"apply -> Healthy, magika, Auto: {time.monotonic() - began:.0f} s ({phases})")
        yield made


@pytest.fixture
def space(
    request: pytest.FixtureRequest, store: ObjectStore, files: Files, installation: Installation
) -> Iterator[Space]:
    """A namespace for one test."""
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    yield from _space(f"{module}-{request.node.name}", store, files)


@pytest.fixture(scope="module")
def stage(
    request: pytest.FixtureRequest, store: ObjectStore, files: Files, installation: Installation
) -> Iterator[Space]:
    """A namespace for all tests of a module: none may need what another of them left there."""
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    yield from _space(f"{module}-stage", store, files)


def _space(title: str, store: ObjectStore, files: Files) -> Iterator[Space]:
    made = Space(title.partition("-")[0].replace("_", "-"), store, files)
    yield made
    if RECORD:
        recording.write(title, made.watch)
    made.close()
