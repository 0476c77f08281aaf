"""Compiles the Python files of a folder once, for an image's read-only root.

Usage: compile-libraries.py FOLDER. Needs the standard library only; run it with the Python that
will read the files. As with pip, a file of another Python's syntax stays as it is (PyTorch has one
among its tests); whatever else is left uncompiled, by a full disk or a killed worker, is an error.
"""

import compileall
import os
import sys
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path
from py_compile import PycInvalidationMode


def main() -> None:
    """Compile the folder that is named."""
    folder = Path(sys.argv[1])
    compileall.compile_dir(
        folder, quiet=2, workers=0, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
    )
    for path in uncompiled(folder):
        if is_readable(path):
            raise SystemExit(f"{path} was not compiled: is there space on the disk?")
        sys.stdout.write(f"not of this Python's syntax, left as it is: {path}\n")


def uncompiled(folder: Path) -> Iterator[Path]:
    """Python files without a compiled copy beside them."""
    for place, _, names in os.walk(folder):
        for path in (Path(place) / name for name in names if name.endswith(".py")):
            if path.is_file() and not Path(cache_from_source(path)).is_file():
                yield path


def is_readable(path: Path) -> bool:
    """Whether this Python understands the file."""
    try:
        compile(path.read_bytes(), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # ValueError: zero bytes, before Python 3.12
        return False
    return True


if __name__ == "__main__":
    main()
