"""The Job with its files in a real S3 server, and credentials only where a step needs them."""

import shutil
from pathlib import Path

from slipway.artifacts.store import open_store
from slipway.contract import ExitCode, Step, StorageMount
from slipway.tasks import JobReport, StepFailure
from tests.edges.optimizer.jobs import JobRunner
from tests.support.s3 import S3Server, s3

__all__ = ["s3"]


def prepare(job: JobRunner, s3: S3Server, small: Path) -> str:
    """Upload model and data set, mount the Secret for all purposes; the artifacts' root."""
    bucket = s3.bucket()
    for name in ("m.onnx", "d.npz"):
        s3.put(bucket, name, (small / name).read_bytes())
    for purpose in StorageMount:
        s3.secret_folder(job.storage / purpose)
    job.request(
        f"s3://{bucket}/m.onnx",
        f"s3://{bucket}/artifacts/uid",
        validation={"dataset": {"storageUri": f"s3://{bucket}/d.npz"}},
        optimization={"mode": "ConvertOnly"},
    )
    return f"s3://{bucket}/artifacts/uid"


def test_steps_without_credentials_need_none(s3: S3Server, small: Path, job: JobRunner) -> None:
    root = prepare(job, s3, small)
    mounted = job.storage
    hidden = mounted.with_name("hidden")
    for step in Step:
        if step in (Step.BUILD, Step.VALIDATE):
            mounted.rename(hidden)
        end = job.step_here(step)
        assert end.code == ExitCode.OK
        if hidden.exists():
            hidden.rename(mounted)
    report = end.message
    assert isinstance(report, JobReport)
    assert report.artifact is not None
    key = report.artifact.manifest_uri.removeprefix(f"{root}/")
    assert open_store(root, s3.config).read(key, limit=1 << 20)

    shutil.rmtree(job.work)
    again = job.run_here().message
    assert isinstance(again, JobReport)
    assert (again.cache_hit, again.artifact) == (True, report.artifact)


def test_credentials_of_another_purpose_are_not_used(
    s3: S3Server, small: Path, job: JobRunner
) -> None:
    prepare(job, s3, small)
    (job.storage / StorageMount.MODEL / "AWS_SECRET_ACCESS_KEY").write_text("wrong")
    end = job.step_here(Step.FETCH)
    assert end.code == ExitCode.INVALID
    assert isinstance(end.message, StepFailure)
    assert end.message.reason == "StorageDenied"
    assert end.message.message.startswith("model cannot be read: ")
    assert "AWS_SECRET_ACCESS_KEY" in end.message.message


def test_a_store_that_is_down_is_tried_again(s3: S3Server, small: Path, job: JobRunner) -> None:
    prepare(job, s3, small)
    for purpose in StorageMount:
        (job.storage / purpose / "AWS_ENDPOINT_URL").write_text("http://127.0.0.1:9")
    end = job.step_here(Step.FETCH)
    assert end.code == ExitCode.TRANSIENT
    assert isinstance(end.message, StepFailure)
    assert (end.message.reason, end.message.transient) == ("StorageUnreachable", True)
