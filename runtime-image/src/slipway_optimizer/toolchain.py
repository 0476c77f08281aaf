"""Versions of everything that shapes a result: part of the input key and of the manifest."""

import platform
from importlib import metadata
from typing import Final

_DISTRIBUTIONS: Final = (
    "slipway-operator", "numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx",
    "skops",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Name -> version of what is installed; what is absent is left out."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
