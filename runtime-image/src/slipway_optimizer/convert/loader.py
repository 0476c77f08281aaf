"""Runs the user's loader: code that makes the model. Only ever in the sandboxed child."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_optimizer.failures import Refused

_MODULE = "slipway_user_loader"


@dataclass(frozen=True, slots=True)
class Code:
    """A Python file, its function, and the field of the spec that names both."""

    file: Path
    function: str
    field: str = "spec.model.loader"


def call_loader(code: Code, model: Path) -> Any:
    """What the loader's function returns for a file or folder.

    Raises:
        Refused: ``LoaderFailed``, with what it raised.
    """
    name = code.function
    spec = importlib.util.spec_from_file_location(_MODULE, code.file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # where pickled classes of it are looked for
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # code of the user's raises anything
        raise Refused(
            "LoaderFailed", f"the loader cannot be imported: {_words(code, error)}"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise Refused(
            "LoaderFailed",
            f"the loader has no function '{name}': define it, or set {code.field}.function",
        )
    try:
        return function(model)
    except Exception as error:
        text = f"the loader's {name} failed: {_words(code, error)}"
        raise Refused("LoaderFailed", text) from error


def _words(code: Code, error: Exception) -> str:
    first = str(error).partition("\n")[0][:200]
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = f"; packages beyond the image's need {code.field}.image"
    return f"{type(error).__name__}: {first}{hint}"
