"""From command-line words to the operator's request."""

import argparse
from pathlib import Path

import pytest

from slipway.api.v1alpha1.model import ModelFormatName
from slipway.errors import Invalid
from slipway_optimizer.optimize import add_arguments, as_uri, request_of


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--model", "m.onnx", "--output", "out", *words])


def test_the_suffix_says_the_format(tmp_path: Path) -> None:
    request = request_of(options("--threads", "3", "--dataset", str(tmp_path / "d x.npz")))
    assert request.model.model_format is ModelFormatName.ONNX
    assert request.threads == 3
    assert request.validation.dataset is not None
    assert request.validation.dataset.storage_uri == f"file://{tmp_path}/d%20x.npz"
    assert as_uri("s3://b/k") == "s3://b/k"


def test_an_unknown_suffix_asks_for_the_format() -> None:
    chosen = options()
    chosen.model = "m.bin"
    with pytest.raises(Invalid, match=r"ends in '\.bin': say what it is with --format"):
        request_of(chosen)


def test_gates_on_labels_need_a_data_set() -> None:
    with pytest.raises(Invalid, match=r"need validation\.dataset with labels"):
        request_of(options("--gate", "accuracy:min=0.9"))
