"""The server with its request path compiled, as its images have it; interpreted where nobody can.

``python -m tests.support.compiled`` makes it, which takes a minute or two once per content.
"""

import importlib.util
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

_SCRIPT = Path(__file__).parents[2] / "runtime-image" / "compile.py"


@cache
def environment() -> Mapping[str, str]:
    """What makes ``python -m slipway_server`` the compiled program, if it was made."""
    folder: Path = _script().place()
    if not folder.is_dir():
        return {}
    more = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join((str(folder), *([more] if more else ())))}


@cache
def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slipway_compile", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    print(_script().cached())
