"""Runs the user's loader: code that makes the model. Only ever in the sandboxed child."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from slipway_optimizer.convert.order import ConvertOrder
from slipway_optimizer.failures import Refused

_MODULE = "slipway_user_loader"


def call_loader(order: ConvertOrder, model: Path) -> Any:
    """What the loader's function returns for the model's file or folder.

    Raises:
        Refused: ``LoaderFailed``, with what it raised.
    """
    name = order.loader_function
    assert order.loader is not None
    spec = importlib.util.spec_from_file_location(_MODULE, order.loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # where pickled classes of it are looked for
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # code of the user's raises anything
        raise Refused("LoaderFailed", f"the loader cannot be imported: {_words(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise Refused(
            "LoaderFailed",
            f"the loader has no function '{name}': define it, or set spec.model.loader.function",
        )
    try:
        return function(model)
    except Exception as error:
        raise Refused("LoaderFailed", f"the loader's {name} failed: {_words(error)}") from error


def _words(error: Exception) -> str:
    first = str(error).partition("\n")[0][:200]
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = "; packages beyond the image's need spec.model.loader.image"
    return f"{type(error).__name__}: {first}{hint}"
