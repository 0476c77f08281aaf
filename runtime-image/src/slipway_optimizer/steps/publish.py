"""Step 4, with credentials: bytes, then the manifest as the commit mark, then the report upward."""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactFile, ArtifactManifest, FileRole, Verdict
from slipway.artifacts.store import Store, open_store
from slipway.contract import Step, StorageMount
from slipway.errors import Invalid, NotFound, Transient
from slipway.tasks import ArtifactReference, CandidateSummary, JobReport
from slipway_optimizer.export.order import FILES
from slipway_optimizer.failures import Refused, Unreachable
from slipway_optimizer.steps.fetch import MAX_MANIFEST_BYTES, read_manifest
from slipway_optimizer.steps.job import Job
from slipway_optimizer.workdir import BuildRecord, FetchRecord, ValidateRecord

_MAX_REASON = 160


def publish(job: Job) -> JobReport:
    """Make the artifact visible, once, and report it.

    Raises:
        Refused, Unreachable: with the reason that status shows.
    """
    found = job.work.read(Step.FETCH, FetchRecord)
    if found.cached:
        data = job.work.open_bytes(job.work.cached_manifest, limit=MAX_MANIFEST_BYTES)
        return _report(job, found, data)
    path = job.work.artifact / layout.MANIFEST
    data = job.work.open_bytes(path, limit=MAX_MANIFEST_BYTES)
    manifest = read_manifest(data, found.input_key)
    for file in manifest.files:
        _check(job, file)
    if job.plain:
        _copy(job, manifest)
        return _report(job, found, data)
    try:
        data = _commit(job, manifest, data)
    except Refused:
        raise
    except Invalid as error:
        raise Refused("StorageDenied", f"artifact store: {error}") from error
    except Transient as error:
        raise Unreachable("StorageUnreachable", f"artifact store: {error}") from error
    return _report(job, found, data)


def _commit(job: Job, manifest: ArtifactManifest, data: bytes) -> bytes:
    """Upload, then commit; whoever commits first is right."""
    store = open_store(job.request.artifacts_uri, job.settings.storage(StorageMount.ARTIFACTS))
    key = layout.manifest_key(manifest.input_key)
    if (theirs := _read(store, key)) is not None:
        job.progress.say("another Job has published the same inputs: its artifact is used")
        return theirs
    for file in manifest.files:
        path = job.work.artifact / file.name
        job.progress.say(f"upload {file.name}, {file.size_bytes} bytes")
        store.upload(path, layout.blob_key(file.digest))
        if file.role is FileRole.REPORT:
            store.upload(path, layout.beside_manifest(manifest.input_key, file.name))
    if store.commit(key, data):
        return data
    job.progress.say("another Job was faster with the same inputs: its artifact is used")
    return _read(store, key) or data


def _read(store: Store, key: str) -> bytes | None:
    try:
        return store.read(key, limit=MAX_MANIFEST_BYTES)
    except NotFound:
        return None


def _check(job: Job, file: ArtifactFile) -> None:
    """The steps before ran what users upload: take no link and no other bytes from them."""
    path = job.work.artifact / file.name
    job.work.require_plain(path)
    if not path.is_file() or layout.digest_of_file(path) != file.digest:
        raise Refused("ArtifactCorrupt", f"{file.name} is not what the manifest says: run it again")


def _copy(job: Job, manifest: ArtifactManifest) -> None:
    folder = Path(unquote(urlsplit(job.request.artifacts_uri).path))
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (
        layout.MANIFEST, layout.MODEL, layout.MODEL_DATA, layout.GOLDEN, layout.FEEDS,
        *FILES.values(),
    ):  # fmt: skip
        (folder / stale).unlink(missing_ok=True)
    for part in folder.glob("stage-*.onnx"):
        part.unlink()
    for name in (*(file.name for file in manifest.files), layout.MANIFEST):
        shutil.copyfile(job.work.artifact / name, folder / name)
    job.progress.say(f"wrote {len(manifest.files) + 1} files")


def _report(job: Job, found: FetchRecord, data: bytes) -> JobReport:
    manifest = read_manifest(data, found.input_key)
    validation = manifest.validation
    report_key = (
        layout.REPORT_JSON
        if job.plain
        else layout.beside_manifest(manifest.input_key, layout.REPORT_JSON)
    )
    return JobReport(
        artifact=_reference(job, manifest, data),
        cache_hit=found.cached,
        verdict=validation.verdict,
        reason=validation.reason,
        message=validation.message,
        report_uri=layout.join_uri(job.request.artifacts_uri, report_key),
        node_class=manifest.hardware.node_class,
        candidates=tuple(
            CandidateSummary(
                name=c.name,
                verdict=c.verdict,
                reason=c.reason[:_MAX_REASON],
                size_bytes=c.size_bytes,
                score=c.score,
                latency_p50_ms=c.latency_p50_ms,
                latency_p95_ms=c.latency_p95_ms,
                latency_ratio=c.latency_ratio,
            )
            for c in validation.candidates
        ),
        seconds=_seconds(job, found),
    )


def _reference(job: Job, manifest: ArtifactManifest, data: bytes) -> ArtifactReference | None:
    if manifest.validation.verdict is Verdict.FAILED:
        return None
    key = layout.MANIFEST if job.plain else layout.manifest_key(manifest.input_key)
    return ArtifactReference(
        manifest_uri=layout.join_uri(job.request.artifacts_uri, key),
        manifest_digest=layout.digest_of(data),
        variant=manifest.variant,
        model_digest=manifest.file(FileRole.MODEL).digest,
        source_digest=manifest.source.digest,
        size_bytes=manifest.size_bytes,
        execution_provider=manifest.execution_provider,
    )


def _seconds(job: Job, found: FetchRecord) -> dict[str, float]:
    spent = {Step.FETCH.value: found.seconds}
    if not found.cached:
        spent[Step.BUILD] = job.work.read(Step.BUILD, BuildRecord).seconds
        spent[Step.VALIDATE] = job.work.read(Step.VALIDATE, ValidateRecord).seconds
    spent[Step.PUBLISH] = job.progress.seconds
    return spent
