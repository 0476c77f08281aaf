"""What a sweep takes for a model."""

from pathlib import Path

from slipway_optimizer.sweep import models_in


def test_files_are_known_by_suffix_or_bytes_and_folders_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "bert").mkdir()
    for name, data in {
        "a.onnx": b"anything",
        "b.txt": b"tree\nversion=v4\nnum_class=1\n",
        "c.txt": b"a readme",
        "d.json": b'{"learner": {}}',
        "e.json": b"{}",
        "bert/config.json": b"{}",
        "bert/model.safetensors": b"weights",
    }.items():
        (tmp_path / name).write_bytes(data)
    found = [path.relative_to(tmp_path).as_posix() for path in models_in(tmp_path, (".onnx",))]
    assert found == ["a.onnx", "b.txt", "bert", "d.json"]
