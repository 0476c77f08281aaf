"""What a model file is, by its bytes. Nothing is executed: pickles are scanned, never loaded."""

import json
import pickletools
import zipfile
import zlib
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

from slipway.api.v1alpha1.model import ModelFormatName

_HEAD_BYTES: Final = 1 << 16
_MAX_PICKLE: Final = 64 << 20
_TORCH_LEGACY: Final = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # in a pickle's start
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_TFLITE_MARK: Final = b"TFL3"
_MAX_SAFETENSORS_HEADER: Final = 100 << 20


class Kind(StrEnum):
    """Kinds of model files, as ``slipway inspect`` names them."""

    ONNX = "ONNX"
    SKOPS = "skops"
    PICKLE = "pickle"
    JOBLIB = "joblib"
    XGBOOST_JSON = "XGBoost JSON"
    XGBOOST_UBJ = "XGBoost UBJSON"
    LIGHTGBM = "LightGBM text"
    PT2 = "PyTorch exported program (.pt2)"
    TORCHSCRIPT = "TorchScript"
    STATE_DICT = "PyTorch state_dict"
    TORCH_MODULE = "whole PyTorch module (pickle)"
    SAFETENSORS = "safetensors"
    HUGGING_FACE = "Hugging Face model (safetensors and config.json)"
    SAVED_MODEL = "TensorFlow SavedModel"
    KERAS = "Keras 3 (.keras)"
    HDF5 = "Keras HDF5"
    TFLITE = "TFLite"
    MINDIR = "MindSpore MindIR"
    MINDSPORE_CHECKPOINT = "MindSpore checkpoint"
    UNKNOWN = "unknown"


FORMAT_OF: Final[dict[Kind, ModelFormatName]] = {
    Kind.ONNX: ModelFormatName.ONNX,
    Kind.SKOPS: ModelFormatName.SKLEARN,
    Kind.PICKLE: ModelFormatName.SKLEARN,
    Kind.JOBLIB: ModelFormatName.SKLEARN,
    Kind.XGBOOST_JSON: ModelFormatName.XGBOOST,
    Kind.XGBOOST_UBJ: ModelFormatName.XGBOOST,
    Kind.LIGHTGBM: ModelFormatName.LIGHTGBM,
    Kind.PT2: ModelFormatName.PYTORCH,
    Kind.TORCHSCRIPT: ModelFormatName.PYTORCH,
    Kind.STATE_DICT: ModelFormatName.PYTORCH,
    Kind.TORCH_MODULE: ModelFormatName.PYTORCH,
    Kind.SAFETENSORS: ModelFormatName.PYTORCH,
    Kind.HUGGING_FACE: ModelFormatName.PYTORCH,
    Kind.SAVED_MODEL: ModelFormatName.TENSORFLOW,
    Kind.KERAS: ModelFormatName.TENSORFLOW,
    Kind.HDF5: ModelFormatName.TENSORFLOW,
    Kind.TFLITE: ModelFormatName.TENSORFLOW,
    Kind.MINDIR: ModelFormatName.MINDSPORE,
    Kind.MINDSPORE_CHECKPOINT: ModelFormatName.MINDSPORE,
}
# Frameworks, and people's loaders, tell these apart by the file's name.
SUFFIX_OF: Final[dict[Kind, str]] = {
    Kind.PT2: ".pt2",
    Kind.TORCHSCRIPT: ".pt",
    Kind.STATE_DICT: ".pt",
    Kind.TORCH_MODULE: ".pt",
    Kind.SAFETENSORS: ".safetensors",
    Kind.KERAS: ".keras",
    Kind.HDF5: ".h5",
    Kind.TFLITE: ".tflite",
    Kind.MINDIR: ".mindir",
    Kind.MINDSPORE_CHECKPOINT: ".ckpt",
}
# Opened only with allowPickle: reading them runs what they say.
RUNS_CODE: Final = frozenset({Kind.PICKLE, Kind.JOBLIB, Kind.TORCH_MODULE})
NEEDS_LOADER: Final = frozenset({Kind.STATE_DICT, Kind.SAFETENSORS, Kind.MINDSPORE_CHECKPOINT})


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What was found.

    Attributes:
        path: the file that decides: in a folder, the model's own file or the folder itself.
        globals: what a pickle in it names, ``module.name``, sorted; unpickling may call each.
    """

    kind: Kind
    path: Path
    globals: tuple[str, ...] = ()


def sniff(path: Path) -> Sniffed:
    """Tell what a file or folder is.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"PK\x03\x04"):
        return _zipped(path)
    kind = _by_head(head, path)
    if kind is not None:
        return Sniffed(kind, path)
    if _pickled(head):
        return _bare_pickle(path, head)
    return Sniffed(_protobuf(path, head), path)


def is_model_folder(path: Path) -> bool:
    """Whether a folder as a whole is one model: a SavedModel, or one of Hugging Face."""
    return _folder_kind(path) is not None


def _folder_kind(path: Path) -> Kind | None:
    if (path / "saved_model.pb").is_file():
        return Kind.SAVED_MODEL
    if (path / "config.json").is_file() and any(path.glob("*.safetensors")):
        return Kind.HUGGING_FACE
    return None


def _folder(path: Path) -> Sniffed:
    kind = _folder_kind(path)
    if kind is not None:
        return Sniffed(kind, path)
    onnx = sorted(path.rglob("*.onnx"))
    chosen = [p for p in onnx if p.name == "model.onnx"] or onnx
    if len(chosen) == 1:
        return Sniffed(Kind.ONNX, chosen[0])
    inner = [p for p in sorted(path.iterdir()) if not p.name.startswith(".")]
    if len(inner) == 1:
        return sniff(inner[0])
    return Sniffed(Kind.UNKNOWN, path)


def _by_head(head: bytes, path: Path) -> Kind | None:
    if head.startswith(_HDF5):
        return Kind.HDF5
    if head[4:8] == _TFLITE_MARK:
        return Kind.TFLITE
    if _safetensors(head, path.stat().st_size):
        return Kind.SAFETENSORS
    if head.startswith(b"{L") and b"learner" in head:
        return Kind.XGBOOST_UBJ
    if head.lstrip()[:1] == b"{" and b'"learner"' in head:
        return Kind.XGBOOST_JSON
    if head.startswith(b"tree\n") and b"num_class=" in head:
        return Kind.LIGHTGBM
    return None


def _safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length <= min(size - 8, _MAX_SAFETENSORS_HEADER)


def _zipped(path: Path) -> Sniffed:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            inner = {name.partition("/")[2] for name in names}
            if "schema.json" in names:
                return Sniffed(Kind.SKOPS, path)
            if "config.json" in names and any(n.endswith(".weights.h5") for n in names):
                return Sniffed(Kind.KERAS, path)
            if "models/model.json" in inner or "serialized_exported_program.json" in names:
                return Sniffed(Kind.PT2, path)
            if "constants.pkl" in inner and any(n.startswith("code/") for n in inner):
                return Sniffed(Kind.TORCHSCRIPT, path)
            if "data.pkl" in inner:
                member = next(name for name in names if name.partition("/")[2] == "data.pkl")
                with archive.open(member) as file:
                    return _torch_pickle(path, globals_of(file))
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError):
        pass  # no readable archive: unknown
    return Sniffed(Kind.UNKNOWN, path)


def _torch_pickle(path: Path, found: tuple[str, ...]) -> Sniffed:
    """Weights name tensors and containers only; a module names its classes."""
    plain = all(
        name.startswith(("torch._utils._rebuild_", "torch.", "collections.OrderedDict", "numpy."))
        and not name.startswith(("torch.nn.modules", "torch.fx", "torch.jit"))
        for name in found
    )
    return Sniffed(Kind.STATE_DICT if plain else Kind.TORCH_MODULE, path, found)


def _pickled(head: bytes) -> bool:
    return (head[:1] == b"\x80" and head[1:2] <= b"\x05") or head[:2] in (
        b"\x78\x01",
        b"\x78\x5e",
        b"\x78\x9c",
        b"\x78\xda",
    )


def _bare_pickle(path: Path, head: bytes) -> Sniffed:
    if _TORCH_LEGACY in head[:64]:
        with path.open("rb") as file:
            found: set[str] = set()
            for _ in range(4):  # magic, protocol, system, and the object itself
                found |= set(globals_of(file))
        return _torch_pickle(path, tuple(sorted(found)))
    with path.open("rb") as file:
        if head[:1] == b"\x80":
            found_here = globals_of(file)
        else:
            try:
                text = zlib.decompressobj().decompress(file.read(_MAX_PICKLE), _MAX_PICKLE)
            except zlib.error:
                return Sniffed(Kind.UNKNOWN, path)
            found_here = _globals(text)
    by_joblib = head[:1] != b"\x80" or any(n.startswith("joblib.") for n in found_here)
    return Sniffed(Kind.JOBLIB if by_joblib else Kind.PICKLE, path, found_here)


def globals_of(file: IO[bytes]) -> tuple[str, ...]:
    """What a pickle names, without unpickling; of a broken one, what stands before the break."""
    return _globals(file)


def _globals(source: IO[bytes] | bytes) -> tuple[str, ...]:
    found: set[str] = set()
    strings: list[str] = []
    memo: dict[int, str] = {}
    try:
        for opcode, argument, _ in pickletools.genops(source):
            match opcode.name:
                case "GLOBAL" | "INST":
                    found.add(str(argument).replace(" ", "."))
                case "STACK_GLOBAL" if len(strings) >= 2:
                    found.add(".".join(strings[-2:]))
                case "MEMOIZE" if strings:
                    memo[len(memo)] = strings[-1]
                case "BINPUT" | "LONG_BINPUT" if strings:
                    memo[int(argument or 0)] = strings[-1]
                case "BINGET" | "LONG_BINGET":
                    strings.append(memo.get(int(argument or 0), "?"))
                case _:
                    if isinstance(argument, str):
                        strings.append(argument)
    except (ValueError, EOFError, IndexError):
        pass  # joblib writes arrays between opcodes: what came before them counts
    return tuple(sorted(found))


def _protobuf(path: Path, head: bytes) -> Kind:
    """ONNX starts with its version of the format; MindIR is a protobuf of another outline."""
    if head[:1] == b"\x08" and len(head) > 2 and head[1] < 32 and not _mindir(head):
        return Kind.ONNX
    if _mindir(head):
        return Kind.MINDIR
    if _checkpoint(head):
        return Kind.MINDSPORE_CHECKPOINT
    return Kind.ONNX if path.suffix == ".onnx" else Kind.UNKNOWN


def _mindir(head: bytes) -> bool:
    return b"MindSpore" in head[:64]


def _checkpoint(head: bytes) -> bool:
    """MindSpore's, by its checkpoint.proto: entries (field 1) of a name (1) and a tensor (2)."""
    size = 0
    try:
        for _ in ("entry", "name"):
            if head[:1] != b"\x0a":
                return False
            size, head = _varint(head[1:])
    except IndexError:
        return False
    return (
        head[:size].isascii() and head[:size].decode().isprintable() and head[size:][:1] == b"\x12"
    )


def _varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for place in range(10):
        value |= (data[place] & 0x7F) << 7 * place
        if not data[place] & 0x80:
            return value, data[place + 1 :]
    raise IndexError


def safetensors_header(path: Path) -> dict[str, dict[str, object]]:
    """Name -> dtype and shape of every tensor, without the values.

    Raises:
        ValueError: the header is not readable.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _MAX_SAFETENSORS_HEADER:
            raise ValueError("the header is too long")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("the header is no object")
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def named(found: Sniffed, folder: Path) -> Sniffed:
    """The same by a name that its framework takes: what was fetched has none of its own."""
    suffix = SUFFIX_OF.get(found.kind)
    if suffix is None or found.path.suffix == suffix:
        return found
    path = folder / f"source{suffix}"
    path.unlink(missing_ok=True)
    path.symlink_to(found.path.resolve())
    return replace(found, path=path)
