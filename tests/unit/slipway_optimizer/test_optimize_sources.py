"""What ``optimize`` makes of a source: a file or folder, its inputs, its loader."""

import argparse
from pathlib import Path

import pytest

from slipway.api.v1alpha1.model import InputDatatype, ModelFormatName, ModelInput
from slipway.errors import Invalid
from slipway.tasks import LoaderRequest, SourceRequest
from slipway_optimizer.optimize import add_arguments, request_of
from slipway_optimizer.wishes import parse_input


def source(*words: str) -> SourceRequest:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return request_of(parser.parse_args(["--output", "out", *words])).model


def test_what_is_there_says_its_format_itself(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"tree\nversion=v4\nnum_class=1\n")
    found = source("--model", str(tmp_path / "m.bin"))
    assert found == SourceRequest(
        uri=f"file://{tmp_path}/m.bin", model_format=ModelFormatName.LIGHTGBM
    )


def test_a_folder_is_named_with_a_slash(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    found = source("--model", str(tmp_path))
    assert (found.uri, found.model_format) == (f"file://{tmp_path}/", ModelFormatName.TENSORFLOW)


def test_a_loader_and_inputs_become_part_of_the_request(tmp_path: Path) -> None:
    words = ["--loader", str(tmp_path / "l.py"), "--loader-function", "make", "--allow-pickle"]
    found = source("--model", "s3://b/w.pt", "--input", "x:INT64[-1,8]", *words)
    assert found == SourceRequest(
        uri="s3://b/w.pt",
        model_format=ModelFormatName.PYTORCH,
        inputs=(ModelInput(name="x", datatype=InputDatatype.INT64, shape=(-1, 8)),),
        loader=LoaderRequest(uri=f"file://{tmp_path}/l.py", function="make"),
        allow_pickle=True,
    )


def test_an_input_without_a_type_is_of_floats() -> None:
    assert parse_input("image[-1,3,4]") == ModelInput(name="image", shape=(-1, 3, 4))


@pytest.mark.parametrize("text", ["x", "x[]", "x:FP32", "x:FLOAT[1]", "x[-2]", "x[1,a]", "[1]"])
def test_a_broken_input_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid, match=r"is not NAME:TYPE\[SIZES\]"):
        parse_input(text)
