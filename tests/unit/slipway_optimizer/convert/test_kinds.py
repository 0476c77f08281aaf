"""A file's kind is read from its bytes, and nothing in it is run."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from slipway_optimizer.convert.kinds import FORMAT_OF, Kind, safetensors_header, sniff
from tests.support.small_models import classifier, save

FITTED = LogisticRegression().fit([[0.0], [1.0]], [0, 1])


def archive(*names: str, data: bytes = b"{}") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name in names:
            file.writestr(name, data)
    return held.getvalue()


def dumped(write: Callable[[Any, Any], Any]) -> bytes:
    held = io.BytesIO()
    write(FITTED, held)
    return held.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


def module_pickle() -> bytes:
    return b"\x80\x02c__main__\nNet\nq\x00)\x81q\x01."


WEIGHTS = pickle.dumps(OrderedDict(w=1), protocol=2)
FILES: dict[str, tuple[bytes, Kind]] = {
    "onnx": (classifier().SerializeToString(), Kind.ONNX),
    "pickle": (dumped(pickle.dump), Kind.PICKLE),
    "joblib": (dumped(joblib.dump), Kind.JOBLIB),
    "skops": (skops.io.dumps(FITTED), Kind.SKOPS),
    "xgboost json": (b'{"learner":{"attributes":{}}}', Kind.XGBOOST_JSON),
    "xgboost ubj": (b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{", Kind.XGBOOST_UBJ),
    "lightgbm": (b"tree\nversion=v4\nnum_class=1\n", Kind.LIGHTGBM),
    "pt2": (archive("m/models/model.json", "m/version"), Kind.PT2),
    "older pt2": (archive("serialized_exported_program.json"), Kind.PT2),
    "torchscript": (archive("m/data.pkl", "m/constants.pkl", "m/code/x.py"), Kind.TORCHSCRIPT),
    "weights": (archive("m/data.pkl", "m/data/0", data=WEIGHTS), Kind.STATE_DICT),
    "module": (archive("m/data.pkl", data=module_pickle()), Kind.TORCH_MODULE),
    "safetensors": (safetensors(), Kind.SAFETENSORS),
    "keras": (archive("config.json", "model.weights.h5"), Kind.KERAS),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(64), Kind.HDF5),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(64), Kind.TFLITE),
    "mindir": (b"\x0a\x031.1\x12\x09MindSpore", Kind.MINDIR),
    "checkpoint": (
        b"\x0a\x1b\x0a\x0cdense.weight\x12\x0b\x08\x03\x12\x07Float32",
        Kind.MINDSPORE_CHECKPOINT,
    ),
    "half a checkpoint": (b"\x0a\x80", Kind.UNKNOWN),
    "text": (b"hello", Kind.UNKNOWN),
    "nothing": (b"", Kind.UNKNOWN),
    "any archive": (archive("a.txt"), Kind.UNKNOWN),
    "half an archive": (archive("m/data.pkl")[:40], Kind.UNKNOWN),
}


@pytest.mark.parametrize(("data", "kind"), FILES.values(), ids=FILES)
def test_the_bytes_tell(data: bytes, kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "source.model"
    path.write_bytes(data)
    assert sniff(path).kind is kind


def test_every_kind_has_a_format() -> None:
    assert set(FORMAT_OF) == set(Kind) - {Kind.UNKNOWN}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_a_pickle_would_call_is_named_and_not_called(protocol: int, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    data = pickle.dumps(Trap(), protocol=protocol)
    path = tmp_path / "m.pt"
    path.write_bytes(archive("m/data.pkl", data=data))
    found = sniff(path)
    assert found.kind is Kind.TORCH_MODULE
    assert found.globals == (f"{os.mkdir.__module__}.mkdir",)
    assert not (tmp_path / "sprung").exists()


def test_a_joblib_file_names_its_classes(tmp_path: Path) -> None:
    joblib.dump(FITTED, tmp_path / "m", compress=3)
    assert "sklearn.linear_model._logistic.LogisticRegression" in sniff(tmp_path / "m").globals


def test_folders_are_known_by_their_files(tmp_path: Path) -> None:
    def folder(name: str, *files: str) -> Path:
        place = tmp_path / name
        place.mkdir()
        for file in files:
            (place / file).write_bytes(b"x")
        return place

    assert sniff(folder("a", "saved_model.pb")).kind is Kind.SAVED_MODEL
    assert sniff(folder("b", "config.json", "model.safetensors")).kind is Kind.HUGGING_FACE
    assert sniff(folder("c", "a.onnx", "b.onnx")).kind is Kind.UNKNOWN
    assert sniff(folder("d", "model.onnx", "b.onnx")).path.name == "model.onnx"
    nested = folder("e") / "inner"
    nested.mkdir()
    save(nested / "net.onnx", classifier())
    assert (sniff(tmp_path / "e").kind, sniff(tmp_path / "e").path.name) == (Kind.ONNX, "net.onnx")


def test_a_header_of_safetensors_is_read_without_values(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors())
    assert list(safetensors_header(path)) == ["w"]
    path.write_bytes(struct.pack("<Q", 1 << 40) + b"{")
    with pytest.raises(ValueError, match="too long"):
        safetensors_header(path)


@pytest.mark.parametrize("seed", range(30))
def test_no_bytes_are_too_odd_to_be_looked_at(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    name = list(FILES)[seed % len(FILES)]
    data = bytearray(FILES[name][0])
    for place in random.integers(0, max(1, len(data)), 8) if data else []:
        data[place] = random.integers(256)
    path = tmp_path / "m"
    path.write_bytes(bytes(data))
    assert sniff(path).kind in set(Kind)
