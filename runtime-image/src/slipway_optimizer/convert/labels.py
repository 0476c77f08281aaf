"""Labels of an estimator's own kinds, as ONNX can carry them. Pure: it asks the objects alone."""

from typing import Any

import numpy as np


def whole(estimator: Any) -> None:
    """Have a classifier that learnt ``False`` and ``True`` answer 0 and 1, as its ONNX form does.

    Converters take booleans for integers or for text, each in its own way. Every fitted part keeps
    its labels as ``classes_``: they are changed in all of them, so that the parts still agree.
    """
    seen: set[int] = set()
    waiting = [estimator]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, np.ndarray) and part.dtype.kind == "O":
            waiting += part.flat
        elif hasattr(part, "get_params") and hasattr(part, "__dict__"):
            waiting += _with_whole_labels(part)


def _with_whole_labels(part: Any) -> list[Any]:
    """Change its own labels; returns what it holds."""
    held = vars(part)
    for name, value in held.items():
        if name == "classes_":
            held[name] = _plain(value)
    return list(held.values())


def _plain(classes: Any) -> Any:
    if isinstance(classes, list):  # of several labels a row
        return [_plain(each) for each in classes]
    return classes.astype(np.int64) if getattr(classes, "dtype", None) == np.bool_ else classes
