"""``python -m tests.fuzz``: every parser against bytes that nobody would send.

With atheris (Linux on x86-64) inputs are led by coverage; elsewhere, and with ``--engine random``,
they are random changes of the seeds, the same for the same ``--seed``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import engine


def main() -> int:
    """Fuzz what was asked for, each target in a process of its own; returns the exit code."""
    options = _parser().parse_args()
    if options.child:
        return _child(options.child, options)
    from tests.fuzz.targets import TARGETS

    failed = []
    for name in options.target or TARGETS:
        if name not in TARGETS:
            raise SystemExit(f"there is no target '{name}': {', '.join(TARGETS)}")
        start = time.monotonic()
        command = [sys.executable, "-m", "tests.fuzz", "--child", name, *sys.argv[1:]]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        took = time.monotonic() - start
        runs = engine.runs_of(done.stdout + done.stderr)
        verdict = "ok" if done.returncode == 0 else "FAILED"
        print(f"{name:16} {verdict:6} {runs:>9} runs in {took:.0f} s", flush=True)
        if done.returncode != 0:
            failed.append(name)
            print((done.stdout + done.stderr)[-4000:])
    return 1 if failed else 0


def _child(name: str, options: argparse.Namespace) -> int:
    use_atheris = options.engine == "atheris" or (options.engine == "auto" and engine.has_atheris())
    if not use_atheris:
        engine.random_changes(name, options.runs, options.seconds, seed=options.seed)
        return 0
    with tempfile.TemporaryDirectory(prefix="slipway-fuzz-") as folder:
        findings = Path(options.findings).resolve()
        findings.mkdir(parents=True, exist_ok=True)
        arguments = [
            f"-runs={options.runs}",
            f"-max_total_time={options.seconds}",
            f"-seed={options.seed}",
            f"-artifact_prefix={findings}/{name}-",
            "-max_len=4096",
            "-print_final_stats=1",
        ]
        engine.atheris_changes(name, Path(folder), arguments)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", action="append", help="one of the table; may be repeated")
    parser.add_argument("--runs", type=int, default=1_000_000, help="of each target")
    parser.add_argument("--seconds", type=int, default=14_400, help="of each target at most")
    parser.add_argument("--engine", choices=("auto", "atheris", "random"), default="auto")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--findings", default=os.path.join(tempfile.gettempdir(), "slipway-fuzz"), help="a folder"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
