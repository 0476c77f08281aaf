"""What an export is asked for, and what came of it."""

from pathlib import Path
from typing import Final

from slipway.api.v1alpha1.optimization import ExportFormat
from slipway.wire import WireModel

FILES: Final[dict[ExportFormat, str]] = {
    ExportFormat.TFLITE: "model.tflite",
    ExportFormat.SAVED_MODEL: "saved_model.zip",
    ExportFormat.PT2: "model.pt2",
}


class ExportOrder(WireModel):
    """Files to write; crosses to the child process.

    Attributes:
        source: the fp32 ONNX file.
        folder: where the files go, called as ``FILES`` says.
        rows: ``.npz`` with rows of the model's inputs, to compare on.
    """

    formats: tuple[ExportFormat, ...]
    source: Path
    folder: Path
    rows: Path
