"""What a step with credentials takes from steps that ran users' models."""

import os
from pathlib import Path

import pytest

from slipway.contract import Step
from slipway.errors import Invalid
from slipway_optimizer.workdir import ValidateRecord, WorkDir

RECORD = ValidateRecord(picked="int8", seconds=1.5)


def test_a_record_comes_back_as_it_was_left(tmp_path: Path) -> None:
    work = WorkDir(tmp_path / "new")
    work.write(Step.VALIDATE, RECORD)
    assert work.read(Step.VALIDATE, ValidateRecord) == RECORD
    work.forget(Step.VALIDATE)
    with pytest.raises(Invalid, match="record of step validate is missing"):
        work.read(Step.VALIDATE, ValidateRecord)


def test_a_record_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "validate.json").write_text('{"picked": 3, "more": 1}')
    with pytest.raises(Invalid, match="missing or unreadable"):
        WorkDir(tmp_path).read(Step.VALIDATE, ValidateRecord)


def test_links_to_secrets_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    work = WorkDir(tmp_path / "work")
    work.artifact.mkdir(parents=True)
    (work.artifact / "model.onnx").symlink_to(secret)
    os.link(secret, work.artifact / "golden.npz")
    (work.root / "linked").symlink_to(tmp_path)
    for path, words in (
        (work.artifact / "model.onnx", "is a link"),
        (work.artifact / "golden.npz", "is not a regular file"),
        (work.root / "linked" / "secret", "is a link"),
        (work.root / ".." / "secret", "is a link"),
    ):
        with pytest.raises(Invalid, match=words):
            work.open_bytes(path, limit=100)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 11)
    with pytest.raises(Invalid, match="larger than 10 bytes"):
        WorkDir(tmp_path).open_bytes(tmp_path.resolve() / "big", limit=10)
