"""Weights in a file beside the graph: what one protobuf message cannot hold. onnx's owner file.

A model of more than 2 GiB keeps its large tensors in one data file from the conversion on. Rewrites
touch the graph alone, and every variant of it refers to the same data, so nothing is copied.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import onnx
from google.protobuf.message import Message
from onnx import TensorProto, external_data_helper

from slipway_optimizer.failures import Refused

# What one protobuf message can hold, less some room for what rewrites add.
ONE_FILE: Final = (2 << 30) - (16 << 20)
_SMALL: Final = 64 << 10  # bytes; smaller tensors come into the graph: rewrites read their values
_PAGE: Final = 4096  # offsets that can be mapped
_PIECE: Final = 16 << 20
_UNREADABLE: Final = (
    "the model's external data cannot be read: upload the model and all its data files into one "
    "folder, and let storageUri name the folder, with a / at its end"
)


def messages(message: Message) -> Iterator[Message]:
    """The message and all messages in it, wherever they hide. Iterative: graphs nest deeply."""
    waiting = [message]
    while waiting:
        current = waiting.pop()
        yield current
        for field, value in current.ListFields():
            if field.type != field.TYPE_MESSAGE:
                continue
            waiting.extend(value if field.is_repeated else [value])


def tensors_outside(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Tensors whose values are not in the graph."""
    for message in messages(model):
        if isinstance(message, onnx.TensorProto) and (
            message.data_location == TensorProto.EXTERNAL or message.external_data
        ):
            yield message


def bytes_outside(tensor: onnx.TensorProto, folder: Path) -> int:
    """How many bytes of a file of this folder it takes.

    Raises:
        Refused: ``ExternalDataMissing``: there is no such plain file beside the graph.
    """
    entries = _entries(tensor)
    location = entries.get("location", "")
    file = folder / location
    plain = location and Path(location).name == location and not file.is_symlink()
    if not plain or not file.is_file():
        raise Refused(
            "ExternalDataMissing",
            f"tensor '{tensor.name}' lies in '{location[:80]}', which is not beside the model: "
            "upload the model and all its data files into one folder, and let storageUri name the "
            "folder, with a / at its end",
        )
    length, offset = _length(entries, file), int(entries.get("offset") or 0)
    if not 0 <= offset <= offset + length <= file.stat().st_size:
        raise Refused("ExternalDataMissing", _UNREADABLE)
    return length


def take_in(model: onnx.ModelProto, folder: Path, *, size: int, most: int = ONE_FILE) -> int:
    """Read the values of tensors that lie in files of this folder, as far as one file may hold.

    Args:
        model: what was parsed; it is changed.
        folder: of the graph's file.
        size: of that file.
        most: bytes in all up to which everything is taken in; above, only small tensors are.

    Returns:
        How many bytes lay outside.

    Raises:
        Refused: ``ExternalDataMissing`` for files that are absent, short, or in another folder.
    """
    tensors = list(tensors_outside(model))
    sizes = [bytes_outside(tensor, folder) for tensor in tensors]
    whole = size + sum(sizes) <= most
    for tensor, length in zip(tensors, sizes, strict=True):
        if whole or length <= _SMALL:
            _read(tensor, folder)
    return sum(sizes)


def _read(tensor: onnx.TensorProto, folder: Path) -> None:
    try:
        external_data_helper.load_external_data_for_tensor(tensor, str(folder))
    except Exception as error:  # onnx raises what its checks and the file system raise
        raise Refused("ExternalDataMissing", _UNREADABLE) from error
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def write(model: onnx.ModelProto, target: Path, *, folder: Path) -> None:
    """Write a model; what still lies in files of ``folder`` goes, piece by piece, into one file.

    Args:
        model: its tensors outside are changed to name the new file, ``{target.name}.data``; where
            that is the folder of the target already, they keep the file that they have.
        target: a new file.
        folder: of the file that was parsed.

    Raises:
        Refused: ``ExternalDataMissing``: the data is shorter than the graph says.
    """
    outside = list(tensors_outside(model))
    if outside and folder != target.parent:
        data = target.with_name(f"{target.name}.data")
        with data.open("wb") as file:
            for tensor in outside:
                file.seek(-file.tell() % _PAGE, os.SEEK_CUR)
                offset = file.tell()
                length = _append(tensor, folder, file)
                _place(tensor, location=data.name, offset=str(offset), length=str(length))
    target.write_bytes(model.SerializeToString())


def _place(tensor: onnx.TensorProto, **entries: str) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    tensor.external_data.extend(
        onnx.StringStringEntryProto(key=key, value=value) for key, value in entries.items()
    )


def _append(tensor: onnx.TensorProto, folder: Path, target: IO[bytes]) -> int:
    entries = _entries(tensor)
    with (folder / entries["location"]).open("rb") as source:
        source.seek(int(entries.get("offset") or 0))
        left = length = bytes_outside(tensor, folder)
        while left:
            piece = source.read(min(left, _PIECE))
            if not piece:
                raise Refused("ExternalDataMissing", _UNREADABLE)
            target.write(piece)
            left -= len(piece)
    return length


def save(model: onnx.ModelProto, target: Path) -> None:
    """Write a model that is in memory as a whole: in one file where it fits, else in two."""
    data = target.with_name(f"{target.name}.data")
    data.unlink(missing_ok=True)  # onnx would append
    if sum(tensor_bytes(tensor) for tensor in model.graph.initializer) <= ONE_FILE:
        onnx.save_model(model, target)
        return
    onnx.save_model(
        model,
        target,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data.name,
        size_threshold=_SMALL,
    )


def pack(path: Path) -> None:
    """Take into the file what lies beside it, if it fits by now."""
    if is_large(path):
        save(onnx.load_model(path), path)


def copy(source: Path, target: Path) -> None:
    """The graph as another file, its data with it where that is another folder."""
    shutil.copyfile(source, target)
    if source.parent != target.parent:
        for name in _names(source):
            # onnx refuses links, hard ones too.
            shutil.copyfile(source.with_name(name), target.with_name(name))


def parts(path: Path) -> tuple[Path, ...]:
    """The graph's file and the files that hold its data."""
    return (path, *(path.with_name(name) for name in _names(path)))


def size_of(path: Path) -> int:
    """Bytes of the model, its data included."""
    return sum(part.stat().st_size for part in parts(path))


def is_large(path: Path) -> bool:
    """Whether the model has data outside its file."""
    return bool(_names(path))


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Of its values, wherever they lie."""
    length = _entries(tensor).get("length", "")
    return int(length) if length.isdecimal() else tensor.ByteSize()


def _names(path: Path) -> list[str]:
    if not any(path.parent.glob("*.data")):
        return []  # spares parsing: what we write outside is called so
    model = onnx.load_model(path, load_external_data=False)
    return sorted({_entries(tensor)["location"] for tensor in tensors_outside(model)})


def _entries(tensor: onnx.TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _length(entries: dict[str, str], file: Path) -> int:
    length = entries.get("length", "")
    if length.isdecimal():
        return int(length)
    return file.stat().st_size - int(entries.get("offset") or 0)
