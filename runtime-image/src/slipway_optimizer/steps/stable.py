"""Part of step 1: the model that is served now, for gates that compare with it."""

import shutil
from pathlib import Path
from typing import Final

from slipway.api.v1alpha1.validation import Reference
from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, FileRole
from slipway.artifacts.store import open_reader, split_uri
from slipway.contract import StorageMount
from slipway.errors import Invalid, SlipwayError
from slipway.tasks import StableRequest
from slipway_optimizer.steps.job import Job
from slipway_optimizer.workdir import StableRecord

_MAX_MANIFEST_BYTES: Final = 4 << 20
_SERVED: Final = {FileRole.MODEL: layout.MODEL, FileRole.EXTERNAL_DATA: layout.MODEL_DATA}


def fetch_stable(job: Job) -> StableRecord:
    """Download the stable revision's model where a gate is against it.

    What cannot be had makes such gates inconclusive; it never stops the Job.
    """
    gates = job.request.validation.gates
    shutil.rmtree(job.work.stable.parent, ignore_errors=True)
    if not any(gate.against is Reference.STABLE for gate in gates):
        return StableRecord()
    if job.request.stable is None:
        job.progress.say("no stable revision yet: gates against it are held to the source")
        return StableRecord()
    try:
        digest = _download(job, job.request.stable)
    except (SlipwayError, ValueError, OSError) as error:
        text = str(error) if isinstance(error, SlipwayError) else "its manifest is not readable"
        job.progress.say(f"the stable revision's model cannot be had: {text}")
        return StableRecord(problem=text[:300])
    job.progress.say(f"stable revision's model: {digest}")
    return StableRecord(digest=digest)


def _download(job: Job, wanted: StableRequest) -> str:
    config = job.settings.storage(StorageMount.ARTIFACTS)
    folder, name = split_uri(wanted.manifest_uri)
    data = open_reader(folder, config).read(name, limit=_MAX_MANIFEST_BYTES)
    if wanted.manifest_digest is not None and layout.digest_of(data) != wanted.manifest_digest:
        raise Invalid("its manifest has another digest than the one that was published")
    manifest = ArtifactManifest.model_validate_json(data)
    reader = open_reader(wanted.artifacts_uri or folder, config)
    job.work.stable.parent.mkdir(parents=True)
    for file in manifest.files:
        if file.role not in _SERVED:
            continue
        path = job.work.stable.with_name(_SERVED[file.role])
        key = layout.blob_key(file.digest) if wanted.artifacts_uri else _beside(name, file.name)
        reader.download(key, path)
        if layout.digest_of_file(path) != file.digest:
            raise Invalid(f"its file {file.name} is not what its manifest says")
    return manifest.file(FileRole.MODEL).digest


def _beside(manifest: str, name: str) -> str:
    return str(Path(manifest).with_name(name))
