"""A variant's file says what runs it."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from slipway.artifacts.words import ExecutionProvider
from slipway_optimizer import session
from slipway_optimizer.failures import Refused
from slipway_optimizer.providers import file_name, provider_of, runtime_options
from slipway_optimizer.session import Model
from tests.support.small_models import classifier, save


@pytest.mark.parametrize("provider", ExecutionProvider)
def test_a_file_s_name_tells_its_provider(provider: ExecutionProvider) -> None:
    assert provider_of(Path("folder") / file_name("fast", provider)) is provider


def test_other_names_are_the_cpu_s() -> None:
    assert file_name("fp32", ExecutionProvider.CPU) == "fp32.onnx"
    for name in ("model.onnx", "converted.open.onnx", "v1.2.onnx", "model"):
        assert provider_of(Path(name)) is ExecutionProvider.CPU


def test_openvino_gets_the_threads_that_serve() -> None:
    options = runtime_options(ExecutionProvider.OPENVINO, 3)
    assert options == {"device_type": "CPU", "num_of_threads": "3"}
    assert runtime_options(ExecutionProvider.CPU, 3) == {}


@pytest.mark.parametrize(
    "provider",
    [p for p in ExecutionProvider if p.runtime_name not in ort.get_available_providers()],
)
def test_what_is_not_here_is_refused_with_the_image_that_has_it(
    provider: ExecutionProvider, tmp_path: Path
) -> None:
    path = save(tmp_path / file_name("fast", provider), classifier())
    words = f"{provider} is not available in this image: run the optimization in the image"
    with pytest.raises(Refused, match=words) as caught:
        Model(path, threads=1)
    assert caught.value.reason == "ProviderMissing"
    assert Model(path, threads=1, provider=ExecutionProvider.CPU).run(
        {"x": np.zeros((1, 8), np.float32)}
    )


def test_openvino_s_words_are_told_without_the_signatures_of_c() -> None:
    error = RuntimeError(
        "[ONNXRuntimeError] : 1 : FAIL : /onnxruntime/backend.cc:136 openvino_ep::Backend(Args&&) "
        "[OpenVINO-EP] Exception while Reading network: Check failed at src/frontend.cpp:221:\n"
        "FrontEnd API failed with GeneralFailure:\nThe number of scales must match\n\n"
    )
    assert session._reason(error) == (
        "Exception while Reading network: Check failed at src/frontend.cpp:221: The number of "
        "scales must match"
    )
