"""The search as a whole: what first looks lead to, and what other objectives prefer."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from slipway.contract import ExitCode, Step
from slipway.tasks import JobReport
from slipway_optimizer.workdir import BuildRecord, WorkDir
from tests.edges.optimizer.jobs import JobRunner
from tests.support.small_models import save, save_rows, tower

WIDTH, LAYERS, BAD = 640, 4, "layer2"
RANDOM = np.random.default_rng(7)


def request(job: JobRunner, folder: Path, *, spiked: bool, **wishes: str) -> JobRunner:
    model = tower(RANDOM, width=WIDTH, layers=LAYERS, spiked=BAD if spiked else None)
    save(folder / "m.onnx", model)
    x = RANDOM.normal(size=(60, WIDTH)).astype(np.float32)
    save_rows(folder / "d.npz", {"x": x})
    return job.request(
        (folder / "m.onnx").as_uri(),
        (folder / "store").as_uri(),
        validation={"task": "None", "dataset": {"storageUri": (folder / "d.npz").as_uri()}},
        optimization={"budget": "5m"} | wishes,
    )


def built(job: JobRunner) -> BuildRecord:
    end = job.run_here(Step.FETCH, Step.BUILD)
    assert end.code == ExitCode.OK, end
    return WorkDir(job.work).read(Step.BUILD, BuildRecord)


def test_the_node_that_ruins_a_fast_variant_stays_in_fp32(job: JobRunner, tmp_path: Path) -> None:
    record = built(request(job, tmp_path, spiked=True))
    found = {c.recipe.name: c for c in record.candidates}
    (partial,) = (c for name, c in found.items() if name.endswith("-partial"))
    assert partial.recipe.exclude == (BAD,)
    assert record.sensitivity[0].node == BAD
    before = found[partial.recipe.name.removesuffix("-partial")]
    assert before.screen is not None
    assert partial.screen is not None
    assert before.screen.sqnr_db < 20
    assert partial.screen.sqnr_db >= 28


def test_without_trouble_nothing_is_mended(job: JobRunner, tmp_path: Path) -> None:
    record = built(request(job, tmp_path, spiked=False))
    assert [c.recipe.name for c in record.candidates] == ["fp32", "int8-dynamic", "int8-static"]
    assert record.sensitivity == ()


def test_weights_in_fp64_are_said_to_be_no_matter_of_int8(job: JobRunner, tmp_path: Path) -> None:
    asked = request(job, tmp_path, spiked=False)
    model = onnx.load(tmp_path / "m.onnx")
    for tensor in model.graph.initializer:
        wide = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    save(tmp_path / "m.onnx", model)
    _, *variants = built(asked).candidates
    words = "found no operator with fixed weights in FP32"
    assert [c.recipe.name for c in variants] == ["int8-dynamic", "int8-static"]
    assert [words in (c.failure or "") for c in variants] == [True, True]


def test_size_alone_also_tries_weights_that_are_unpacked(job: JobRunner, tmp_path: Path) -> None:
    record = built(request(job, tmp_path, spiked=False, objective="MinSize"))
    names = [c.recipe.name for c in record.candidates]
    assert names[-3:] == ["fp16-weights", "int8-weights", "int4-weights"]
    sizes = {
        c.recipe.name: (job.work / "candidates" / (c.file or "")).stat().st_size
        for c in record.candidates
    }
    assert sizes["int4-weights"] < sizes["int8-weights"] < sizes["fp16-weights"] < sizes["fp32"]


def test_throughput_is_measured_where_it_decides(job: JobRunner, tmp_path: Path) -> None:
    request(job, tmp_path, spiked=False, objective="MaxThroughput")
    report = job.run_here().message
    assert isinstance(report, JobReport)
    assert report.artifact is not None
    assert report.report_uri is not None
    written = json.loads(Path(report.report_uri.removeprefix("file://")).read_text())
    figures = {figure["name"]: figure for figure in written["figures"]}
    assert list(figures) == [candidate.name for candidate in report.candidates]
    assert all(figure["throughput"] > 0 for figure in figures.values())
    assert all("Slower: latency" not in candidate.reason for candidate in report.candidates)
    assert report.reason == "NumericOnly"


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_a_pick_is_timed_anew_only_when_it_was_chosen_among_several(
    job: JobRunner,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    names: tuple[str, ...],
) -> None:
    """The best of several readings is partly luck: a worse second one may pass the pick on."""
    dynamic = {"mode": "Dynamic", "perChannel": True}
    candidates = [{"name": name, "quantization": dynamic} for name in names]
    save(tmp_path / "m.onnx", tower(RANDOM, width=WIDTH, layers=LAYERS, spiked=None))
    save_rows(tmp_path / "d.npz", {"x": RANDOM.normal(size=(60, WIDTH)).astype(np.float32)})
    job.request(
        (tmp_path / "m.onnx").as_uri(),
        (tmp_path / "store").as_uri(),
        validation={"task": "None", "dataset": {"storageUri": (tmp_path / "d.npz").as_uri()}},
        optimization={
            "mode": "Explicit",
            "candidates": candidates,
            "objective": "MinSize",
            "budget": "2m",
        },
    )

    report = job.run_here().message

    assert isinstance(report, JobReport)
    assert report.artifact is not None
    pick = report.artifact.variant
    said = capsys.readouterr().out
    anew = [name for name in names if f"time {name} against fp32 once more" in said]
    assert (pick in anew) == (len(names) > 1)
    assert said.count("against fp32 once more") == len(anew)  # nobody twice


def test_what_the_budget_does_not_hold_is_not_measured_and_said(
    job: JobRunner, tmp_path: Path
) -> None:
    assert len(built(request(job, tmp_path, spiked=False)).candidates) > 1
    request(job, tmp_path, spiked=False, budget="0s")  # all of it was spent by then
    report = job.run_here(Step.VALIDATE, Step.PUBLISH).message
    assert isinstance(report, JobReport)
    assert report.artifact is not None
    assert report.artifact.variant == "fp32"
    others = [c.reason for c in report.candidates if c.name != "fp32"]
    spent = "OutOfBudget: the budget of 0s was spent before it was measured"
    assert others == [spent] * len(others) != []
