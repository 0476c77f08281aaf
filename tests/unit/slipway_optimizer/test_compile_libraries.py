"""What an image's Python files are compiled by: it ends a build that left some of them out."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[3] / "runtime-image" / "compile-libraries.py"


def compiled(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_files_are_compiled_and_another_pythons_syntax_is_left_as_it_is(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "module.py").write_text("ANSWER = 42\n")
    newer = package / "newer.py"
    newer.write_text("def f[T: ](): new syntax\n")
    zeros = package / "zeros.py"
    zeros.write_bytes(b"A = 1\0")
    done = compiled(tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name.partition(".")[0] for path in package.rglob("*.pyc")] == ["module"]
    left = {f"not of this Python's syntax, left as it is: {path}" for path in (newer, zeros)}
    assert set(done.stdout.splitlines()) == left


def test_a_file_that_could_have_been_compiled_and_was_not_ends_the_build(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("ANSWER = 42\n")
    (tmp_path / "__pycache__").write_text("no folder: nothing can be written there")
    done = compiled(tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"{module} was not compiled: is there space on the disk?\n"
