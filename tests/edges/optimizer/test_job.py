"""The whole Job, with real models and processes."""

import json
import signal
from pathlib import Path

import numpy as np
import onnx
import pytest

from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, FileRole, Verdict
from slipway.contract import ExitCode, Step
from slipway.tasks import JobReport, StepFailure
from slipway_optimizer.arrays import load_npz
from slipway_optimizer.session import Model
from tests.edges.optimizer.jobs import JobRunner, dataset
from tests.support.small_models import classifier

LIMIT = 1 << 30
# As one row decides in small data sets: what is shown here is the way, not the accuracy.
WIDE_GATE = [{"name": "accuracy", "metric": "accuracy", "maxDegradation": "0.05"}]


def manifest_of(report: JobReport, store: Path) -> ArtifactManifest:
    assert report.artifact is not None
    path = Path(report.artifact.manifest_uri.removeprefix("file://"))
    assert layout.digest_of_file(path) == report.artifact.manifest_digest
    manifest = ArtifactManifest.model_validate_json(path.read_bytes())
    for file in manifest.files:
        blob = store / layout.blob_key(file.digest)
        assert (layout.digest_of_file(blob), blob.stat().st_size) == (file.digest, file.size_bytes)
    return manifest


def test_a_convolutional_model_is_quantised_committed_and_found_again(
    magika: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first, second = JobRunner(tmp_path / "first"), JobRunner(tmp_path / "second")
    for pod in (first, second):
        pod.request(
            (magika / "v1.onnx").as_uri(),
            store.as_uri(),
            validation=dataset(magika / "d.npz", gates=WIDE_GATE),
            optimization={"budget": "10m"},
        )
    end = first.run()
    report = end.message
    assert isinstance(report, JobReport), end.output
    assert (report.verdict, report.reason, report.cache_hit) == (
        Verdict.PASSED,
        "GatesPassed",
        False,
    )
    assert set(report.seconds) == set(Step)
    assert [c.name for c in report.candidates] == [
        "fp32",
        "fp32-fused",
        "int8-dynamic",
        "int8-static",
    ]
    manifest = manifest_of(report, store)
    assert manifest.source.digest == layout.digest_of_file(magika / "v1.onnx")
    static = report.candidates[-1]
    assert static.size_bytes is not None
    assert static.size_bytes < 0.3 * manifest.source.size_bytes
    assert_golden_samples_come_back(manifest, store, "bytes", "target_label")

    hit = second.run().message
    assert isinstance(hit, JobReport)
    assert hit.cache_hit
    assert hit.artifact == report.artifact
    assert hit.candidates == report.candidates
    assert not (second.work / "candidates").exists()
    assert "cache hit: all of these are as they were" in second.step(Step.FETCH).output


def assert_golden_samples_come_back(
    manifest: ArtifactManifest, store: Path, input_name: str, output_name: str
) -> None:
    def blob(role: FileRole) -> Path:
        return store / layout.blob_key(manifest.file(role).digest)

    golden = load_npz(blob(FileRole.GOLDEN), limit=LIMIT)
    model = Model(blob(FileRole.MODEL), threads=1)
    rows = golden[f"input:{input_name}"]
    answers = model.run_rows({input_name: rows[:3]})
    np.testing.assert_allclose(
        answers[output_name], golden[f"output:{output_name}"][:3], rtol=1e-2, atol=1e-3
    )
    feeds = load_npz(blob(FileRole.FEEDS), limit=LIMIT)[f"input:{input_name}"]
    assert feeds[: len(rows)].tolist() == rows.tolist()


def test_an_estimator_is_converted_and_compared_with_itself(
    digits: Path, job: JobRunner, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    job.request(
        (digits / "digits.skops").as_uri(),
        store.as_uri(),
        validation=dataset(digits / "digits.npz"),
    )
    report = job.run_here().message
    assert isinstance(report, JobReport)
    assert report.verdict is Verdict.PASSED
    assert report.candidates[0].score == pytest.approx(0.97, abs=0.02)
    manifest = manifest_of(report, store)
    assert [t.name for t in manifest.inputs + manifest.outputs] == ["X", "label", "probabilities"]
    beside = store / layout.beside_manifest(manifest.input_key, layout.REPORT_JSON)
    conversion = json.loads(beside.read_text())["conversion"]
    assert conversion["labels_differing"] == 0
    assert conversion["max_difference"] < 1e-5
    assert_golden_samples_come_back(manifest, store, "X", "probabilities")


def test_a_folder_with_external_data_becomes_one_file(job: JobRunner, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save_model(
        classifier(), folder / "net.onnx", save_as_external_data=True, size_threshold=0,
        location="net.data",
    )  # fmt: skip
    model = {"uri": f"{folder.as_uri()}/", "modelFormat": "onnx"}
    job.request("", (tmp_path / "store").as_uri(), model=model)
    report = job.run_here().message
    assert isinstance(report, JobReport)
    assert report.verdict is Verdict.PASSED
    manifest = manifest_of(report, tmp_path / "store")
    files = {path.name: layout.digest_of_file(path) for path in folder.iterdir()}
    assert manifest.source.digest == layout.digest_of(layout.canonical(files))
    assert manifest.source.size_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert report.artifact is not None
    assert report.artifact.size_bytes > 108


def test_a_model_under_its_gate_is_a_result_that_is_kept(
    small: Path, job: JobRunner, tmp_path: Path
) -> None:
    gate = {"name": "quality", "metric": "accuracy", "min": "0.999"}
    job.request(
        (small / "m.onnx").as_uri(),
        (tmp_path / "store").as_uri(),
        validation=dataset(small / "d.npz", gates=[gate]),
    )
    first, again = job.run_here(), job.run_here()
    report = first.message
    assert isinstance(report, JobReport)
    assert first.code == ExitCode.OK
    assert (report.artifact, report.verdict, report.reason) == (
        None,
        Verdict.FAILED,
        "AccuracyGateFailed",
    )
    assert "on 240 rows is below min 0.999 (gate quality)" in report.message
    assert report.report_uri is not None
    written = json.loads(Path(report.report_uri.removeprefix("file://")).read_text())
    assert written["validation"]["message"] == report.message
    assert isinstance(again.message, JobReport)
    assert (again.message.cache_hit, again.message.message) == (True, report.message)


def test_without_a_data_set_closeness_decides_and_is_said(
    small: Path, job: JobRunner, tmp_path: Path
) -> None:
    report = job.request((small / "m.onnx").as_uri(), (tmp_path / "s").as_uri()).run_here().message
    assert isinstance(report, JobReport)
    assert (report.verdict, report.reason) == (Verdict.PASSED, "NumericOnly")


def test_a_step_that_was_killed_is_done_again(small: Path, job: JobRunner, tmp_path: Path) -> None:
    job.request(
        (small / "m.onnx").as_uri(),
        (tmp_path / "store").as_uri(),
        validation=dataset(small / "d.npz"),
        optimization={"mode": "ConvertOnly", "budget": "1m"},
    )
    twice = (Step.FETCH, Step.BUILD, Step.BUILD, Step.VALIDATE, Step.VALIDATE)
    assert job.run_here(*twice).code == ExitCode.OK
    (job.work / "artifact" / "model.onnx").write_bytes(b"cut off")
    end = job.step_here(Step.PUBLISH)
    assert (end.code, end.message) == (
        ExitCode.INVALID,
        StepFailure(
            reason="ArtifactCorrupt",
            message="model.onnx is not what the manifest says: run it again",
            transient=False,
        ),
    )
    assert job.run_here(Step.VALIDATE, Step.PUBLISH).code == ExitCode.OK


def test_publish_takes_no_link_from_a_step_that_ran_a_users_model(
    small: Path, job: JobRunner, tmp_path: Path
) -> None:
    job.request(
        (small / "m.onnx").as_uri(),
        (tmp_path / "store").as_uri(),
        optimization={"mode": "ConvertOnly", "budget": "1m"},
    )
    job.run_here(Step.FETCH, Step.BUILD, Step.VALIDATE)
    secret = tmp_path / "secret"
    model = job.work / "artifact" / "model.onnx"
    model.rename(secret)
    model.symlink_to(secret)
    end = job.step_here(Step.PUBLISH)
    assert isinstance(end.message, StepFailure)
    assert "model.onnx of an earlier step is a link: refused" in end.message.message
    assert not (tmp_path / "store").exists()


def ask_for_two(job: JobRunner, small: Path, folder: Path) -> None:
    """Two candidates, named first and second."""
    listed = [
        {"name": name, "quantization": {"mode": "Dynamic", "perChannel": channel}}
        for name, channel in (("first", True), ("second", False))
    ]
    job.request(
        (small / "m.onnx").as_uri(),
        (folder / "store").as_uri(),
        validation=dataset(small / "d.npz", gates=WIDE_GATE),
        optimization={"mode": "Explicit", "candidates": listed, "budget": "10m"},
    )


def test_a_validation_that_was_killed_keeps_what_it_had_measured(
    small: Path, job: JobRunner, tmp_path: Path
) -> None:
    """SIGKILL once the first of two is measured; the next run measures the second one only."""
    ask_for_two(job, small, tmp_path)
    assert job.run_here(Step.FETCH, Step.BUILD).code == ExitCode.OK
    killed = job.killed_when(Step.VALIDATE, "candidate 2 of 2")
    assert killed.code == -signal.SIGKILL
    again = job.step(Step.VALIDATE)
    assert again.code == ExitCode.OK, again.output
    assert "first: measured in the run before" in again.output
    assert "second: measured" not in again.output
    end = job.step_here(Step.PUBLISH)
    assert isinstance(end.message, JobReport)
    assert [c.name for c in end.message.candidates] == ["fp32", "first", "second"]
    assert all(c.score is not None for c in end.message.candidates)


def test_a_build_that_was_killed_keeps_its_finished_candidates(
    small: Path, job: JobRunner, tmp_path: Path
) -> None:
    """SIGKILL between two candidates; the next run builds the second one only."""
    ask_for_two(job, small, tmp_path)
    assert job.step_here(Step.FETCH).code == ExitCode.OK
    killed = job.killed_when(Step.BUILD, "second: ")
    assert killed.code == -signal.SIGKILL
    assert (job.work / "candidates" / "first.json").exists()
    assert not (job.work / "build.json").exists()
    again = job.step(Step.BUILD)
    assert again.code == ExitCode.OK, again.output
    assert "first: kept from the run before" in again.output
    assert "second: kept" not in again.output
    (job.work / "candidates" / "first.onnx").write_bytes(b"other bytes")
    third = job.step(Step.BUILD)
    assert "first: kept" not in third.output
    assert "second: kept from the run before" in third.output
    killed = job.killed_when(Step.VALIDATE, "time ")
    assert killed.code == -signal.SIGKILL
    end = job.run_here(Step.VALIDATE, Step.PUBLISH)
    assert isinstance(end.message, JobReport)
    assert [c.name for c in end.message.candidates] == ["fp32", "first", "second"]
