"""The replay program against two real servers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from slipway.artifacts.folder import FolderStore
from slipway.artifacts.manifest import Tensor
from slipway.tasks import ReplayReport, ReplayRequest, StepFailure, parse_report
from tests.support import compiled, onnx_models
from tests.support.artifacts import Artifact
from tests.support.s3 import free_port
from tests.support.server import Server, serving

FEEDS = np.linspace(-1, 9, 40, dtype=np.float32).reshape(20, 2)
ARTIFACT = Artifact(model=onnx_models.double(), feeds={"input:x": FEEDS})


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("double") / "model.onnx"
    path.write_bytes(onnx_models.double())
    with serving(path) as server:
        yield server


@pytest.fixture(scope="module")
def logarithm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("logarithm") / "model.onnx"
    path.write_bytes(onnx_models.logarithm())
    with serving(path) as server:
        yield server


def replay(
    folder: Path, stable: int, canary: int, *, artifact: Artifact = ARTIFACT, samples: int = 256
) -> tuple[int, ReplayReport | StepFailure]:
    """Exit code and termination message of the program."""
    root = f"file://{folder}/store"
    key, digest = artifact.publish(FolderStore(folder / "store"), folder)
    request = ReplayRequest(
        name="m",
        artifacts_uri=root,
        manifest_uri=f"{root}/{key}",
        manifest_digest=digest,
        stable_url=f"http://127.0.0.1:{stable}",
        canary_url=f"http://127.0.0.1:{canary}/",
        samples=samples,
    )
    (folder / "request.json").write_text(request.model_dump_json())
    env = {
        **os.environ,
        **compiled.environment(),
        "SLIPWAY_REQUEST_FILE": str(folder / "request.json"),
        "SLIPWAY_STORAGE_DIR": str(folder / "none"),
        "SLIPWAY_WORK_DIR": str(folder / "work"),
        "SLIPWAY_TERMINATION_LOG": str(folder / "termination-log"),
    }
    command = [sys.executable, "-m", "slipway_server", "replay"]
    done = subprocess.run(
        command, check=False, env=env, capture_output=True, text=True, timeout=280
    )
    report = parse_report((folder / "termination-log").read_text())
    assert isinstance(report, ReplayReport | StepFailure)
    if isinstance(report, ReplayReport):
        assert done.stdout == report.message + "\n"
    assert "Traceback" not in done.stderr
    return done.returncode, report


def test_equal_revisions_agree_on_every_sample(double: Server, tmp_path: Path) -> None:
    code, report = replay(tmp_path, double.http, double.http)
    assert isinstance(report, ReplayReport)
    assert (code, report.samples, report.agreeing) == (0, 20, 20)
    assert report.stable_errors == report.canary_errors == 0
    assert report.stable_p95_ms is not None
    assert report.canary_p95_ms is not None
    assert 0 < report.stable_p95_ms < 1000


def test_replayed_requests_are_counted_apart_from_traffic(double: Server, tmp_path: Path) -> None:
    replay(tmp_path, double.http, double.http)
    _, text, _ = double.get("/metrics")
    assert 'slipway_requests_total{model="m",door="replay"' in text
    assert 'door="rest"' not in text


def test_only_as_many_samples_as_asked_are_sent(double: Server, tmp_path: Path) -> None:
    _, report = replay(tmp_path, double.http, double.http, samples=7)
    assert isinstance(report, ReplayReport)
    assert report.samples == 7


def test_a_canary_that_answers_nan_has_errors_and_one_that_differs_disagrees(
    double: Server, logarithm: Server, tmp_path: Path
) -> None:
    code, report = replay(tmp_path, double.http, logarithm.http)
    assert isinstance(report, ReplayReport)
    negative = int((FEEDS <= 0).any(axis=1).sum())
    assert (code, report.samples, report.canary_errors) == (0, 20, negative)
    # The greater of two numbers has the greater logarithm: by their winner, the rest agree.
    assert report.agreeing == 20 - negative
    (reverse := tmp_path / "reverse").mkdir()
    _, report = replay(reverse, logarithm.http, double.http)
    assert isinstance(report, ReplayReport)
    assert (report.stable_errors, report.canary_errors) == (negative, 0)


def test_numbers_are_compared_by_size(double: Server, logarithm: Server, tmp_path: Path) -> None:
    one = onnx_models.double(("N", 1))
    artifact = Artifact(
        model=one,
        inputs=(Tensor(name="x", datatype="FP32", shape=(-1, 1)),),
        feeds={"input:x": np.arange(1, 5, dtype=np.float32).reshape(4, 1)},
    )
    (tmp_path / "model.onnx").write_bytes(one)
    with serving(tmp_path / "model.onnx") as server:
        _, report = replay(tmp_path, server.http, server.http, artifact=artifact)
        assert isinstance(report, ReplayReport)
        assert (report.samples, report.agreeing) == (4, 4)
        _, report = replay(tmp_path, server.http, double.http, artifact=artifact)
        assert isinstance(report, ReplayReport)
        assert (report.samples, report.canary_errors) == (4, 4)  # it takes two numbers


def test_a_silent_canary_is_counted_as_errors(double: Server, tmp_path: Path) -> None:
    code, report = replay(tmp_path, double.http, free_port())
    assert isinstance(report, ReplayReport)
    assert (code, report.samples, report.agreeing, report.canary_errors) == (0, 5, 0, 5)
    assert report.canary_p95_ms is None
    assert "does not answer" in report.message


def test_a_silent_stable_revision_is_transient(double: Server, tmp_path: Path) -> None:
    code, report = replay(tmp_path, free_port(), double.http)
    assert isinstance(report, StepFailure)
    assert (code, report.transient) == (75, True)
    assert "does not answer" in report.message


def test_an_artifact_without_feeds_is_refused(double: Server, tmp_path: Path) -> None:
    artifact = Artifact(model=onnx_models.double())
    code, report = replay(tmp_path, double.http, double.http, artifact=artifact)
    assert isinstance(report, StepFailure)
    assert (code, report.transient) == (65, False)
    assert "has no feeds to replay" in report.message
