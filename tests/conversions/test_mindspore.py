"""MindSpore: a checkpoint with its loader, or a refusal."""

from pathlib import Path

import numpy as np
import pytest

from slipway_optimizer.session import Model
from tests.conversions.conftest import Framework

pytestmark = pytest.mark.timeout(300)


def test_a_checkpoint_with_a_loader_is_converted_and_its_batch_opened(
    mindspore: Framework, tmp_path: Path
) -> None:
    rows = [{"name": "rows", "shape": [-1, 4]}]
    loader = mindspore.models / "load.py"
    found = mindspore.convert("net.ckpt", tmp_path, loader=loader, inputs=rows)
    assert (found.reason, found.message) == (None, "")
    assert found.notes == ("batch size 1 opened: equal answers for batches of 1 and more",)
    answers = Model(tmp_path / "model.onnx", threads=1).run({"rows": np.ones((3, 4), np.float32)})
    assert [value.shape for value in answers.values()] == [(3, 3)]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("net.ckpt", "checkpoint, which holds weights and no model"),
        ("net.mindir", "MindIR, which MindSpore cannot export to ONNX: upload the checkpoint"),
    ],
)
def test_without_a_loader_the_remedy_is_named(
    source: str, words: str, mindspore: Framework, tmp_path: Path
) -> None:
    found = mindspore.convert(source, tmp_path)
    assert found.reason == "LoaderNeeded"
    assert words in found.message
