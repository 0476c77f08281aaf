"""Whatever is wrong with a model or a data set ends a step with its reason, never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper
from sklearn.preprocessing import FunctionTransformer

from slipway.artifacts.manifest import Verdict
from slipway.contract import ExitCode, Step
from slipway.tasks import JobReport, StepFailure
from tests.edges.optimizer.jobs import JobRunner, dataset
from tests.support.small_models import classifier, model_of, rows, save, save_rows


def refusal(job: JobRunner, *steps: Step) -> tuple[str, str]:
    end = job.run_here(*steps)
    failure = end.message
    assert isinstance(failure, StepFailure)
    assert (end.code, failure.transient) == (ExitCode.INVALID, False)
    return failure.reason, failure.message


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        pytest.param(
            {"model": {"uri": "file:///nowhere/m.onnx", "modelFormat": "onnx"}},
            "SourceNotFound",
            "model file:///nowhere/m.onnx does not exist: check spec.model.storageUri",
            id="no model",
        ),
        pytest.param(
            {"validation": {"dataset": {"storageUri": "file:///nowhere/d.npz"}}},
            "DatasetNotFound",
            "data set file:///nowhere/d.npz does not exist: check "
            "spec.validation.dataset.storageUri",
            id="no data set",
        ),
        pytest.param(
            {"validation": {"task": "None", "dataset": {"storageUri": "file:///d"}, "gates": [
                {"name": "a", "metric": "accuracy", "min": "0.5"}]}},
            "GateInvalid", "gate a is on accuracy, but task None has no labels", id="gate",
        ),
        pytest.param({"threads": "many"}, "RequestInvalid", "valid integer", id="request"),
    ],
)  # fmt: skip
def test_fetch_names_what_is_missing(
    small: Path, job: JobRunner, changes: dict[str, Any], reason: str, words: str
) -> None:
    job.request((small / "m.onnx").as_uri(), (job.folder / "s").as_uri(), **changes)
    found = refusal(job, Step.FETCH)
    assert found[0] == reason
    assert words in found[1]


def test_other_bytes_than_the_pinned_ones_are_refused(small: Path, job: JobRunner) -> None:
    pin = "sha256:" + "0" * 64
    model = {"uri": (small / "m.onnx").as_uri(), "modelFormat": "onnx", "digest": pin}
    job.request("m.onnx", (job.folder / "s").as_uri(), model=model)
    reason, message = refusal(job, Step.FETCH)
    assert reason == "DigestMismatch"
    assert f"pins {pin}: restore the file or change the pin" in message


def test_an_unreadable_manifest_in_the_cache_is_said(small: Path, job: JobRunner) -> None:
    job.request((small / "m.onnx").as_uri(), (job.folder / "s").as_uri())
    assert job.step_here(Step.FETCH).code == ExitCode.OK
    key = json.loads((job.work / "fetch.json").read_text())["inputKey"]
    place = job.folder / "s" / "manifests" / key
    place.mkdir(parents=True)
    (place / "manifest.json").write_text("{}")
    assert refusal(job, Step.FETCH)[0] == "ManifestCorrupt"


def broken_reshape() -> onnx.ModelProto:
    return classifier(
        helper.make_node("Reshape", ["probabilities", "shape"], ["p"]),
        shape=np.array([7, 7], np.int64),
    )


def swallowing_rows() -> onnx.ModelProto:
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=0)
    return model_of(
        [node],
        inputs={"x": (TensorProto.FLOAT, ["n", 8])},
        outputs={"y": (TensorProto.FLOAT, ["n"])},
    )


def text_to_numbers() -> onnx.ModelProto:
    return model_of(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        inputs={"x": (TensorProto.STRING, ["n", 8])},
        outputs={"y": (TensorProto.FLOAT, ["n", 8])},
    )


def always_nan() -> onnx.ModelProto:
    return classifier(
        helper.make_node("Log", ["minus"], ["p"]), minus=np.full((1, 3), -1, np.float32)
    )


@pytest.mark.parametrize(
    ("model", "reason", "words"),
    [
        pytest.param(b"not a model", "SourceCorrupt", "not readable as onnx", id="not a model"),
        pytest.param(
            broken_reshape, "DatasetNeeded", "the model refuses generated inputs", id="reshape"
        ),
        pytest.param(
            swallowing_rows, "SignatureUnsupported", "first dimension is the batch", id="no batch"
        ),
        pytest.param(text_to_numbers, "DatasetNeeded", "'x' takes text", id="text"),
        pytest.param(always_nan, "DatasetNeeded", "NaN or infinity", id="NaN everywhere"),
    ],
)
def test_build_says_what_is_wrong_with_a_model(
    job: JobRunner,
    tmp_path: Path,
    model: bytes | Callable[[], onnx.ModelProto],
    reason: str,
    words: str,
) -> None:
    path = tmp_path / "m.onnx"
    if isinstance(model, bytes):
        path.write_bytes(model)
    else:
        save(path, model())
    job.request(path.as_uri(), (job.folder / "s").as_uri())
    found = refusal(job, Step.FETCH, Step.BUILD)
    assert found[0] == reason
    assert words in found[1]


def without_x(arrays: dict[str, Any]) -> dict[str, Any]:
    return {"X": arrays["x"], "labels": arrays["labels"]}


def with_nan(arrays: dict[str, Any]) -> dict[str, Any]:
    arrays["x"][17, 3] = np.nan
    return arrays


def with_wrong_expectation(arrays: dict[str, Any]) -> dict[str, Any]:
    return arrays | {"expected:p": np.zeros((len(arrays["x"]), 3), np.float32)}


@pytest.mark.parametrize(
    ("change", "validation", "reason", "words"),
    [
        pytest.param(without_x, {}, "DatasetInvalid", "no array 'x'", id="input"),
        pytest.param(with_nan, {}, "DatasetInvalid", "row 17, column 3", id="NaN"),
        pytest.param(dict, {"output": "q"}, "OutputNotFound", "no output 'q'", id="output"),
        pytest.param(
            with_wrong_expectation, {}, "ConversionDiffers", "expected:p by", id="expectation"
        ),
    ],
)
def test_build_says_what_is_wrong_with_a_data_set(
    job: JobRunner,
    small: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    validation: dict[str, str],
    reason: str,
    words: str,
) -> None:
    path = save_rows(tmp_path / "d.npz", change(rows(40)))
    job.request(
        (small / "m.onnx").as_uri(),
        (job.folder / "s").as_uri(),
        validation=dataset(path, **validation),
    )
    found = refusal(job, Step.FETCH, Step.BUILD)
    assert found[0] == reason
    assert words in found[1]


@pytest.mark.parametrize(("off", "accepted"), [(0.0, True), (5e-3, False)])
def test_an_output_in_fp16_may_be_further_off_than_one_beside_it_in_fp32(
    job: JobRunner, tmp_path: Path, off: float, accepted: bool
) -> None:
    kind = TensorProto.FLOAT
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["y"]),
            helper.make_node("Cast", ["y"], ["half"], to=TensorProto.FLOAT16),
        ],
        inputs={"x": (kind, ["n", 4])},
        outputs={"half": (TensorProto.FLOAT16, ["n", 4]), "y": (kind, ["n", 4])},
        w=np.eye(4, dtype=np.float32),
    )
    x = np.random.default_rng(5).uniform(-1, 1, (40, 4)).astype(np.float32)
    half = (x + 5e-3).astype(np.float16)
    path = save_rows(tmp_path / "d.npz", {"x": x, "expected:half": half, "expected:y": x + off})
    source = save(tmp_path / "m.onnx", model)
    validation = dataset(path, task="None")
    job.request(source.as_uri(), (job.folder / "s").as_uri(), validation=validation)
    if accepted:
        assert job.run_here(Step.FETCH, Step.BUILD).code == ExitCode.OK
        return
    reason, message = refusal(job, Step.FETCH, Step.BUILD)
    assert (reason, "expected:y by 0.005" in message) == ("ConversionDiffers", True), message


def test_a_pickle_is_not_loaded(job: JobRunner, tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    path.write_bytes(b"\x80\x04a pickle")
    job.request(path.as_uri(), (job.folder / "s").as_uri())
    reason, message = refusal(job, Step.FETCH, Step.BUILD)
    assert reason == "SourceUntrusted"
    assert "runs code when it is opened: save it with skops.io.dump" in message


def test_an_estimator_with_a_foreign_function_is_not_loaded(job: JobRunner, tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    skops.io.dump(FunctionTransformer(func=print), path)
    job.request(path.as_uri(), (job.folder / "s").as_uri())
    reason, message = refusal(job, Step.FETCH, Step.BUILD)
    assert reason == "SourceUntrusted"
    assert "types that may run code when loaded (builtins.print)" in message


def test_a_model_that_answers_at_random_is_refused_with_the_remedy(
    job: JobRunner, tmp_path: Path
) -> None:
    model = classifier(
        helper.make_node("RandomNormalLike", ["probabilities"], ["noise"]),
        helper.make_node("Add", ["probabilities", "noise"], ["p"]),
    )
    source = save(tmp_path / "m.onnx", model)
    job.request(source.as_uri(), (job.folder / "s").as_uri())
    report = job.run_here().message
    assert isinstance(report, JobReport)
    assert (report.verdict, report.reason) == (Verdict.FAILED, "NotDeterministic")
    assert "fix the model's random seeds" in report.message


def test_a_bug_is_told_as_one_and_its_traceback_stays_in_the_log(
    small: Path, job: JobRunner, capfd: pytest.CaptureFixture[str]
) -> None:
    job.request((small / "m.onnx").as_uri(), (job.folder / "s").as_uri())
    assert job.step_here(Step.FETCH).code == ExitCode.OK
    (job.work / "scratch").write_bytes(b"no folder")
    end = job.step_here(Step.BUILD)
    assert end.code == ExitCode.BUG
    assert end.message == StepFailure(
        reason="InternalError",
        message="step build hit a bug (FileExistsError): its log has the traceback",
        transient=False,
    )
    assert "Traceback" in capfd.readouterr().err
