"""Lays out the artifact: model, golden samples, feeds, reports, and the manifest over them all."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from slipway.artifacts import layout
from slipway.artifacts.manifest import (
    ArtifactFile,
    ArtifactManifest,
    Dataset,
    ExecutionProvider,
    FileRole,
    Source,
    Stage,
    Tensor,
)
from slipway.contract import Step
from slipway_optimizer import graph
from slipway_optimizer.arrays import (
    INPUT_PREFIX,
    OUTPUT_PREFIX,
    Arrays,
    first_rows,
    save_npz,
    take,
)
from slipway_optimizer.failures import Refused
from slipway_optimizer.hardware import EXACT_INT8
from slipway_optimizer.knee import capacity
from slipway_optimizer.outside import size_of
from slipway_optimizer.recipe import BASELINE
from slipway_optimizer.report import html, markdown
from slipway_optimizer.report.document import (
    GroupFigures,
    OptimizationReport,
    VariantFigures,
)
from slipway_optimizer.scores import Group
from slipway_optimizer.session import Model, shapes_of
from slipway_optimizer.steps import trial
from slipway_optimizer.steps.job import Job
from slipway_optimizer.steps.rows import Rows
from slipway_optimizer.tensors import Signature
from slipway_optimizer.verdict import Judgement
from slipway_optimizer.workdir import BuildRecord, FetchRecord
from slipway_optimizer.worker import WorkerTask, run_isolated

GOLDEN_SAMPLES: Final = 64
FEEDS: Final = 256
# Both are downloaded: of large rows fewer are kept, but as many as servers replay if not told else.
_LEAST_ROWS: Final = 8
_GOLDEN_BYTES: Final = 4 << 20
_FEEDS_BYTES: Final = 16 << 20
_SPLIT_ROWS: Final = 8
# From this size on, servers map the weights: they answer sooner and hold them once.
_LARGE_BYTES: Final = 128 << 20
_SPLIT_TIMEOUT: Final = 600.0
NO_VARIANT: Final = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """All that is known at the end."""

    found: FetchRecord
    built: BuildRecord
    rows: Rows
    trial: trial.Outcome
    signature: Signature

    @property
    def judgement(self) -> Judgement:
        """The pick and its reasons."""
        return self.trial.judgement


def assemble(job: Job, outcome: Outcome) -> None:
    """Write ``WorkDir.artifact``. After a refusal it holds the reports and the manifest only."""
    folder = job.work.artifact
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stages, notes = _split(job, outcome)
    report = _report(job, outcome, notes)
    text = report.model_dump_json(by_alias=True, indent=2)
    (folder / layout.REPORT_JSON).write_text(text + "\n")
    (folder / layout.REPORT_MD).write_text(markdown.render(report))
    (folder / layout.REPORT_HTML).write_text(html.render(report))
    reports = (layout.REPORT_JSON, layout.REPORT_MD, layout.REPORT_HTML)
    files = [(name, FileRole.REPORT) for name in reports]
    if outcome.judgement.picked is not None:
        files = [*_write_model(job, outcome, outcome.judgement.picked), *files]
    files += [(stage.file, FileRole.STAGE) for stage in stages]
    if outcome.judgement.picked is not None:
        files += [(name, FileRole.EXPORT) for name in outcome.built.exports]
        for name in outcome.built.exports:
            shutil.copyfile(job.work.exports / name, folder / name)
    manifest = _manifest(job, outcome, report, [_file(folder / n, role) for n, role in files])
    manifest = manifest.model_copy(update={"stages": stages})
    data = layout.canonical(manifest.model_dump(mode="json", by_alias=True))
    (folder / layout.MANIFEST).write_bytes(data)


def _write_model(job: Job, outcome: Outcome, picked: str) -> list[tuple[str, FileRole]]:
    folder, rows = job.work.artifact, outcome.rows.judging
    built = {c.recipe.name: c.file for c in outcome.built.candidates}
    provider = _provider(outcome)
    parts = _write_parts(job.work.candidates / (built[picked] or ""), folder / layout.MODEL)
    model = Model(folder / layout.MODEL, threads=job.request.threads, provider=provider)
    golden = take(rows.inputs, slice(0, GOLDEN_SAMPLES))
    answers = _prefixed(OUTPUT_PREFIX, model.run_rows(golden))
    samples = _prefixed(INPUT_PREFIX, golden) | answers
    kept = first_rows(samples, least=_LEAST_ROWS, most=GOLDEN_SAMPLES, limit=_GOLDEN_BYTES)
    save_npz(folder / layout.GOLDEN, kept)
    feeds = first_rows(rows.inputs, least=_LEAST_ROWS, most=FEEDS, limit=_FEEDS_BYTES)
    save_npz(folder / layout.FEEDS, _prefixed(INPUT_PREFIX, feeds))
    return [*parts, (layout.GOLDEN, FileRole.GOLDEN), (layout.FEEDS, FileRole.FEEDS)]


def _write_parts(built: Path, target: Path) -> list[tuple[str, FileRole]]:
    """The model as it is published: a large one with its weights beside it."""
    parts = [(target.name, FileRole.MODEL)]
    if size_of(built) < _LARGE_BYTES:
        shutil.copyfile(built, target)
    elif graph.weights_beside(built, target) is not None:
        parts.append((layout.MODEL_DATA, FileRole.EXTERNAL_DATA))
    return parts


def _prefixed(prefix: str, arrays: Arrays) -> Arrays:
    return {prefix + name: array for name, array in arrays.items()}


def _file(path: Path, role: FileRole) -> ArtifactFile:
    digest = layout.digest_of_file(path)
    return ArtifactFile(name=path.name, role=role, digest=digest, size_bytes=path.stat().st_size)


def _split(job: Job, outcome: Outcome) -> tuple[tuple[Stage, ...], tuple[str, ...]]:
    """Stages of the pick, if wanted, and why there are none, if so."""
    count, picked = job.request.optimization.stages, outcome.judgement.picked
    if count == 1 or picked is None:
        return (), ()
    files = {c.recipe.name: c.file or "" for c in outcome.built.candidates}
    feeds = job.work.scratch / "split.npz"
    save_npz(feeds, take(outcome.rows.judging.inputs, slice(0, _SPLIT_ROWS)))
    task = WorkerTask(
        action="split",
        source=str(job.work.candidates / files[picked]),
        target=str(job.work.artifact),
        feeds=str(feeds),
        count=count,
    )
    scratch, threads = job.work.scratch, job.request.threads
    try:
        found = run_isolated(task, scratch=scratch, threads=threads, timeout=_SPLIT_TIMEOUT)
    except Refused as error:
        for part in job.work.artifact.glob("stage-*.onnx"):
            part.unlink()
        job.progress.say(f"not split: {error}")
        return (), (f"not split into {count} stages: {error}",)
    shares = ", ".join(f"{stage.share:.0%}" for stage in found.stages)
    job.progress.say(f"split into {count} stages of {shares} of the time")
    return found.stages, (f"split into {count} stages of {shares} of the measured time",)


def _report(job: Job, outcome: Outcome, more: tuple[str, ...]) -> OptimizationReport:
    found, request = outcome.found, job.request
    calibration = outcome.rows.calibration
    dataset = None
    if request.validation.dataset is not None and calibration is not None:
        dataset = Dataset(
            uri=request.validation.dataset.storage_uri,
            digest=found.dataset_digest or "",
            rows=outcome.rows.judging.rows + calibration.rows,
            calibration_rows=calibration.rows,
        )
    return OptimizationReport(
        input_key=found.input_key,
        picked=outcome.judgement.picked,
        source=Source(
            uri=request.model.uri,
            digest=found.source_digest,
            size_bytes=found.source_size,
            model_format=request.model.model_format,
        ),
        dataset=dataset,
        hardware=found.hardware,
        toolchain=found.toolchain,
        options=_options(job),
        conversion=outcome.built.conversion,
        notes=(*outcome.built.notes, *outcome.trial.notes, *more),
        validation=outcome.judgement.report,
        figures=_figures(outcome),
        sensitivity=outcome.built.sensitivity,
        checks=outcome.trial.checks,
        load=outcome.trial.load,
        capacity=capacity(outcome.trial.load),
        by_threads=outcome.trial.by_threads,
        seconds={
            Step.FETCH: found.seconds,
            Step.BUILD: outcome.built.seconds,
            Step.VALIDATE: job.progress.seconds,
        },
    )


def _figures(outcome: Outcome) -> tuple[VariantFigures, ...]:
    tensors = {c.recipe.name: c.tensors for c in outcome.built.candidates}
    trial = outcome.trial
    return tuple(
        VariantFigures(
            name=facts.name,
            scores={str(metric): found.value for metric, found in facts.scores.items()},
            agreement=facts.agreement,
            cosine=facts.cosine,
            p99_ms=facts.p99_ms,
            throughput=facts.throughput,
            cost_per_1000=facts.cost,
            memory_bytes=facts.memory_bytes,
            load_ms=facts.load_ms,
            gzip_bytes=facts.gzip_bytes,
            samples_ms=facts.samples_ms,
            classes=_groups(facts.classes),
            slices=_groups(facts.slices),
            tensors=tensors.get(facts.name, ()),
        )
        for facts in (trial.baseline.facts, *trial.variants)
    )


def _groups(groups: tuple[Group, ...]) -> tuple[GroupFigures, ...]:
    return tuple(
        GroupFigures(name=g.name, rows=g.rows, baseline=g.baseline, candidate=g.candidate)
        for g in groups
    )


def _options(job: Job) -> dict[str, object]:
    """What was asked for, without where things lie."""
    validation = job.request.validation.model_copy(update={"dataset": None})
    return {
        "optimization": job.request.optimization.model_dump(mode="json", by_alias=True),
        "validation": validation.model_dump(mode="json", by_alias=True),
    }


def _manifest(
    job: Job, outcome: Outcome, report: OptimizationReport, files: list[ArtifactFile]
) -> ArtifactManifest:
    picked = outcome.judgement.picked
    built = {c.recipe.name: c.file for c in outcome.built.candidates}
    model = graph.load_outline(job.work.candidates / (built[picked or BASELINE] or ""))
    return ArtifactManifest(
        input_key=report.input_key,
        variant=picked or NO_VARIANT,
        source=report.source,
        dataset=report.dataset,
        toolchain=report.toolchain,
        hardware=report.hardware,
        options=report.options,
        opset=graph.opset_of(model),
        inputs=outcome.signature.inputs,
        outputs=_outputs(outcome),
        requires_any_cpu_flag=_required_flags(outcome),
        execution_provider=_provider(outcome),
        files=tuple(files),
        validation=report.validation,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _provider(outcome: Outcome) -> ExecutionProvider:
    """What runs the pick."""
    picked = outcome.judgement.picked
    recipes = {c.recipe.name: c.recipe for c in outcome.built.candidates}
    return ExecutionProvider.CPU if picked is None else recipes[picked].provider


def _required_flags(outcome: Outcome) -> tuple[str, ...]:
    """A pick that counts on exact 8-bit products needs them wherever it is served."""
    picked = outcome.judgement.picked
    recipes = {c.recipe.name: c.recipe for c in outcome.built.candidates}
    if picked is None or not recipes[picked].saturates_without_vnni:
        return ()
    return EXACT_INT8


def _outputs(outcome: Outcome) -> tuple[Tensor, ...]:
    return shapes_of(outcome.trial.baseline.answers, outcome.signature.outputs)
