"""From a source to a checked session: verify, load, warm up, replay golden samples, learn to batch.

All of it runs in one thread beside the loop, which answers probes meanwhile.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from slipway.artifacts.words import FileRole, Verdict
from slipway.errors import Invalid, NotFound, SlipwayError, Transient
from slipway_server import cpu, heap, loading
from slipway_server.errors import StorageDenied
from slipway_server.loading import LocalArtifact
from slipway_server.logs import with_fields
from slipway_server.settings import ServedModel, ServerSettings
from slipway_server.usage import working_set

if TYPE_CHECKING:  # imported while the artifact downloads
    from slipway_server.batcher import BatchPolicy
    from slipway_server.engine import OnnxSession
    from slipway_server.golden import Sample
    from slipway_server.warmup import Feeds

_LOG = logging.getLogger("slipway_server.startup")
# From this size of external data on, a model answers first and is made fast then.
_LARGE_BYTES: Final = 128 << 20
_SESSION_SIZE: Final = 2  # times the file: it is read, and its weights are rearranged
_WARM_RUNS: Final = 3


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
    large = artifact.external_bytes >= _LARGE_BYTES
    learns = settings.threads is None and not large and _has_room(artifact)
    # One thread is right for whatever takes no time; the others are timed below.
    threads = settings.threads or (1 if learns else cpu.threads())
    with phases.phase("load"):
        imports.join()
        from slipway_server.engine import OnnxSession

        provider = artifact.execution_provider
        session = OnnxSession(artifact.model, threads=threads, packed=not large, provider=provider)
        _check_signature(artifact, session)
    samples = _samples(artifact, session, limit=settings.warmup.golden_samples)
    from slipway_server import golden, warmup

    with phases.phase("warmup"):
        known = [sample.feeds for sample in samples]
        rows = warmup.rows_that_run(session, known, clock=time.perf_counter)
        if not rows:
            _LOG.warning(
                "the model takes no input that was made up: it is not warmed up and not batched; "
                "a data set for slipway optimize gives it samples"
            )
        warmup.warm(session, rows, iterations=settings.warmup.iterations, clock=time.perf_counter)
    instances = 1
    if learns and cpu.threads() > 1:
        with phases.phase("threads"):
            threads, instances, session = _arrange(artifact, session, rows)
    with phases.phase("golden"):
        golden.check(samples, session.outputs, session.run)
    with phases.phase("batching"):
        policy = warmup.learn(session, rows, time.perf_counter)
    if not policy.inline:
        policy = replace(policy, instances=instances)
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
    reasons = {
        "load": "ModelNotLoadable",
        "threads": "ModelNotLoadable",
        "warmup": "ModelFailed",
        "golden": "GoldenMismatch",
    }
    return reasons.get(phase, "ServerNotStarted")


def _has_room(artifact: LocalArtifact) -> bool:
    """Whether sessions with other numbers of threads fit beside the first."""
    size = artifact.model.stat().st_size + artifact.external_bytes
    limit, used = cpu.memory_limit(), working_set()
    if limit is None or used is None:
        return True
    return used + _SESSION_SIZE * cpu.threads().bit_length() * size < limit


def _arrange(
    artifact: LocalArtifact, first: "OnnxSession", rows: "Sequence[Feeds]"
) -> "tuple[int, int, OnnxSession]":
    """Threads, instances and the session of the best way to use every CPU."""
    from slipway_server import arrange, warmup
    from slipway_server.engine import OnnxSession

    clock, cpus, sessions = time.perf_counter, cpu.threads(), {1: first}

    def load(threads: int) -> OnnxSession:
        if threads not in sessions:
            provider = artifact.execution_provider
            session = OnnxSession(artifact.model, threads=threads, provider=provider)
            sessions[threads] = session
            warmup.warm(session, rows, iterations=_WARM_RUNS, clock=clock)
        return sessions[threads]

    seconds = warmup.time_of_one(first, rows, clock) if rows else arrange.SLOW_SECONDS
    if seconds < warmup.INLINE_SECONDS:
        return 1, 1, first
    if seconds >= arrange.SLOW_SECONDS:
        return cpus, 1, load(cpus)
    measure = partial(arrange.rate, clock=clock)
    chosen = arrange.learn(load, rows, cpus=cpus, clock=clock, measure=measure)
    return chosen.threads, chosen.instances, load(chosen.threads)


def _pack(session: "OnnxSession") -> None:
    """Make a large model fast, once it answers."""
    start = time.monotonic()
    try:
        session.pack()
    except SlipwayError as error:
        _LOG.warning("the model goes on unpacked, at about half its speed: %s", error)
        return
    heap.give_back()
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
    elif manifest.verdict is not Verdict.PASSED:
        _LOG.warning("the artifact's verdict is %s: %s", manifest.verdict, manifest.message)
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
