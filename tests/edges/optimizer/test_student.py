"""A student of the user's, where PyTorch is not: fetched, kept apart, and never run."""

import subprocess
import sys
from pathlib import Path

import pytest

from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, Verdict
from slipway.contract import ExitCode, Step
from slipway.tasks import StepFailure
from tests.edges.optimizer.jobs import JobRunner

CODE = "raise SystemExit('it ran')\n"


@pytest.fixture
def loader(tmp_path: Path) -> Path:
    path = tmp_path / "student.py"
    path.write_text(CODE)
    return path


def wished(code: Path, weights: Path | None = None) -> dict[str, object]:
    own = {"storageUri": f"file://{code}"} | (
        {} if weights is None else {"weightsUri": f"file://{weights}"}
    )
    candidate = {"name": "own", "distillation": {"loader": own}}
    return {"mode": "Explicit", "candidates": [candidate], "budget": "1m"}


def test_code_and_weights_are_fetched_by_the_step_that_may_read_them(
    job: JobRunner, loader: Path, small: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"begin here")
    asked = wished(loader, weights)
    ended = job.request(f"file://{small}/m.onnx", f"file://{tmp_path}/a", optimization=asked).step(
        Step.FETCH
    )
    assert (ended.code, ended.message) == (ExitCode.OK, None)
    kept = {path.name: path.read_bytes() for path in (job.work / "students").iterdir()}
    assert kept == {"own.py": CODE.encode(), "own.weights": b"begin here"}


@pytest.mark.parametrize("absent", ["storageUri", "weightsUri"])
def test_a_file_that_is_not_there_is_refused_by_its_field(
    job: JobRunner, loader: Path, small: Path, tmp_path: Path, absent: str
) -> None:
    none = tmp_path / "none"
    asked = wished(none) if absent == "storageUri" else wished(loader, none)
    ended = job.request(f"file://{small}/m.onnx", f"file://{tmp_path}/a", optimization=asked).step(
        Step.FETCH
    )
    assert ended.code == ExitCode.INVALID
    assert isinstance(ended.message, StepFailure)
    assert f"check distillation.loader.{absent} of candidate own" in ended.message.message


def test_without_pytorch_the_candidate_fails_with_the_remedy_and_its_code_does_not_run(
    loader: Path, small: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    ended = subprocess.run(
        [
            sys.executable, "-m", "slipway_optimizer", "optimize", "--budget-seconds", "60",
            "--model", small / "m.onnx", "--dataset", small / "d.npz", "--output", output,
            "--threads", "1", "--candidate", f"own:loader={loader}",
        ],
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert ended.returncode == ExitCode.OK, ended.stderr
    manifest = ArtifactManifest.model_validate_json((output / layout.MANIFEST).read_bytes())
    (report,) = (c for c in manifest.validation.candidates if c.name == "own")
    assert (report.verdict, report.reason.partition(":")[0]) == (Verdict.FAILED, "Blocked")
    assert "install slipway-operator[optimizer-torch]" in report.reason
    assert "it ran" not in ended.stdout + ended.stderr
