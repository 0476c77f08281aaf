"""``make test-conversions``: each framework in an environment made from its image's lock file.

Usage: python -m tests.conversions [torch] [tensorflow] [mindspore] [openvino]; without names all.
The environments are made on first use (torch's, with CUDA, has 5 GB) and again when a lock changes.
The tests themselves run here; only the conversions run there, as the build step's child does.
"""

import os
import subprocess
import sys
import venv

from tests.conversions.environments import FRAMEWORKS, VARIABLE, lock_of, mark_of, python_of


def main(names: list[str]) -> int:
    """Make what is missing, run the tests; the exit code."""
    unknown = set(names) - set(FRAMEWORKS)
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(FRAMEWORKS)}")
        return 64
    chosen = names or list(FRAMEWORKS)
    for name in chosen:
        _make(name)
    environment = {**os.environ, VARIABLE: ",".join(chosen)}
    command = [sys.executable, "-m", "pytest", "tests/conversions", "-v", "--durations=0"]
    return subprocess.run(command, env=environment, check=False).returncode


def _make(name: str) -> None:
    python, mark = python_of(name), mark_of(name)
    wanted = lock_of(name).read_text()
    if mark.exists() and mark.read_text() == wanted:
        return
    folder = python.parents[1]
    print(f"setting up {folder.name} from {lock_of(name).name} (once)", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--require-hashes", "--no-deps"]
    subprocess.run([*pip, "-r", str(lock_of(name))], check=True)
    mark.write_text(wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
