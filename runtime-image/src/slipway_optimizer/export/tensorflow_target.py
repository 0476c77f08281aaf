"""Writes a SavedModel and a TFLite file: a function that walks the ONNX program, traced once."""

import os
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import tensorflow as tf

from slipway_optimizer.arrays import Arrays, rows_of, take
from slipway_optimizer.export import walk
from slipway_optimizer.export.arguments import Operator
from slipway_optimizer.export.program import Program
from slipway_optimizer.export.tensorflow_operators import OPERATORS, TFLITE_OPERATORS
from slipway_optimizer.export.tensorflow_values import Weight, Weights, shape_of, tensor
from slipway_optimizer.failures import Refused
from slipway_optimizer.tensors import DYNAMIC, NUMPY_OF

_SIGNATURE: Final = "serving_default"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_MISSING: Final = re.compile(r"tf\.([A-Z]\w+)")


class _Traced(tf.Module):  # type: ignore[misc] # tensorflow has no types
    """The program as a function of named tensors.

    Attributes:
        names: ONNX name -> name in TensorFlow, of inputs and outputs.
    """

    def __init__(
        self, program: Program, operators: Mapping[str, Operator], fixed: Arrays | None = None
    ) -> None:
        super().__init__()
        signature = program.signature
        self.names = _plain([t.name for t in (*signature.inputs, *signature.outputs)])
        self._weights = Weights()
        held = {n: Weight(a, self._weights) for n, a in walk.held_by_target(program).items()}

        def answer(**given: Any) -> dict[str, Any]:
            asked = {t.name: given[self.names[t.name]] for t in signature.inputs}
            found = walk.run(program, asked | held, operators, shape_of)
            return {
                self.names[name]: tf.identity(tensor(value), name=self.names[name])
                for name, value in found.items()
            }

        specs = {
            self.names[t.name]: tf.TensorSpec(
                fixed[t.name].shape
                if fixed is not None
                else [None if size == DYNAMIC else size for size in t.shape],
                NUMPY_OF[t.datatype],
                name=self.names[t.name],
            )
            for t in signature.inputs
        }
        self.function = tf.function(answer, autograph=False)
        self.concrete = self.function.get_concrete_function(**specs)
        self.variables_held = self._weights.variables  # tf.Module saves what its attributes hold


def _plain(names: list[str]) -> dict[str, str]:
    """Names that a TensorFlow graph may have."""
    plain = {name: re.sub(r"[^A-Za-z0-9_]", "_", name) for name in names}
    plain = {name: text if text[:1].isalpha() else f"t_{text}" for name, text in plain.items()}
    if len(set(plain.values())) < len(plain):
        plain = {name: f"{text}_{number}" for number, (name, text) in enumerate(plain.items())}
    return plain


def write_saved_model(program: Program, target: Path, scratch: Path) -> tuple[str, ...]:
    """Write a folder and zip it into ``target``.

    Raises:
        Refused: ``ExportUnsupported``, ``ExportFailed``.
    """
    folder = scratch / "saved_model"
    try:
        traced = _Traced(program, OPERATORS)
        signatures = {_SIGNATURE: traced.concrete}
        tf.saved_model.save(traced, str(folder), signatures=signatures)
    except Refused:
        raise
    except Exception as error:
        raise _failed("SavedModel", error) from error
    _zip(folder, target)
    return ()


def _zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), date_time=_EPOCH)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as out, path.open("rb") as file:
                while block := file.read(1 << 20):
                    out.write(block)


def write_tflite(program: Program, target: Path, rows: Arrays) -> tuple[str, ...]:
    """Write a TFLite file of built-in operators: open in its batch, or for single rows.

    Raises:
        Refused: ``ExportUnsupported``, ``ExportFailed``.
    """
    try:
        data = _tflite(program, None)
        _run(data, program, take(rows, slice(0, min(2, rows_of(rows)))))
        notes: tuple[str, ...] = ()
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - the second way decides
        data = _fixed_tflite(program, rows)
        notes = (f"TFLite: sizes fixed to those of one row ({_words(error)})",)
    target.write_bytes(data)
    return notes


def _fixed_tflite(program: Program, rows: Arrays) -> bytes:
    try:
        return _tflite(program, take(rows, slice(0, 1)))
    except Refused:
        raise
    except Exception as error:
        raise _failed("TFLite", error) from error


def _tflite(program: Program, fixed: Arrays | None) -> bytes:
    traced = _Traced(program, TFLITE_OPERATORS, fixed)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced.concrete], traced)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(converter.convert())


def saved_model_asker(path: Path, program: Program, scratch: Path) -> Callable[[Arrays], Arrays]:
    """Answers of the file as it was written."""
    folder = scratch / "unpacked"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    loaded = tf.saved_model.load(str(folder))
    function, names = loaded.signatures[_SIGNATURE], _names(program)

    def ask(rows: Arrays) -> Arrays:
        given = {names[t.name]: tf.constant(rows[t.name]) for t in program.signature.inputs}
        found = function(**given)
        return {t.name: found[names[t.name]].numpy() for t in program.signature.outputs}

    ask.keep = loaded  # type: ignore[attr-defined] # its variables live as long as it
    return ask


def ask_tflite(path: Path, program: Program, rows: Arrays) -> Arrays:
    """The answers of the file as it was written."""
    return _run(path.read_bytes(), program, rows)


def _run(data: bytes, program: Program, rows: Arrays) -> Arrays:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it moves to a package of its own some day
        interpreter = tf.lite.Interpreter(model_content=data)
    details = {d["name"].split(":")[0].removeprefix(f"{_SIGNATURE}_"): d
               for d in interpreter.get_input_details()}  # fmt: skip
    names = _names(program)
    for asked in program.signature.inputs:
        shape = rows[asked.name].shape
        interpreter.resize_tensor_input(details[names[asked.name]]["index"], shape, strict=True)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    found = runner(**{names[t.name]: rows[t.name] for t in program.signature.inputs})
    return {t.name: found[names[t.name]] for t in program.signature.outputs}


def _names(program: Program) -> dict[str, str]:
    signature = program.signature
    return _plain([t.name for t in (*signature.inputs, *signature.outputs)])


def _failed(what: str, error: Exception) -> Refused:
    missing = sorted(set(_MISSING.findall(str(error))))
    if what == "TFLite" and missing and "native" in str(error):
        return Refused(
            "ExportUnsupported",
            f"TFLite has no built-in operator for {', '.join(missing)[:120]}: leave TFLite out of "
            "spec.optimization.exports, or replace them in the model",
        )
    return Refused(
        "ExportFailed",
        f"TensorFlow cannot write the {what} ({_words(error)}): leave it out of "
        "spec.optimization.exports",
    )


def _words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:160]
