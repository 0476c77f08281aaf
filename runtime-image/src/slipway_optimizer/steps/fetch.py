"""Step 1, with credentials: source and data set, their digests, and whether the work is done."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slipway.api.v1alpha1.optimization import Optimization
from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, Hardware
from slipway.artifacts.store import open_reader, open_store, split_uri
from slipway.contract import Step, StorageMount
from slipway.errors import Invalid, NotFound, Transient
from slipway.tasks import OptimizationRequest
from slipway.wire import WireModel
from slipway_optimizer import hardware, toolchain
from slipway_optimizer.failures import Refused, Unreachable
from slipway_optimizer.gates import check_gates
from slipway_optimizer.steps.job import Job
from slipway_optimizer.steps.stable import fetch_stable
from slipway_optimizer.workdir import FetchRecord

MAX_MANIFEST_BYTES: Final = 4 << 20
_SHORT: Final = 24
MAX_FILES = 10_000


def fetch(job: Job) -> FetchRecord:
    """Download and look for a manifest of the same inputs.

    Raises:
        Refused, Unreachable: with the reason that status shows.
    """
    request, work = job.request, job.work
    check_gates(request.validation)
    work.root.mkdir(parents=True, exist_ok=True)
    job.progress.say(f"model {request.model.uri}")
    model = _Wanted("model", request.model.uri, "spec.model.storageUri", "Source")
    source_digest, source_size = _download_model(job, model)
    _check_pin(request.model.digest, source_digest)
    loader_digest = None
    if (loader := request.model.loader) is not None:
        code = _Wanted("loader", loader.uri, "spec.model.loader.storageUri", "Loader")
        loader_digest = _download(job, code, StorageMount.MODEL, work.loader)
    students = _download_students(job)
    dataset_digest = None
    if (dataset := request.validation.dataset) is not None:
        job.progress.say(f"data set {dataset.storage_uri}")
        field = "spec.validation.dataset.storageUri"
        rows = _Wanted("data set", dataset.storage_uri, field, "Dataset")
        dataset_digest = _download(job, rows, StorageMount.DATASET, work.dataset)
    stable = fetch_stable(job)
    machine = hardware.detect(request.threads)
    versions = toolchain.versions()
    digests = Digests(source_digest, dataset_digest, loader_digest, stable.digest, students)
    inputs = key_inputs(request, digests, machine, versions)
    key = key_of(inputs)
    record = FetchRecord(
        input_key=key,
        source_digest=source_digest,
        source_size=source_size,
        dataset_digest=dataset_digest,
        hardware=machine,
        toolchain=versions,
        stable=stable,
        cached=not job.plain and _find_manifest(job, key),
        seconds=job.progress.seconds,
    )
    parts = ", ".join(f"{name} {value}" for name, value in key_parts(inputs).items())
    why = _HIT if record.cached else _PLAIN if job.plain else _MISS
    job.progress.say(f"input key {key[:16]} of {parts}")
    job.progress.say(why)
    work.write(Step.FETCH, record)
    return record


@dataclass(frozen=True, slots=True)
class Digests:
    """Of what was downloaded."""

    source: str
    dataset: str | None = None
    loader: str | None = None
    stable: str | None = None
    students: tuple[str, ...] = ()


_HIT: Final = "cache hit: all of these are as they were when the artifact was published"
_MISS: Final = (
    "cache miss: nothing is published for all of these together; the part that differs from an "
    "earlier Job's line is why"
)
_PLAIN: Final = "no cache: results go to a plain folder"


def key_of(inputs: dict[str, object]) -> str:
    """64 hex digits that stand for all of the inputs. Pure."""
    return layout.hex_of(layout.digest_of(layout.canonical(inputs)))


def key_parts(inputs: dict[str, object]) -> dict[str, str]:
    """Each input as itself where it is short, else as eight hex digits. Pure."""
    return {name: _part(value) for name, value in inputs.items() if value is not None}


def _part(value: object) -> str:
    if isinstance(value, int) or (isinstance(value, str) and len(value) <= _SHORT):
        return str(value)
    if isinstance(value, str) and value.startswith("sha256:"):
        return layout.hex_of(value)[:8]
    return layout.hex_of(layout.digest_of(layout.canonical(value)))[:8]


def key_inputs(
    request: OptimizationRequest,
    digests: Digests,
    machine: Hardware,
    versions: dict[str, str],
) -> dict[str, object]:
    """Everything that shapes the result. Pure.

    Where things lie and who may read them are left out: the same bytes are the same input.

    Args:
        request: the Job's.
        digests: of the source, the data set, the loader, the stable revision's model, and the
            code and weights of students.
        machine: only its class counts, so that equal nodes share artifacts.
        versions: of the toolchain.
    """
    validation = request.validation
    dataset = validation.dataset
    return {
        "source": digests.source,
        "dataset": digests.dataset,
        "stable": digests.stable,
        "calibrationFraction": None if dataset is None else dataset.calibration_fraction,
        "optimization": _without_places(request.optimization),
        "students": list(digests.students) or None,
        "validation": _plain(validation.model_copy(update={"dataset": None})),
        "modelFormat": request.model.model_format,
        "reading": {
            "loader": digests.loader,
            "function": None if request.model.loader is None else request.model.loader.function,
            "inputs": [_plain(value) for value in request.model.inputs],
            "allowPickle": request.model.allow_pickle,
        },
        "threads": request.threads,
        "attempt": request.attempt,
        "toolchain": versions,
        "nodeClass": machine.node_class,
    }


def _without_places(optimization: Optimization) -> object:
    """The wishes; of students' loaders the function alone, since their bytes count."""
    candidates = []
    for candidate in optimization.candidates:
        wish = candidate.distillation
        if wish is not None and wish.loader is not None:
            loader = wish.loader.model_copy(
                update={"storage_uri": "", "weights_uri": None, "image": None}
            )
            wish = wish.model_copy(update={"loader": loader})
        candidates.append(candidate.model_copy(update={"distillation": wish}))
    return _plain(optimization.model_copy(update={"candidates": tuple(candidates)}))


def _plain(model: WireModel) -> object:
    return model.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True, slots=True)
class _Wanted:
    what: str
    uri: str
    field: str
    reason: str


def _download_model(job: Job, wanted: _Wanted) -> tuple[str, int]:
    """Digest and bytes of a file; of a folder (a URI that ends in /) those of all its files."""
    target = job.work.source
    shutil.rmtree(target, ignore_errors=True)
    if not wanted.uri.endswith("/"):
        digest = _download(job, wanted, StorageMount.MODEL, target)
        return digest, target.stat().st_size
    target.unlink(missing_ok=True)
    found: dict[str, str] = {}
    size = 0
    with _translated(wanted):
        root, prefix = split_uri(wanted.uri.rstrip("/"))
        reader = open_reader(root, job.settings.storage(StorageMount.MODEL))
        names = reader.list(prefix + "/", limit=MAX_FILES)
        for name in names:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            reader.download(f"{prefix}/{name}", path)
            found[name] = layout.digest_of_file(path)
            size += path.stat().st_size
    digest = layout.digest_of(layout.canonical(found))
    job.progress.say(f"{wanted.what}: {len(found)} files, {size} bytes, {digest}")
    return digest, size


def _download_students(job: Job) -> tuple[str, ...]:
    """Code and weights of the candidates' students; a digest of each, with whose and what it is."""
    found = []
    for name, loader in job.request.optimization.student_loaders.items():
        where = f"distillation.loader.{{}} of candidate {name}"
        code, weights = job.work.student_loader(name), job.work.student_weights(name)
        code.parent.mkdir(parents=True, exist_ok=True)
        wanted = _Wanted(
            "student's loader", loader.storage_uri, where.format("storageUri"), "Loader"
        )
        found.append(f"{name} code {_download(job, wanted, StorageMount.MODEL, code)}")
        if loader.weights_uri is not None:
            field = where.format("weightsUri")
            wanted = _Wanted("student's weights", loader.weights_uri, field, "StudentWeights")
            found.append(f"{name} weights {_download(job, wanted, StorageMount.MODEL, weights)}")
    return tuple(found)


def _download(job: Job, wanted: _Wanted, purpose: StorageMount, path: Path) -> str:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with _translated(wanted):
        root, key = split_uri(wanted.uri)
        open_reader(root, job.settings.storage(purpose)).download(key, part)
    part.replace(path)
    if path.stat().st_size == 0:
        raise Refused(
            f"{wanted.reason}Corrupt", f"{wanted.what} {wanted.uri} is empty: upload it again"
        )
    digest = layout.digest_of_file(path)
    job.progress.say(f"{wanted.what}: {path.stat().st_size} bytes, {digest}")
    return digest


@contextmanager
def _translated(wanted: _Wanted) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise Refused(
            f"{wanted.reason}NotFound",
            f"{wanted.what} {wanted.uri} does not exist: check {wanted.field}",
        ) from error
    except Invalid as error:
        raise Refused("StorageDenied", f"{wanted.what} cannot be read: {error}") from error
    except Transient as error:
        raise Unreachable("StorageUnreachable", f"{wanted.what}: {error}") from error


def _check_pin(pinned: str | None, found: str) -> None:
    if pinned is not None and pinned != found:
        raise Refused(
            "DigestMismatch",
            f"the model has digest {found}, but spec.model.digest pins {pinned}: restore the file "
            "or change the pin",
        )


def _find_manifest(job: Job, key: str) -> bool:
    job.work.cached_manifest.unlink(missing_ok=True)
    try:
        store = open_store(job.request.artifacts_uri, job.settings.storage(StorageMount.ARTIFACTS))
        data = store.read(layout.manifest_key(key), limit=MAX_MANIFEST_BYTES)
    except NotFound:
        return False
    except Invalid as error:
        raise Refused("StorageDenied", f"artifact store: {error}") from error
    except Transient as error:
        raise Unreachable("StorageUnreachable", f"artifact store: {error}") from error
    read_manifest(data, key)
    job.work.cached_manifest.write_bytes(data)
    return True


def read_manifest(data: bytes, key: str) -> ArtifactManifest:
    """Parse a committed manifest and check that it is the one meant.

    Raises:
        Refused: ``ManifestCorrupt``.
    """
    try:
        manifest = ArtifactManifest.model_validate_json(data)
    except ValueError as error:
        raise Refused("ManifestCorrupt", _corrupt(key)) from error
    if manifest.input_key != key:
        raise Refused("ManifestCorrupt", _corrupt(key))
    return manifest


def _corrupt(key: str) -> str:
    return f"the stored manifest {layout.manifest_key(key)} is not readable: delete it and retry"
