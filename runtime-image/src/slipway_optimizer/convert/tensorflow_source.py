"""SavedModel, Keras and TFLite by tf2onnx. Owner file of tensorflow and keras.

tf2onnx runs as a program of its own: its command line is what its makers support.
"""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf

from slipway_optimizer import graph
from slipway_optimizer.arrays import Arrays
from slipway_optimizer.convert import adapt
from slipway_optimizer.convert.compare import hold_to_source
from slipway_optimizer.convert.kinds import Kind, Sniffed
from slipway_optimizer.convert.order import Conversion, ConvertOrder
from slipway_optimizer.failures import Refused

_OPSET: Final = 17
_SIGNATURE: Final = "serving_default"


def convert(found: Sniffed, target: Path, order: ConvertOrder) -> Conversion:
    """Write the ONNX equivalent of a TensorFlow model.

    Raises:
        Refused: ``SourceCorrupt``, ``SourceUntrusted``, ``ConversionFailed``,
            ``ConversionDiffers``.
    """
    if found.kind is Kind.TFLITE:
        ask = _tflite(found.path, target)
    else:
        folder = found.path
        if found.kind in (Kind.KERAS, Kind.HDF5):
            folder = target.with_suffix(".saved-model")
            _export_keras(found, folder, order)
        ask = _saved_model(folder, target)
    return Conversion(hold_to_source(target, ask, dataset=order.dataset, what=str(found.kind)))


def _saved_model(folder: Path, target: Path) -> Callable[[Arrays], Arrays]:
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception:  # noqa: BLE001 - an optimizer of Keras 2 in it, or TensorFlow 1: by its graph
        return _by_graph(folder, target)
    name = _signature(sorted(loaded.signatures))
    function = loaded.signatures[name]
    _run_tf2onnx(["--saved-model", str(folder), "--signature_def", name], target)
    dtypes = {key: spec.dtype for key, spec in function.structured_input_signature[1].items()}
    wanted = {*dtypes, *function.structured_outputs}
    model = graph.load(target)
    values = (*model.graph.input, *model.graph.output)
    bare = {value.name: value.name.partition(":")[0] for value in values}
    adapt.rename(model, {old: new for old, new in bare.items() if new in wanted})
    graph.save(model, target)

    def ask(rows: Arrays) -> Arrays:
        fed = {key: tf.constant(rows[key], dtype=dtype) for key, dtype in dtypes.items()}
        return {key: np.asarray(value.numpy()) for key, value in function(**fed).items()}

    ask.keep = loaded  # type: ignore[attr-defined] # its variables live as long as it
    return ask


def _signature(names: list[str]) -> str:
    usable = [name for name in names if not name.startswith("__")]
    if _SIGNATURE in usable or len(usable) == 1:
        return _SIGNATURE if _SIGNATURE in usable else usable[0]
    there = (
        f"the signatures {', '.join(usable)}, but not {_SIGNATURE}" if usable else "no signature"
    )
    raise Refused(
        "ConversionFailed",
        f"the SavedModel has {there}: save it with model.export(folder), or with signatures= of "
        "tf.saved_model.save",
    )


def _by_graph(folder: Path, target: Path) -> Callable[[Arrays], Arrays]:
    """The way of TensorFlow 1: the signature's graph alone, without the objects around it."""
    v1 = tf.compat.v1
    held = tf.Graph()
    with held.as_default():
        session = v1.Session(graph=held)
        try:
            meta = v1.saved_model.loader.load(session, [v1.saved_model.tag_constants.SERVING],
                                              str(folder))  # fmt: skip
        except Exception as error:  # what its readers happen to raise
            raise Refused(
                "SourceCorrupt",
                f"the SavedModel is not readable by TensorFlow {tf.__version__} "
                f"({_first_line(error)}): upload the whole folder, or save it again with version 2",
            ) from error
        found = meta.signature_def[_signature(sorted(meta.signature_def))]
        asked = {key: info.name for key, info in found.inputs.items()}
        given = {key: info.name for key, info in found.outputs.items()}
        nodes = [name.partition(":")[0] for name in given.values()]
        frozen = v1.graph_util.convert_variables_to_constants(
            session, held.as_graph_def(), sorted(set(nodes))
        )
    file = target.with_suffix(".pb")
    file.write_bytes(frozen.SerializeToString())
    names = ["--inputs", ",".join(asked.values()), "--outputs", ",".join(given.values())]
    _run_tf2onnx(["--graphdef", str(file), *names], target)
    model = graph.load(target)
    adapt.rename(model, {name: key for key, name in (asked | given).items()})
    graph.save(model, target)

    def ask(rows: Arrays) -> Arrays:
        fed = {name: rows[key] for key, name in asked.items()}
        answers: Arrays = session.run(given, fed)
        return answers

    return ask


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:160]


def _tflite(path: Path, target: Path) -> Callable[[Arrays], Arrays]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it moves to a package of its own some day
        try:
            interpreter = tf.lite.Interpreter(str(path))
        except Exception as error:
            raise Refused(
                "SourceCorrupt",
                "the TFLite file is not readable here: upload it again, and convert it without "
                "custom or Flex operators",
            ) from error
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    names = _short_names([detail["name"] for detail in (*inputs, *outputs)])
    asked = {names[detail["name"]]: detail for detail in inputs}
    given = {names[detail["name"]]: detail for detail in outputs}
    _run_tf2onnx(["--tflite", str(path)], target)
    model = graph.load(target)
    adapt.rename(model, names)
    graph.save(model, target)

    def ask(rows: Arrays) -> Arrays:
        for name, detail in asked.items():
            interpreter.resize_tensor_input(detail["index"], rows[name].shape)
        interpreter.allocate_tensors()
        for name, detail in asked.items():
            interpreter.set_tensor(detail["index"], rows[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(detail["index"]) for name, detail in given.items()}

    return ask


def _short_names(names: list[str]) -> dict[str, str]:
    """``serving_default_image:0`` -> ``image``; what would then be one name keeps its number."""
    bare = {name: name.removeprefix(f"{_SIGNATURE}_") for name in names}
    short = {name: text.partition(":")[0] for name, text in bare.items()}
    if len(set(short.values())) < len(short):
        return {name: text.replace(":", "_") for name, text in bare.items()}
    return short


def _export_keras(found: Sniffed, folder: Path, order: ConvertOrder) -> None:
    import keras

    try:
        model = keras.saving.load_model(found.path, compile=False, safe_mode=not order.allow_pickle)
    except Exception as error:
        text = str(error)
        if "Lambda" in text or "safe_mode" in text:
            raise Refused(
                "SourceUntrusted",
                "the Keras file holds Lambda layers, which run code when it is opened: replace "
                "them by layers, or set spec.model.allowPickle if you trust it",
            ) from error
        raise Refused(
            "SourceCorrupt",
            f"the file is not readable by Keras {keras.__version__} "
            f"({_first_line(error)}): models with classes of their own are exported "
            "with model.export(folder)",
        ) from error
    try:
        model.export(str(folder), format="tf_saved_model", verbose=False)
    except Exception as error:
        raise Refused(
            "ConversionFailed",
            f"Keras cannot export the model as SavedModel ({_first_line(error)}): export it "
            "yourself with model.export(folder)",
        ) from error


def _run_tf2onnx(arguments: list[str], target: Path) -> None:
    command = [sys.executable, "-m", "tf2onnx.convert", *arguments]
    command += ["--output", str(target), "--opset", str(_OPSET)]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if ended.returncode == 0 and target.exists():
        adapt.without_erfc(target)
        return
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line] or lines
    raise Refused(
        "ConversionFailed",
        f"tf2onnx cannot convert the model ({errors[-1][:200] if errors else 'no output'}): use "
        "operators that ONNX has, or another export of the model",
    )
