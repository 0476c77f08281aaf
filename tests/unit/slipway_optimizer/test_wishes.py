"""Gates and candidates as words."""

import argparse
import re

import pytest

from slipway.api.v1alpha1.optimization import (
    Calibration,
    Candidate,
    ExportFormat,
    Precision,
    Pruning,
    PruningMethod,
    PruningScope,
    Quantization,
    QuantizationMode,
    QuantizedOperator,
)
from slipway.api.v1alpha1.validation import Gate, GateMetric
from slipway.artifacts.words import ExecutionProvider
from slipway.errors import Invalid
from slipway_optimizer.optimize import add_arguments
from slipway_optimizer.wishes import as_options, parse_candidate, parse_exports, parse_gate


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "fast:provider=OpenVINO",
            Candidate(name="fast", execution_provider=ExecutionProvider.OPENVINO),
        ),
        (
            "int4:mode=WeightOnly,bits=4",
            Candidate(
                name="int4", quantization=Quantization(mode=QuantizationMode.WEIGHT_ONLY, bits=4)
            ),
        ),
        (
            "s:mode=Static,calibration=Entropy,perChannel=false,opTypes=Conv+Gemm,excludeNodes=/a",
            Candidate(
                name="s",
                quantization=Quantization(
                    mode=QuantizationMode.STATIC,
                    calibration=Calibration.ENTROPY,
                    per_channel=False,
                    op_types=(QuantizedOperator.CONV, QuantizedOperator.GEMM),
                    exclude_nodes=("/a",),
                ),
            ),
        ),
        (
            "slim:prune=Percentile/50/PerLayer/0.8,precision=FP16",
            Candidate(
                name="slim",
                precision=Precision.FP16,
                pruning=Pruning(
                    method=PruningMethod.PERCENTILE,
                    value="50",
                    scope=PruningScope.PER_LAYER,
                    max_per_layer="0.8",
                ),
            ),
        ),
    ],
)
def test_a_candidate_has_a_name_and_parts(text: str, expected: Candidate) -> None:
    assert parse_candidate(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("same:", "candidate same changes nothing"),
        ("same:provider=CPU", "candidate same changes nothing"),
        ("fast:provider=TPU", "'CPU', 'OpenVINO' or 'CUDA'"),
        ("a:mode=Fast", "quantization.mode: Input should be 'Dynamic'"),
        ("a:speed=1", "'speed' is none of mode, bits"),
        ("a:mode=Static,bits=4", "bits 4 needs mode WeightOnly"),
        ("a:mode=WeightOnly,bits=many", "quantization.bits: Input should be a valid integer"),
        ("A B:precision=FP16", "name: String should match pattern"),
        ("a:prune=Percentile", "pruning.value: Field required"),
    ],
)
def test_a_broken_candidate_is_refused_with_its_text(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        parse_candidate(text)
    assert f"--candidate '{text}'" in str(caught.value)


def test_exports_are_named_in_any_case_and_once() -> None:
    found = parse_exports(["tflite,SavedModel", "TFLite"])
    assert found == (ExportFormat.TFLITE, ExportFormat.SAVED_MODEL)


def test_an_unknown_export_is_refused_with_what_there_is() -> None:
    with pytest.raises(Invalid, match="'coreml' is none of tflite, savedmodel, pt2, mindspore"):
        parse_exports(["coreml"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("needs rows: set validation.dataset", "needs rows: set --dataset"),
        ("set validation.labels, or rename it", "set --labels, or rename it"),
        ("or validation.task: None", "or --task None"),
        ("check spec.validation.dataset.storageUri", "check --dataset"),
        ("set spec.model.allowPickle if you trust it", "set --allow-pickle if you trust it"),
        ("no output 'y' (spec.validation.output), but p", "no output 'y' (--judge), but p"),
        ("raise spec.job.resources.limits", "raise spec.job.resources.limits"),
        ("mymodel.inputs, model.inputs_2", "mymodel.inputs, model.inputs_2"),
    ],
)  # fmt: skip
def test_fields_of_the_resource_are_named_as_options(text: str, expected: str) -> None:
    assert as_options(text) == expected


def test_every_option_that_is_named_exists() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    fields = (
        "model.allowPickle model.inputs model.loader model.storageUri optimization.budget "
        "optimization.exports validation.dataset validation.gates validation.labels "
        "validation.output validation.slices validation.task"
    )
    named = re.findall(r"--[a-z-]+", as_options(fields))
    assert len(named) == len(fields.split())
    assert set(named) <= set(parser._option_string_actions)
