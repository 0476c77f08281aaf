"""Compile the request path of the server, as its images have it.

``compile.py FOLDER`` compiles what lies in FOLDER (packages ``slipway`` and ``slipway_server``) in
place. ``compile.py --cached`` compiles a copy of this checkout's packages, once per content, and
prints its folder: put that into PYTHONPATH.

mypyc makes a C extension of typed Python; every module stays beside its extension and runs without
it (docs/decisions/0024). Needs mypy, setuptools, a C compiler and Python's headers.
"""

import argparse
import compileall
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path
from py_compile import PycInvalidationMode

HERE = Path(__file__).resolve()
SOURCES = {
    "slipway": HERE.parents[1] / "operator" / "src" / "slipway",
    "slipway_server": HERE.parent / "src" / "slipway_server",
}
# What a request meets. Left out: what runs once a start, and what mypyc does not take (generators
# that are asynchronous, attributes that are deleted).
MODULES = (
    "batch",
    "batcher",
    "busy_poll",
    "dataplane",
    "doors/door",
    "doors/grpc_infer",
    "doors/guard",
    "doors/mindspore",
    "doors/outcomes",
    "doors/rest",
    "doors/table",
    "doors/torchserve",
    "doors/v1",
    "doors/v2",
    "inline",
    "metrics",
    "protocol/base64_tensors",
    "protocol/binary_tensors",
    "protocol/form",
    "protocol/frames",
    "protocol/json_tensors",
    "protocol/message_heads",
    "protocol/mindspore",
    "protocol/raw_contents",
    "protocol/rows",
    "protocol/tensors",
    "protocol/torchserve",
    "protocol/v1_rest",
    "protocol/v2_grpc",
    "protocol/v2_rest",
    "served",
    "state",
    "transport/answer",
    "transport/body",
    "transport/connection",
    "transport/exchange",
    "transport/h2/call",
    "transport/h2/calls",
    "transport/h2/connection",
    "transport/h2/credit",
    "transport/h2/fields",
    "transport/h2/frames",
    "transport/h2/heads",
    "transport/h2/hpack",
    "transport/h2/huffman",
    "transport/h2/messages",
    "transport/h2/protocol",
    "transport/h2/reader",
    "transport/h2/sender",
    "transport/head",
    "transport/repeats",
    "waiting",
)
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "slipway" / "compiled"
_UNCHECKED = PycInvalidationMode.UNCHECKED_HASH
_KEPT = 4  # copies


def compile_in_place(folder: Path, *, libraries: str = sys.executable) -> None:
    """Put an extension beside each module.

    Args:
        folder: holds the packages.
        libraries: the Python of the environment whose libraries they will use.

    Raises:
        SystemExit: a module does not compile.
    """
    program = (
        "from setuptools import setup; from mypyc.build import mypycify; import sys;"
        "setup(name='slipway-server', packages=[], ext_modules=mypycify(sys.argv.pop().split(),"
        " target_dir=sys.argv.pop(), group_name='slipway_server', opt_level='2', debug_level='0'))"
    )
    # Types are checked by `make check`, strictly; here they only have to be understood.
    flags = ["--config-file=", "--ignore-missing-imports", "--python-executable", libraries]
    names = [f"slipway_server/{name}.py" for name in MODULES]
    with tempfile.TemporaryDirectory(prefix="slipway-compile-") as scratch:
        places = ["--build-temp", scratch, "--build-lib", scratch]
        command = [sys.executable, "-c", program, "-q", "build_ext", "--inplace", *places]
        command += [scratch, " ".join([*flags, *names])]  # the program takes these two for itself
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise SystemExit(f"{ended.stdout[-3000:]}{ended.stderr[-3000:]}")
    shutil.rmtree(folder / ".mypy_cache", ignore_errors=True)


def place() -> Path:
    """Where the compiled copy of this checkout's packages lies, or would lie."""
    digest = hashlib.sha256(f"{sys.version} {sysconfig.get_platform()} {version('mypy')}".encode())
    for source in (HERE, *(path for each in SOURCES.values() for path in sorted(each.rglob("*")))):
        if source.suffix in (".py", ".pyi"):
            name = source.relative_to(HERE.parents[1])
            digest.update(f"{name}\n".encode() + source.read_bytes())
    return _CACHE / digest.hexdigest()[:16]


def cached() -> Path:
    """A folder with a compiled copy of this checkout's packages, made if it is not there."""
    folder = place()
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
                copy = Path(scratch, "packages")
                for name, source in SOURCES.items():
                    ignored = shutil.ignore_patterns("__pycache__", "*.so")
                    shutil.copytree(source, copy / name, ignore=ignored)
                compile_in_place(copy)
                compileall.compile_dir(  # as images have them
                    copy, stripdir=copy, prependdir=folder, quiet=1, invalidation_mode=_UNCHECKED
                )
                copy.rename(folder)
        folder.touch()
        copies = sorted(_CACHE.glob("?" * 16), key=lambda each: each.stat().st_mtime)
        for old in copies[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    return folder


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("folder", nargs="?", type=Path, help="holds the packages to compile")
    which.add_argument("--cached", action="store_true", help="compile a copy and print its folder")
    parser.add_argument(
        "--libraries",
        default=sys.executable,
        help="the Python of the environment that the program will run in (default: this one)",
    )
    options = parser.parse_args()
    if options.cached:
        print(cached())
    else:
        compile_in_place(options.folder, libraries=options.libraries)


if __name__ == "__main__":
    main()
