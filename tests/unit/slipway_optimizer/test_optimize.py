"""From command-line words to the operator's request."""

import argparse
from pathlib import Path

import pytest

from slipway.api.v1alpha1.model import ModelFormatName
from slipway.api.v1alpha1.validation import Gate, GateMetric
from slipway.errors import Invalid
from slipway_optimizer.optimize import add_arguments, as_uri, parse_gate, request_of


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--model", "m.onnx", "--output", "out", *words])


def test_a_gate_has_a_metric_and_bounds() -> None:
    assert parse_gate("accuracy:min=0.9,maxDegradation=0.005") == Gate(
        name="accuracy", metric=GateMetric.ACCURACY, min="0.9", max_degradation="0.005"
    )
    assert parse_gate("latency_p95_ms:max=25").name == "latency-p95-ms"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("accuracy", "bounds nothing"),
        ("accuracy:least=1", "'least' is none of min, max, maxDegradation"),
        ("speed:max=1", "Input should be 'accuracy'"),
        ("accuracy:min=high", "String should match pattern"),
        ("accuracy:min=2,max=1", "can never pass"),
    ],
)
def test_a_broken_gate_is_refused_with_its_text(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        parse_gate(text)
    assert f"--gate '{text}'" in str(caught.value)


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
