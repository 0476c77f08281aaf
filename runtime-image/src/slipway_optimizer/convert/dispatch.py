"""Chooses the converter. Runs in the child process; frameworks are imported only there."""

import importlib.util
from pathlib import Path
from typing import Final

from slipway.api.v1alpha1.model import ModelFormatName
from slipway_optimizer.convert import kinds, onnx_source
from slipway_optimizer.convert.kinds import RUNS_CODE, Kind, Sniffed
from slipway_optimizer.convert.order import Conversion, ConvertOrder
from slipway_optimizer.failures import Refused

# Package that must be there, and the image and extra that have it.
_NEEDS: Final[dict[ModelFormatName, tuple[str, str]]] = {
    ModelFormatName.SKLEARN: ("skl2onnx", "optimizer-classic"),
    ModelFormatName.XGBOOST: ("xgboost", "optimizer-classic"),
    ModelFormatName.LIGHTGBM: ("lightgbm", "optimizer-classic"),
    ModelFormatName.PYTORCH: ("torch", "optimizer-torch"),
    ModelFormatName.TENSORFLOW: ("tensorflow", "optimizer-tensorflow"),
    ModelFormatName.MINDSPORE: ("mindspore", "optimizer-mindspore"),
}


def convert(order: ConvertOrder) -> Conversion:
    """Write the ONNX equivalent of the source to ``order.target``.

    Raises:
        Refused: with the reason and the remedy; ``ConversionDiffers`` when answers differ.
    """
    found = kinds.named(recognised(order), order.target.parent)
    if order.model_format is ModelFormatName.ONNX:
        return _adopt(found.path, order)
    _require_package(order.model_format)
    raw = order.target.with_suffix(".raw.onnx")
    try:
        made = _convert(order, found, raw)
        adopted = _adopt(raw, order)
        figures = made.figures | adopted.figures
        return Conversion(figures, made.classes, made.output, made.notes + adopted.notes)
    finally:
        raw.unlink(missing_ok=True)


def _adopt(path: Path, order: ConvertOrder) -> Conversion:
    return onnx_source.convert(path, order.target, order.dataset, keep_half=order.keep_half)


def _convert(order: ConvertOrder, found: Sniffed, raw: Path) -> Conversion:
    match order.model_format:
        case ModelFormatName.SKLEARN:
            from slipway_optimizer.convert import sklearn_source

            return sklearn_source.convert(found, raw, order)
        case ModelFormatName.XGBOOST | ModelFormatName.LIGHTGBM:
            from slipway_optimizer.convert import boosting_source

            return boosting_source.convert(found, raw, order)
        case ModelFormatName.PYTORCH:
            from slipway_optimizer.convert import torch_source

            return torch_source.convert(found, raw, order)
        case ModelFormatName.TENSORFLOW:
            from slipway_optimizer.convert import tensorflow_source

            return tensorflow_source.convert(found, raw, order)
        case _:
            from slipway_optimizer.convert import mindspore_source

            return mindspore_source.convert(found, raw, order)


def recognised(order: ConvertOrder) -> Sniffed:
    """What the source is, if ``order`` allows it to be opened.

    Raises:
        Refused: ``SourceCorrupt``, ``FormatMismatch``, ``SourceUntrusted``.
    """
    found = kinds.sniff(order.source)
    name = order.model_format
    if found.kind is Kind.UNKNOWN:
        raise Refused(
            "SourceCorrupt",
            f"the model file is not readable as {name}, nor as any other known format: check "
            "storageUri, and that the upload was complete",
        )
    if found.kind in (Kind.PICKLE, Kind.JOBLIB):
        _require_trust(order, found)  # of whatever framework
        if name in (ModelFormatName.SKLEARN, ModelFormatName.XGBOOST, ModelFormatName.LIGHTGBM):
            return found
    if kinds.FORMAT_OF[found.kind] is not name:
        raise Refused(
            "FormatMismatch",
            f"the model file is not {name} but {found.kind}: set modelFormat to "
            f"{kinds.FORMAT_OF[found.kind]}, or storageUri to another file",
        )
    if found.kind in RUNS_CODE:
        _require_trust(order, found)
    return found


def _require_trust(order: ConvertOrder, found: Sniffed) -> None:
    if order.allow_pickle:
        return
    better = {
        ModelFormatName.SKLEARN: "save it with skops.io.dump",
        ModelFormatName.XGBOOST: "save it with save_model('model.ubj')",
        ModelFormatName.LIGHTGBM: "save it with booster_.save_model('model.txt')",
        ModelFormatName.PYTORCH: "save it with torch.export.save",
    }.get(order.model_format, "save it in the framework's own format")
    raise Refused(
        "SourceUntrusted",
        f"the file is a {found.kind}, which runs code when it is opened: {better}, or set "
        "spec.model.allowPickle if you trust it",
    )


def _require_package(name: ModelFormatName) -> None:
    package, extra = _NEEDS[name]
    if importlib.util.find_spec(package) is None:
        raise Refused(
            "ConverterMissing",
            f"{name} models are converted in the image slipway-{extra}, and {package} is not "
            f"installed here: pip install 'slipway-operator[{extra}]'",
        )
