"""A source is opened only as what it is, and only if that is allowed and possible here."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from slipway_optimizer.convert.dispatch import convert
from slipway_optimizer.convert.order import ConvertOrder
from slipway_optimizer.failures import Refused
from tests.support.small_models import classifier


def refusal(folder: Path, name: str, data: bytes, **more: Any) -> tuple[str, str]:
    source = folder / "source.model"
    source.write_bytes(data)
    order = ConvertOrder.model_validate(
        {"modelFormat": name, "source": source, "target": folder / "out.onnx", **more}
    )
    with pytest.raises(Refused) as caught:
        convert(order)
    return caught.value.reason, str(caught.value)


def module(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02c__main__\nNet\nq\x00)\x81q\x01.")
    return (folder / "m.pt").read_bytes()


def test_a_file_of_another_format_is_refused_with_its_own(tmp_path: Path) -> None:
    found = refusal(tmp_path, "xgboost", classifier().SerializeToString())
    assert found == (
        "FormatMismatch",
        (
            "the model file is not xgboost but ONNX: set modelFormat to onnx, or storageUri to "
            "another file"
        ),
    )


@pytest.mark.parametrize("name", ["onnx", "sklearn", "pytorch", "tensorflow", "mindspore"])
def test_a_file_of_no_format_is_corrupt(name: str, tmp_path: Path) -> None:
    reason, message = refusal(tmp_path, name, b"hello")
    assert reason == "SourceCorrupt"
    assert f"not readable as {name}" in message


def test_a_pickled_module_is_not_opened_unless_that_is_allowed(tmp_path: Path) -> None:
    reason, message = refusal(tmp_path, "pytorch", module(tmp_path))
    assert reason == "SourceUntrusted"
    assert "save it with torch.export.save, or set spec.model.allowPickle" in message


@pytest.mark.parametrize(
    ("name", "data", "package"),
    [
        ("pytorch", None, "torch"),
        ("tensorflow", b"\x1c\x00\x00\x00TFL3" + bytes(64), "tensorflow"),
        ("mindspore", b"\x0a\x031.1\x12\x09MindSpore", "mindspore"),
    ],
)
def test_without_the_framework_the_image_that_has_it_is_named(
    name: str, data: bytes | None, package: str, tmp_path: Path
) -> None:
    reason, message = refusal(tmp_path, name, data or module(tmp_path), allowPickle=True)
    assert reason == "ConverterMissing"
    assert f"{package} is not installed here: pip install" in message
    assert f"the image slipway-optimizer-{package}" in message
