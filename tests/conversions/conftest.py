"""A framework's environment: makes models in it, and converts them as the build step does."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slipway_optimizer.convert.order import ConvertOrder
from slipway_optimizer.worker import WorkerResult, WorkerTask
from tests.conversions.environments import REPOSITORY, VARIABLE, python_of


@dataclass(frozen=True, slots=True)
class Framework:
    """One environment, and the models that ``make_<name>.py`` wrote with it."""

    name: str
    models: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, cwd: Path) -> str:
        """A Python program there; its output."""
        ended = subprocess.run(
            [str(python_of(self.name)), *arguments], cwd=cwd, env=self.environment,
            capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def convert(self, source: str | Path, folder: Path, **order: Any) -> WorkerResult:
        """Convert one of the models into ``folder/model.onnx``; a refusal is a result too."""
        name = {"torch": "pytorch"}.get(self.name, self.name)
        target = folder / "model.onnx"
        model = self.models / source
        if model.is_file():  # the fetch step drops a file's name
            model = folder / "source.model"
            model.unlink(missing_ok=True)
            model.symlink_to(self.models / source)
        asked = ConvertOrder.model_validate(
            {"modelFormat": name, "source": model, "target": target, **order}
        )
        task = WorkerTask(action="convert", source=str(source), target=str(target), order=asked)
        (folder / "task.json").write_text(task.model_dump_json())
        self.run("-m", "slipway_optimizer", "worker", str(folder / "task.json"), cwd=folder)
        return WorkerResult.model_validate_json((folder / "result.json").read_text())


def bare(name: str, tmp_path_factory: pytest.TempPathFactory) -> Framework:
    """The environment of that name, without models."""
    if name not in os.environ.get(VARIABLE, "").split(","):
        pytest.skip(f"make test-conversions FRAMEWORKS={name} runs this")
    folder = tmp_path_factory.mktemp(name)
    sources = (REPOSITORY / "operator" / "src", REPOSITORY / "runtime-image" / "src")
    return Framework(
        name,
        folder,
        {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(map(str, sources)),
            "OMP_NUM_THREADS": "2",
            "OMP_WAIT_POLICY": "PASSIVE",  # other processes share the CPUs
        },
    )


def framework(name: str, tmp_path_factory: pytest.TempPathFactory) -> Framework:
    """The environment of that name, with its models made."""
    found = bare(name, tmp_path_factory)
    maker = Path(__file__).with_name(f"make_{name}.py")
    found.run(str(maker), str(found.models), cwd=found.models)
    return found


Convert = Callable[..., WorkerResult]


@pytest.fixture(scope="session")
def torch(tmp_path_factory: pytest.TempPathFactory) -> Framework:
    return framework("torch", tmp_path_factory)


@pytest.fixture(scope="session")
def tensorflow(tmp_path_factory: pytest.TempPathFactory) -> Framework:
    return framework("tensorflow", tmp_path_factory)


@pytest.fixture(scope="session")
def mindspore(tmp_path_factory: pytest.TempPathFactory) -> Framework:
    return framework("mindspore", tmp_path_factory)
