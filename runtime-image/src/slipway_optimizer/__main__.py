"""Program of the optimization Job and of ``slipway optimize``, ``inspect`` and ``dataset``.

Exit codes: 0 picked, 1 nothing may be served (``optimize`` only: in the Job that is a result),
64 usage, 65 the user must act, 70 a bug, 75 try again, 130 interrupted, 143 told to end.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from slipway.contract import ExitCode, Step
from slipway_optimizer import optimize
from slipway_optimizer.collect import command as dataset
from slipway_optimizer.hardware import usable_threads
from slipway_optimizer.inspect import command as inspect
from slipway_optimizer.settings import Settings

_INTERRUPTED: Final = 130
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code."""
    parser = argparse.ArgumentParser(prog="slipway", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    job = commands.add_parser("job", help="one step of the optimization Job")
    job.add_argument("step", choices=[step.value for step in Step])
    worker = commands.add_parser("worker", help="a child of the build step")
    worker.add_argument("task", type=Path)
    optimize.add_arguments(commands.add_parser("optimize", help="all steps, for laptops"))
    inspect.add_arguments(commands.add_parser("inspect", help="what a model file is"))
    dataset.add_arguments(commands.add_parser("dataset", help="make and check data sets"))
    try:
        options = parser.parse_args(arguments)
    except SystemExit as error:
        return ExitCode.OK if error.code == 0 else ExitCode.USAGE
    _prepare_libraries()
    # As a container's first process it would else ignore SIGTERM; and cleaning up must happen.
    signal.signal(signal.SIGTERM, _end)
    try:
        return _run(options)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our lines has gone: ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "job":
            from slipway_optimizer.steps.runner import run_step

            return run_step(Step(options.step), Settings.from_env(os.environ))
        case "worker":
            from slipway_optimizer.worker import main as work

            work(options.task)
            return ExitCode.OK
        case "inspect":
            return inspect.run(options)
        case "dataset":
            return dataset.run(options)
        case _:
            return optimize.run(options, os.environ)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _prepare_libraries() -> None:
    """Before they are imported: numpy's would else start a thread per CPU of the node."""
    for name in _THREADS:
        os.environ.setdefault(name, str(usable_threads()))
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


if __name__ == "__main__":
    sys.exit(main())
