"""One step as a process: request in, exit code and termination message out."""

import os
import traceback
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from slipway.contract import ExitCode, Step
from slipway.errors import SlipwayError, Transient
from slipway.tasks import JobReport, OptimizationRequest, StepFailure, format_report
from slipway_optimizer.failures import Refused
from slipway_optimizer.progress import Progress
from slipway_optimizer.settings import Settings
from slipway_optimizer.steps.job import Job
from slipway_optimizer.workdir import WorkDir

_MAX_MESSAGE: Final = 1_500


def run_step(step: Step, settings: Settings) -> ExitCode:
    """Run a step of the Job. The one place where every exception ends."""
    progress = Progress(step)
    try:
        job = Job(
            request=read_request(settings.request_file),
            settings=settings,
            work=WorkDir(settings.work_dir),
            progress=progress,
        )
        report = perform(step, job)
    except Exception as error:  # noqa: BLE001 - a process's top loop: every end is reported
        failure, code = describe(step, error)
        progress.say(f"failed: {failure.reason}: {failure.message}")
        leave_message(settings.termination_log, failure)
        return code
    if report is not None:
        progress.say(f"{report.verdict}: {report.message}")
        leave_message(settings.termination_log, report)
    progress.say("done")
    return ExitCode.OK


def perform(step: Step, job: Job) -> JobReport | None:
    """Run one step; a record of an earlier run of it is forgotten first.

    Raises:
        SlipwayError: expected failures. Anything else is a bug.
    """
    job.work.forget(step)
    match step:
        case Step.FETCH:
            from slipway_optimizer.steps.fetch import fetch

            fetch(job)
        case Step.BUILD:
            from slipway_optimizer.steps.build import build

            build(job)
        case Step.VALIDATE:
            from slipway_optimizer.steps.validate import validate

            validate(job)
        case Step.PUBLISH:
            from slipway_optimizer.steps.publish import publish

            return publish(job)
    return None


def read_request(path: Path) -> OptimizationRequest:
    """Read what the operator asks.

    Raises:
        Refused: ``RequestInvalid``.
    """
    try:
        return OptimizationRequest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise Refused("RequestInvalid", f"the request cannot be read: {detail}") from error


def describe(step: Step, error: Exception) -> tuple[StepFailure, ExitCode]:
    """What to tell of an exception, and the exit code; a bug's traceback goes to the log only."""
    reason: str = getattr(error, "reason", "")
    if isinstance(error, MemoryError):
        reason, text = "OutOfMemory", "the step ran out of memory: raise spec.job.resources.limits"
    elif isinstance(error, SlipwayError):
        text = str(error)
    else:
        traceback.print_exception(error)
        text = f"step {step} hit a bug ({type(error).__name__}): its log has the traceback"
        return StepFailure(reason="InternalError", message=text, transient=False), ExitCode.BUG
    transient = isinstance(error, Transient)
    code = ExitCode.TRANSIENT if transient else ExitCode.INVALID
    reason = reason or ("StorageUnreachable" if transient else "Invalid")
    return StepFailure(reason=reason, message=text[:_MAX_MESSAGE], transient=transient), code


def leave_message(path: Path, report: JobReport | StepFailure) -> None:
    """Write the termination message, where there is a place for one."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except OSError:
        return  # a laptop has no termination log
    with os.fdopen(handle, "w") as file:
        file.write(format_report(report))
