"""TensorFlow in every format: compared with the source, open for batches, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway_optimizer.session import Model
from tests.conversions.conftest import Framework

pytestmark = pytest.mark.timeout(300)


def answer(folder: Path, **feed: Any) -> Any:
    (scores,) = Model(folder / "model.onnx", threads=1).run(feed).values()
    return scores


@pytest.fixture(scope="module")
def expected(tensorflow: Framework, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("reference")
    assert tensorflow.convert("saved", folder).reason is None
    return answer(folder, image=IMAGES)


IMAGES = np.random.default_rng(1).random((5, 8, 8, 1), np.float32)


@pytest.mark.parametrize("source", ["saved", "net.keras", "net.h5", "net.tflite"])
def test_every_format_gives_the_same_answers_in_any_batch(
    source: str, tensorflow: Framework, expected: Any, tmp_path: Path
) -> None:
    found = tensorflow.convert(source, tmp_path)
    assert (found.reason, found.message) == (None, "")
    assert float(found.figures["max_difference"]) < 1e-5
    np.testing.assert_allclose(answer(tmp_path, image=IMAGES), expected, atol=1e-5)


def test_the_exact_gelu_of_keras_has_no_operator_of_its_own(
    tensorflow: Framework, tmp_path: Path
) -> None:
    found = tensorflow.convert("gelu.keras", tmp_path)
    assert (found.reason, found.message) == (None, "")
    assert float(found.figures["max_difference"]) < 1e-5


def test_a_saved_model_of_the_first_version_is_read_by_its_graph(
    tensorflow: Framework, tmp_path: Path
) -> None:
    found = tensorflow.convert("first", tmp_path)
    assert (found.reason, found.message) == (None, "")
    scores = answer(tmp_path, rows=np.ones((3, 4), np.float32))
    assert scores.tolist() == [[4.0, 4.0]] * 3


def test_code_in_a_keras_file_runs_only_when_that_is_allowed(
    tensorflow: Framework, tmp_path: Path
) -> None:
    found = tensorflow.convert("lambda.keras", tmp_path)
    assert found.reason == "SourceUntrusted"
    assert "Lambda layers, which run code when it is opened" in found.message
    assert tensorflow.convert("lambda.keras", tmp_path, allowPickle=True).reason is None


def test_half_a_file_is_corrupt(tensorflow: Framework, tmp_path: Path) -> None:
    whole = (tensorflow.models / "net.h5").read_bytes()
    (tmp_path / "half.h5").write_bytes(whole[: len(whole) // 2])
    found = tensorflow.convert(tmp_path / "half.h5", tmp_path)
    assert found.reason == "SourceCorrupt"
    assert "not readable by Keras" in found.message
