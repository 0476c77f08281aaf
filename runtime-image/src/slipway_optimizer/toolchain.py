"""Versions of everything that shapes a result: part of the input key and of the manifest."""

import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

_DISTRIBUTIONS: Final = (
    "slipway-operator", "numpy", "onnx", "onnxruntime", "onnxruntime-openvino", "onnxruntime-gpu",
    "scikit-learn", "skl2onnx",
    "skops", "xgboost-cpu", "lightgbm", "onnxmltools", "torch", "onnxscript", "safetensors",
    "transformers", "tensorflow-cpu", "keras", "tf2onnx", "mindspore",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Name -> version of what is installed; what is absent is left out.

    Our own rules shape the result as much as a library does, and change between releases: their
    version is a digest of the sources.
    """
    found = {"python": platform.python_version(), "slipway-optimizer": _own_sources()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _own_sources() -> str:
    root = Path(__file__).parent
    sha = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        sha.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()[:16]
