"""Step 2, without credentials: one checked ONNX file, and variants of it."""

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np

from slipway.api.v1alpha1.validation import GateMetric
from slipway.artifacts.words import ExecutionProvider
from slipway.contract import Step
from slipway_optimizer import graph, outside, session
from slipway_optimizer.arrays import Arrays, rows_of, save_npz, take
from slipway_optimizer.convert.order import ConvertOrder
from slipway_optimizer.datasets import Dataset
from slipway_optimizer.export.dispatch import require_packages
from slipway_optimizer.failures import Refused
from slipway_optimizer.gates import metric_of
from slipway_optimizer.hardware import multiplies_int8, usable_threads
from slipway_optimizer.recipe import BASELINE, Profile, plan
from slipway_optimizer.session import Model
from slipway_optimizer.steps.exports import export, export_names
from slipway_optimizer.steps.job import Job
from slipway_optimizer.steps.rows import Answers, Rows, judged_output, load_rows
from slipway_optimizer.steps.search import Ground, prepare, search
from slipway_optimizer.workdir import BuildRecord, FetchRecord
from slipway_optimizer.worker import WorkerResult, WorkerTask, run_isolated

_TIMEOUT: Final = 1_800.0  # seconds for one child; the Job's own deadline is above it
_FEW_ROWS: Final = 16
_PROFILE_RUNS: Final = 8
# In the folder of the candidates, since a large model's share one file of weights; no candidate is
# called so.
_CONVERTED: Final = "_converted.onnx"
_FUSED: Final = "_fused.onnx"
_EXPECTED_TOLERANCE: Final = 1e-3  # relative to max(1, |value|)
_HALF_TOLERANCE: Final = 2e-2  # of answers in FP16


def build(job: Job) -> None:
    """Convert, normalise and build every planned variant.

    Raises:
        Refused: the source or the data set cannot be used; a variant that fails is only rejected.
    """
    found = job.work.read(Step.FETCH, FetchRecord)
    if found.cached:
        job.progress.say("nothing to do: cache hit")
        return
    prepare(job, found.input_key)
    require_packages(job.request.optimization.exports)
    converted = job.work.candidates / _CONVERTED
    answers, figures = _convert(job, converted)
    signature = graph.signature_of(graph.load_outline(converted))
    model = Model(converted, threads=usable_threads())
    rows = load_rows(job, found, model, signature, answers=answers)
    figures |= _compare_expected(rows.judging, model)
    baseline = job.work.candidates / f"{BASELINE}.onnx"
    notes, fused = _normalise(job, converted, baseline, _few(rows))
    exported, said = export(job, baseline, _few(rows))
    figures |= exported
    notes += said
    profile = _profile(job, fused, _few(rows))
    planned = plan(
        profile,
        job.request.optimization,
        calibration_rows=0 if rows.calibration is None else rows.calibration.rows,
        vnni=multiplies_int8(found.hardware),
        torch="torch" in found.toolchain,
    )
    for note in (*notes, *planned.notes):
        job.progress.say(note)
    ground = Ground(
        base=_base_of_variants(job, fused),
        baseline=baseline,
        rows=rows.calibration or rows.judging,
        calibrated=rows.calibration is not None,
        output=judged_output(job, signature, answers).name,
        metric=_metric(job, rows),
        profile=profile,
        lessons=rows.lessons,
    )
    findings = search(job, ground, planned.recipes)
    for note in findings.notes:
        job.progress.say(note)
    record = BuildRecord(
        classes=answers.classes,
        output=answers.output,
        conversion=figures,
        notes=(*notes, *planned.notes, *findings.notes),
        candidates=findings.candidates,
        exports=export_names(job),
        sensitivity=findings.sensitivity,
        seconds=job.progress.seconds,
    )
    job.work.write(Step.BUILD, record)


def _metric(job: Job, rows: Rows) -> GateMetric | None:
    return None if rows.judging.labels is None else metric_of(job.request.validation.task)


def _convert(job: Job, target: Path) -> tuple[Answers, dict[str, float | int | str]]:
    asked, work = job.request.model, job.work
    job.progress.say(f"convert from {asked.model_format}")
    loader = asked.loader
    order = ConvertOrder(
        model_format=asked.model_format,
        source=work.source,
        target=target,
        dataset=work.dataset if job.request.validation.dataset is not None else None,
        inputs=asked.inputs,
        loader=None if loader is None else work.loader,
        loader_function="load" if loader is None else loader.function,
        allow_pickle=asked.allow_pickle,
        keep_half=any(
            wish.execution_provider is ExecutionProvider.CUDA
            for wish in job.request.optimization.candidates
        ),
    )
    task = WorkerTask(action="convert", source=str(work.source), target=str(target), order=order)
    result = _isolated(job, task)
    for note in result.notes:
        job.progress.say(note)
    if result.figures:
        shown = ", ".join(f"{name} {value}" for name, value in result.figures.items())
        job.progress.say(f"compared with the source: {shown}")
    return Answers(result.classes, result.output), dict(result.figures)


def _isolated(job: Job, task: WorkerTask) -> WorkerResult:
    return run_isolated(task, scratch=job.work.scratch, threads=usable_threads(), timeout=_TIMEOUT)


def _few(rows: Rows) -> Arrays:
    held = rows.judging if rows.calibration is None else rows.calibration
    return take(held.inputs, slice(0, _FEW_ROWS))


def _compare_expected(rows: Dataset, model: Model) -> dict[str, float | int | str]:
    """Hold the model to the data set's ``expected:<output>`` arrays."""
    if not rows.expected:
        return {}
    answers = model.run_rows(rows.inputs)
    worst = 0.0
    for name, expected in rows.expected.items():
        answer = answers[name]
        if expected.shape != answer.shape:
            raise Refused(
                "DatasetInvalid",
                f"array 'expected:{name}' has shape {list(expected.shape)}, but the output has "
                f"{list(answer.shape)}",
            )
        tolerance = _HALF_TOLERANCE if answer.dtype == np.float16 else _EXPECTED_TOLERANCE
        distance = np.abs(answer.astype(np.float64) - expected) / np.maximum(1, np.abs(expected))
        found = float(distance.max())
        worst = max(worst, found)
        if found > tolerance:
            raise Refused(
                "ConversionDiffers",
                f"output '{name}' is off the data set's expected:{name} by {found:.2g}, at most "
                f"{tolerance} is accepted: the file is not the model that was expected",
            )
    return {"expected_rows": rows.rows, "expected_max_difference": worst}


def _normalise(
    job: Job, converted: Path, target: Path, feeds: Arrays
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write the baseline and, if there is something to fuse, the graph that variants build on.

    Returns:
        Notes on what was left out, and what was fused.
    """
    job.progress.say("normalise")
    rows = job.work.scratch / "rows.npz"
    save_npz(rows, feeds)
    task = WorkerTask(
        action="normalise",
        source=str(converted),
        target=str(target),
        fused_target=str(job.work.candidates / _FUSED),
        feeds=str(rows),
    )
    try:
        result = _isolated(job, task)
    except Refused as error:
        if error.reason not in ("BuildCrashed", "BuildTimeout"):
            raise
        outside.copy(converted, target)
        return (f"normalisation left out: {error}",), ()
    if result.fused:
        job.progress.say(f"fused: {', '.join(result.fused)}")
    return result.notes, result.fused


def _base_of_variants(job: Job, fused: tuple[str, ...]) -> Path:
    return job.work.candidates / _FUSED if fused else job.work.candidates / f"{BASELINE}.onnx"


def _profile(job: Job, fused: tuple[str, ...], feeds: Arrays) -> Profile:
    path = _base_of_variants(job, fused)
    runs = min(_PROFILE_RUNS, rows_of(feeds))
    singles = [take(feeds, slice(n, n + 1)) for n in range(runs)]
    spent = session.profile(path, singles, job.work.scratch)
    time = spent.time
    outline = graph.load_outline(path)
    weights = graph.weight_shares(outline)
    matmul = ("MatMul", "Gemm", "FusedMatMul", "FusedGemm")
    conv = ("Conv", "FusedConv")
    return Profile(
        conv_time=sum(time.get(name, 0.0) for name in conv),
        matmul_time=sum(time.get(name, 0.0) for name in matmul),
        conv_weights=sum(weights.get(name, 0.0) for name in conv),
        matmul_weights=sum(weights.get(name, 0.0) for name in matmul),
        fused=fused,
        activation_bytes=spent.activation_bytes,
        operators=Counter(node.op_type for node in outline.graph.node),
        narrow=graph.narrow_convolutions(outline),
    )
