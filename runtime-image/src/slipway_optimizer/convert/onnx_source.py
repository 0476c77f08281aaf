"""ONNX files: nothing to convert, much to check."""

import shutil
from pathlib import Path

from slipway_optimizer import graph


def convert(source: Path, target: Path) -> None:
    """Check the source and copy it.

    Raises:
        Refused: as ``graph.load`` and ``graph.signature_of``.
    """
    graph.signature_of(graph.load(source))
    shutil.copyfile(source, target)
