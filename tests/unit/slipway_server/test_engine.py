"""What ONNX Runtime's build here cannot run is refused, and not run by something else."""

from pathlib import Path

import onnxruntime as ort
import pytest

from slipway.artifacts.words import ExecutionProvider
from slipway.errors import Invalid
from slipway_server.engine import OnnxSession
from tests.support.small_models import classifier, save

ABSENT = [
    provider
    for provider in ExecutionProvider
    if provider.runtime_name not in ort.get_available_providers()
]


@pytest.mark.parametrize("provider", ABSENT)
def test_a_provider_that_is_not_here_is_refused_with_the_image_that_has_it(
    provider: ExecutionProvider, tmp_path: Path
) -> None:
    model = save(tmp_path / "m.onnx", classifier())
    words = f"measured on {provider}, which this server lacks: use the image slipway-server-"
    with pytest.raises(Invalid, match=words + provider.lower()):
        OnnxSession(model, threads=1, provider=provider)


def test_the_cpu_is_everywhere(tmp_path: Path) -> None:
    assert OnnxSession(save(tmp_path / "m.onnx", classifier()), threads=1).inputs[0].name == "x"
