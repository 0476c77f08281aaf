"""From a source to a checked session: verify, load, warm up, replay golden samples, learn to batch.

All of it runs in one thread beside the loop, which answers probes meanwhile.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from slipway.artifacts.manifest import FileRole, Verdict
from slipway.errors import Invalid, NotFound, SlipwayError, Transient
from slipway_server import cpu, loading
from slipway_server.errors import StorageDenied
from slipway_server.loading import LocalArtifact
from slipway_server.logs import with_fields
from slipway_server.settings import ServedModel, ServerSettings

if TYPE_CHECKING:  # imported while the artifact downloads
    from slipway_server.batcher import BatchPolicy
    from slipway_server.engine import OnnxSession
    from slipway_server.golden import Sample

_LOG = logging.getLogger("slipway_server.startup")
# From this size of external data on, a model answers first and is made fast then.
_LARGE_BYTES: Final = 128 << 20


@dataclass(slots=True)
class Phases:
    """What start-up does now, and how long each phase took, in seconds."""

    begin: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)
    current: str = "start"

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase."""
        self.current = name
        self.begin(name)
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start


@dataclass(frozen=True, slots=True)
class Prepared:
    """A session that may serve."""

    artifact: LocalArtifact
    session: "OnnxSession"
    policy: "BatchPolicy"
    threads: int
    golden: int

    @property
    def variant(self) -> str:
        """Which candidate of the optimizer this is."""
        manifest = self.artifact.manifest
        return manifest.variant if manifest is not None else "source"


def prepare(settings: ServerSettings, served: ServedModel, phases: Phases) -> Prepared:
    """Go through every phase of one model.

    Raises:
        Invalid: the artifact is not what was asked for, or does not work here.
        Transient: the store cannot be reached.
    """
    imports = threading.Thread(target=_import_engine, daemon=True)
    imports.start()
    with phases.phase("download"):
        artifact = _open(served)
    threads = settings.threads or cpu.threads()
    with phases.phase("load"):
        imports.join()
        from slipway_server.engine import OnnxSession

        large = artifact.external_bytes >= _LARGE_BYTES
        session = OnnxSession(artifact.model, threads=threads, packed=not large)
        _check_signature(artifact, session)
    samples = _samples(artifact, session, limit=settings.warmup.golden_samples)
    from slipway_server import golden, warmup

    with phases.phase("warmup"):
        rows = warmup.rows_that_run(session, [sample.feeds for sample in samples])
        warmup.warm(session, rows, iterations=settings.warmup.iterations, clock=time.perf_counter)
    with phases.phase("golden"):
        golden.check(samples, session.outputs, session.run)
    with phases.phase("batching"):
        policy = warmup.learn(session, rows, time.perf_counter)
    if large:
        threading.Thread(target=_pack, args=(session,), name="pack", daemon=True).start()
    return Prepared(artifact, session, policy, threads, len(samples))


def reason_of(phase: str, error: SlipwayError) -> str:
    """A CamelCase reason for the operator."""
    if isinstance(error, Transient):
        return "StorageUnreachable"
    if isinstance(error, StorageDenied):
        return "StorageDenied"
    if phase == "download":
        return "ArtifactNotFound" if isinstance(error, NotFound) else "ArtifactInvalid"
    reasons = {"load": "ModelNotLoadable", "warmup": "ModelFailed", "golden": "GoldenMismatch"}
    return reasons.get(phase, "ServerNotStarted")


def _pack(session: "OnnxSession") -> None:
    """Make a large model fast, once it answers."""
    start = time.monotonic()
    try:
        session.pack()
    except SlipwayError as error:
        _LOG.warning("the model goes on unpacked, at about half its speed: %s", error)
        return
    took = round((time.monotonic() - start) * 1e3)
    _LOG.info("weights packed", extra=with_fields(pack_ms=took))


def _import_engine() -> None:
    """Half of the start of a small model is imports: do them while the artifact downloads."""
    from slipway_server import dataplane, engine, golden, warmup
    from slipway_server.protocol import mindspore, torchserve, v1_rest, v2_rest

    del dataplane, engine, golden, mindspore, torchserve, warmup, v1_rest, v2_rest


def _open(served: ServedModel) -> LocalArtifact:
    def note(error: Transient, wait: float) -> None:
        _LOG.warning("%s; next try in %.1f s", error, wait)

    artifact = loading.with_retries(
        served.source.open, clock=time.monotonic, sleep=time.sleep, note=note
    )
    manifest = artifact.manifest
    if manifest is None:
        _LOG.warning("unverified: a bare model file, which no manifest vouches for")
    elif manifest.validation.verdict is not Verdict.PASSED:
        _LOG.warning(
            "the artifact's verdict is %s: %s",
            manifest.validation.verdict,
            manifest.validation.message,
        )
    return artifact


def _check_signature(artifact: LocalArtifact, session: "OnnxSession") -> None:
    if artifact.manifest is None:
        return
    for kind, listed, found in (
        ("inputs", artifact.manifest.inputs, session.inputs),
        ("outputs", artifact.manifest.outputs, session.outputs),
    ):
        wanted = [(tensor.name, tensor.datatype) for tensor in listed]
        actual = [(spec.name, spec.datatype) for spec in found]
        if wanted != actual:
            raise Invalid(f"the manifest lists the {kind} {wanted}, but the model has {actual}")


def _samples(artifact: LocalArtifact, session: "OnnxSession", *, limit: int) -> "list[Sample]":
    from slipway_server.golden import samples_of
    from slipway_server.npz import load

    path = artifact.path(FileRole.GOLDEN)
    if path is None or not limit:
        return []
    samples = samples_of(load(path), session.inputs, session.outputs, limit=limit)
    _LOG.info("golden samples", extra=with_fields(count=len(samples)))
    return samples
