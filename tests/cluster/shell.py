"""Running programs, saying what goes on, and failing in one sentence."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_START = time.monotonic()
_SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failure(Exception):  # noqa: N818 - it reads as what it is: a sentence for a person
    """What went wrong, in words that a person can act on."""


def say(text: str) -> None:
    """Prints one line of progress to standard error, with the seconds since the program started."""
    print(f"[{time.monotonic() - _START:6.1f} s] {text}", file=sys.stderr, flush=True)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns this process's environment with the system folders on PATH, and ``extra``."""
    env = dict(os.environ)
    env["PATH"] = f"{env.get('PATH', '')}:{_SBIN}".lstrip(":")
    return env | dict(extra or {})


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Runs a program to its end.

    Args:
        argv: The program and its arguments.
        cwd: The folder to run it in.
        env: Variables on top of this process's own.
        stdin: Text for its standard input; nothing when absent.

    Returns:
        What it wrote to standard output.

    Raises:
        Failure: It cannot be started or its exit code is not zero; the last lines it wrote are in
            the message.
    """
    command = [str(word) for word in argv]
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment(env),
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise Failure(f"{command[0]} cannot be started: {error}") from error
    if done.returncode != 0:
        raise Failure(f"`{shlex.join(command)}` ended with {done.returncode}: {_end(done)}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Tells whether a program ends with exit code 0; says nothing when it does not."""
    try:
        run(argv)
    except Failure:
        return False
    return True


def tail(path: Path, lines: int = 15) -> str:
    """Returns the last lines of a text file, or a word that there is none."""
    if not path.is_file():
        return f"(no {path.name})"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _end(done: subprocess.CompletedProcess[str]) -> str:
    text = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return "\n".join(text[-20:]) or "it wrote nothing"
