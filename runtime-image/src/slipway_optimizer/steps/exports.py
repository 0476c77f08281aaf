"""Part of step 2: the fp32 model in other frameworks' formats, before the search for variants."""

import shutil
from pathlib import Path
from typing import Final

from slipway_optimizer.arrays import Arrays, save_npz
from slipway_optimizer.export.order import FILES, ExportOrder
from slipway_optimizer.hardware import usable_threads
from slipway_optimizer.steps.job import Job
from slipway_optimizer.worker import WorkerTask, run_isolated

_TIMEOUT: Final = 1_800.0


def export_names(job: Job) -> tuple[str, ...]:
    """Files that were asked for."""
    return tuple(FILES[wanted] for wanted in job.request.optimization.exports)


def export(
    job: Job, baseline: Path, rows: Arrays
) -> tuple[dict[str, float | int | str], tuple[str, ...]]:
    """Write every export into ``WorkDir.exports``.

    Returns:
        Figures of the comparisons, and notes.

    Raises:
        Refused: one of them cannot be written, or answers differently.
    """
    formats = job.request.optimization.exports
    shutil.rmtree(job.work.exports, ignore_errors=True)
    if not formats:
        return {}, ()
    job.work.exports.mkdir(parents=True)
    job.progress.say(f"export to {', '.join(formats)}")
    feeds = job.work.scratch / "export.npz"
    save_npz(feeds, rows)
    task = WorkerTask(
        action="export",
        source=str(baseline),
        target=str(job.work.exports),
        export=ExportOrder(formats=formats, source=baseline, folder=job.work.exports, rows=feeds),
    )
    scratch = job.work.scratch
    made = run_isolated(task, scratch=scratch, threads=usable_threads(), timeout=_TIMEOUT)
    for name in export_names(job):
        size = (job.work.exports / name).stat().st_size
        job.progress.say(f"wrote {name}, {size} bytes")
    for note in made.notes:
        job.progress.say(note)
    return dict(made.figures), made.notes
