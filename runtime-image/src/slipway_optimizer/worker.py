"""Third-party rewriting in a child process: its crashes, hangs and droppings stay there."""

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from slipway.artifacts.manifest import Stage
from slipway.wire import WireModel
from slipway_optimizer.arrays import load_npz
from slipway_optimizer.convert.order import ConvertOrder
from slipway_optimizer.datasets import MAX_BYTES
from slipway_optimizer.export.order import ExportOrder
from slipway_optimizer.failures import Refused
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.training.order import TrainOrder
from slipway_optimizer.workdir import NodeSensitivity, StoredTensor

TIMED_OUT: Final = "BuildTimeout"
_RESULT: Final = "result.json"
_TASK: Final = "task.json"
_PR_SET_PDEATHSIG: Final = 1
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerTask(WireModel):
    """What the child does.

    Attributes:
        feeds: ``.npz`` with rows: calibration for ``quantize``, comparison for the others.
        judged, seconds, target_db: for ``sensitivity``: the output, the time it may take, and the
            SQNR that is wanted.
        lessons: for ``quantize`` of a recipe that trains.
    """

    action: Literal["normalise", "quantize", "sensitivity", "weigh", "split", "convert", "export"]
    source: str
    target: str
    fused_target: str | None = None
    feeds: str | None = None
    recipe: Recipe | None = None
    judged: str | None = None
    seconds: float = 0.0
    target_db: float = 0.0
    order: ConvertOrder | None = None
    export: ExportOrder | None = None
    count: int = 1  # of stages, for ``split``
    lessons: TrainOrder | None = None


class WorkerResult(WireModel):
    """What came of it."""

    reason: str | None = None  # CamelCase, when the user must act
    message: str = ""
    notes: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()  # what was fused into the file ``fused_target``
    tensors: tuple[StoredTensor, ...] = ()
    sensitivity: tuple[NodeSensitivity, ...] = ()
    stages: tuple[Stage, ...] = ()
    exclude: tuple[str, ...] = ()  # nodes that stay fp32, from ``sensitivity``
    classes: tuple[int | str, ...] | None = None
    output: str | None = None
    figures: dict[str, float | int | str] = Field(default_factory=dict)


def run_isolated(task: WorkerTask, *, scratch: Path, threads: int, timeout: float) -> WorkerResult:
    """Run a task in a child whose current folder is a scratch one, removed afterwards.

    Raises:
        Refused: the child refused, died or took longer than ``timeout`` seconds.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        (folder / _TASK).write_text(task.model_dump_json())
        return _run(task, folder, threads=threads, timeout=timeout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(task: WorkerTask, folder: Path, *, threads: int, timeout: float) -> WorkerResult:
    command = [sys.executable, "-m", "slipway_optimizer", "worker", str(folder / _TASK)]
    limits = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    # Threads that wait by spinning were seen to make training four times slower on a busy node.
    limits["OMP_WAIT_POLICY"] = "PASSIVE"
    environment = {**os.environ, **limits, "TMPDIR": str(folder)}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        try:
            output, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            text = f"{task.action} took more than {timeout:g} s"
            raise Refused(TIMED_OUT, text) from error
        finally:
            child.kill()  # does nothing once it has ended
    try:
        result = WorkerResult.model_validate_json((folder / _RESULT).read_text())
    except (OSError, ValidationError) as error:
        raise Refused("BuildCrashed", _death(task, child.returncode, output)) from error
    if result.reason is not None:
        raise Refused(result.reason, result.message)
    return result


_CRASHED: Final = (
    ": a library crashed on it; give rows that the model knows by validation.dataset, or export "
    "the model in another way"
)
_HINTS: Final[dict[int, str]] = {
    signal.SIGKILL: ": give the Job more memory",
    signal.SIGFPE: _CRASHED,
    signal.SIGSEGV: _CRASHED,
    signal.SIGABRT: _CRASHED,
    signal.SIGILL: _CRASHED,
}


def _death(task: WorkerTask, code: int, output: str) -> str:
    if code < 0:
        hint = _HINTS.get(-code, "")
        return f"{task.action} was ended by {signal.Signals(-code).name}{hint}"
    lines = output.strip().splitlines()
    return f"{task.action} ended with code {code}: {lines[-1][:200] if lines else 'no output'}"


def main(task_file: Path) -> None:
    """The child: do the task, leave the result beside the task file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _die_with_parent()
    task = WorkerTask.model_validate_json(task_file.read_text())
    try:
        result = _ACTIONS[task.action](task)
    except Refused as error:
        result = WorkerResult(reason=error.reason, message=str(error))
    except MemoryError:
        text = f"{task.action} needs more memory than there is: raise spec.job.resources.limits"
        result = WorkerResult(reason="OutOfMemory", message=text)
    (task_file.parent / _RESULT).write_text(result.model_dump_json())


def _die_with_parent() -> None:
    """Whatever ends the step, were it SIGKILL, ends this child too (Linux)."""
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(1)


def _normalise(task: WorkerTask) -> WorkerResult:
    from slipway_optimizer.passes.normalise import answers_of, normalise, write_fused

    feeds, target = load_npz(Path(task.feeds or ""), limit=MAX_BYTES), Path(task.target)
    reference = answers_of(Path(task.source), feeds)
    notes = normalise(Path(task.source), target, feeds, reference=reference)
    fused_target = Path(task.fused_target or "")
    fused, left_out = write_fused(target, fused_target, feeds, reference=reference)
    return WorkerResult(notes=notes if left_out is None else (*notes, left_out), fused=fused)


def _quantize(task: WorkerTask) -> WorkerResult:
    from slipway_optimizer import sandbox
    from slipway_optimizer.passes import build_recipe

    if task.recipe is None:
        raise Refused("BuildFailed", "the task names no recipe")
    if task.lessons is not None and task.lessons.student is not None:
        sandbox.confine()  # the user's code comes next
    made = build_recipe.build(
        task.recipe,
        Path(task.source),
        Path(task.target),
        build_recipe.Rows(task.feeds, task.lessons),
    )
    tensors = tuple(StoredTensor(**asdict(error)) for error in made.tensors)
    return WorkerResult(tensors=tensors, notes=made.notes)


def _weigh(task: WorkerTask) -> WorkerResult:
    from slipway_optimizer.examine import weigh

    rows = load_npz(Path(task.feeds or ""), limit=MAX_BYTES)
    return WorkerResult(figures=weigh(Path(task.source), rows))


def _split(task: WorkerTask) -> WorkerResult:
    from slipway_optimizer.passes.split import split

    rows = load_npz(Path(task.feeds or ""), limit=MAX_BYTES)
    found = split(Path(task.source), Path(task.target), rows, task.count)
    return WorkerResult(
        stages=tuple(
            Stage(file=s.path.name, inputs=s.inputs, outputs=s.outputs, share=s.share)
            for s in found
        )
    )


def _sensitivity(task: WorkerTask) -> WorkerResult:
    from slipway_optimizer.passes import sensitivity

    if task.recipe is None or task.judged is None:
        raise Refused("BuildFailed", "the task names no recipe or no output")
    rows = load_npz(Path(task.feeds or ""), limit=MAX_BYTES)
    question = sensitivity.Question(task.recipe, task.judged, task.target_db, task.seconds)
    try:
        found = sensitivity.find(Path(task.source), Path.cwd(), rows, question)
    except Refused:
        raise
    except Exception as error:  # ONNX Runtime's quantisers raise anything from AssertionError on
        raise Refused("BuildFailed", f"the quantiser failed: {type(error).__name__}") from error
    ranked = tuple(NodeSensitivity(node=node, sqnr_db=db) for node, db in found.ranking)
    return WorkerResult(sensitivity=ranked, exclude=found.exclude)


def _convert(task: WorkerTask) -> WorkerResult:
    from slipway_optimizer import sandbox
    from slipway_optimizer.convert import dispatch

    if task.order is None:
        raise Refused("BuildFailed", "the task names no source")
    sandbox.confine()
    made = dispatch.convert(task.order)
    return WorkerResult(
        classes=made.classes, output=made.output, figures=made.figures, notes=made.notes
    )


def _export(task: WorkerTask) -> WorkerResult:
    from slipway_optimizer.export import dispatch

    if task.export is None:
        raise Refused("BuildFailed", "the task names no export")
    made = dispatch.export(task.export)
    return WorkerResult(figures=made.figures, notes=made.notes)


_ACTIONS: Final[dict[str, Callable[[WorkerTask], WorkerResult]]] = {
    "normalise": _normalise,
    "quantize": _quantize,
    "sensitivity": _sensitivity,
    "weigh": _weigh,
    "split": _split,
    "convert": _convert,
    "export": _export,
}
