"""Training in the PyTorch image: what it makes is ONNX, and does what its recipe says."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from slipway_optimizer import graph
from slipway_optimizer.arrays import INPUT_PREFIX, Array, save_npz
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.session import Model
from slipway_optimizer.training.order import LABELS, TrainOrder
from slipway_optimizer.worker import WorkerResult, WorkerTask
from tests.conversions.conftest import Framework, bare
from tests.support.networks import cnn, residual

pytestmark = pytest.mark.timeout(300)
Run = Callable[..., WorkerResult]


def images(rows: int, *, seed: int) -> tuple[Array, Array]:
    """A bright quarter in noise; which one is the label."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, rows)
    given = random.random((rows, 1, 8, 8), np.float32)
    for row, label in enumerate(labels):
        top, left = divmod(int(label), 2)
        given[row, 0, 4 * top : 4 * top + 4, 4 * left : 4 * left + 4] += 0.35
    return given, labels


def accuracy(path: Path) -> float:
    given, labels = images(400, seed=9)
    (made,) = Model(path, threads=1).run({"image": given}).values()
    return float((made.argmax(1) == labels).mean())


@pytest.fixture(scope="module")
def pytorch(tmp_path_factory: pytest.TempPathFactory) -> Framework:
    found = bare("torch", tmp_path_factory)
    return replace(found, environment=found.environment | {"OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def build(pytorch: Framework, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Build a recipe there, as the Job's child; labels of the first rows only, if at all."""

    def run(source: Path, target: Path, *, labelled: int, **recipe: Any) -> WorkerResult:
        folder = tmp_path_factory.mktemp("task")
        given, labels = images(600, seed=1)
        rows = {INPUT_PREFIX + "image": given} | ({LABELS: labels[:labelled]} if labelled else {})
        save_npz(folder / "lessons.npz", rows)
        save_npz(folder / "calibration.npz", {"image": given[:64]})
        order = TrainOrder(
            rows=str(folder / "lessons.npz"), judged="probabilities",
            task="Classification", seconds=240,  # type: ignore[arg-type] # as JSON has it
        )  # fmt: skip
        task = WorkerTask(
            action="quantize", source=str(source), target=str(target), lessons=order,
            recipe=Recipe.model_validate({"name": "made", "trained": True, **recipe}),
            feeds=str(folder / "calibration.npz"),
        )  # fmt: skip
        (folder / "task.json").write_text(task.model_dump_json())
        pytorch.run("-m", "slipway_optimizer", "worker", str(folder / "task.json"), cwd=folder)
        return WorkerResult.model_validate(json.loads((folder / "result.json").read_text()))

    return run


def save(model: ModelProto, path: Path) -> Path:
    onnx.save_model(model, path)
    return path


@pytest.fixture(scope="module")
def teacher(build: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that knows the task: fine-tuned from chance, with no weight zeroed but a few."""
    folder = tmp_path_factory.mktemp("teacher")
    source = save(cnn((32, 32, 32)), folder / "untaught.onnx")
    few = {"method": "Percentile", "value": "0.1"}
    training = {"epochs": 20, "learningRate": "0.005"}
    made = build(source, folder / "teacher.onnx", labelled=600, pruning=few, training=training)
    assert made.reason is None
    assert accuracy(folder / "teacher.onnx") > 0.9 > accuracy(source) + 0.3
    return folder / "teacher.onnx"


def widths(path: Path) -> dict[str, int]:
    held = {t.name: numpy_helper.to_array(t) for t in graph.load(path).graph.initializer}
    return {name: held[f"{name}.w"].shape[0] for name in ("first", "second", "hidden")}


def test_half_of_the_channels_go_and_the_rest_learns_to_do_without(
    build: Run, teacher: Path, tmp_path: Path
) -> None:
    half = {"method": "Structured", "value": "50", "importance": "Gradient"}
    made = build(teacher, tmp_path / "thin.onnx", labelled=600, pruning=half,
                 training={"epochs": 8})  # fmt: skip
    assert (made.reason, made.message) == (None, "")
    assert widths(tmp_path / "thin.onnx") == {"first": 16, "second": 16, "hidden": 16}
    assert accuracy(tmp_path / "thin.onnx") > accuracy(teacher) - 0.03
    words = "channels: first 32 to 16, second 32 to 16, hidden 32 to 16"
    assert made.notes[:2] == (
        "learnt from 540 rows, 600 of 600 have labels; 60 others said when to stop", words
    )  # fmt: skip


def test_a_student_learns_from_rows_without_labels(
    build: Run, teacher: Path, tmp_path: Path
) -> None:
    made = build(
        teacher,
        tmp_path / "student.onnx",
        labelled=40,
        distillation={"width": "0.5", "lambdas": ["0.1", "0.3"]},
        training={"epochs": 8, "learningRate": "0.005"},
    )
    assert made.reason is None
    assert accuracy(tmp_path / "student.onnx") > 0.93
    words = [note.partition(":")[0] for note in made.notes]
    assert words[:4] == [
        "learnt from 540 rows, 40 of 600 have labels; 60 others said when to stop",
        "student", "lambda 0.1", "lambda 0.3",
    ]  # fmt: skip
    assert made.notes[-1] in ("lambda 0.1 is taken", "lambda 0.3 is taken")


def test_a_sweep_ends_when_the_score_is_reached(build: Run, teacher: Path, tmp_path: Path) -> None:
    made = build(teacher, tmp_path / "student.onnx", labelled=0,
                 distillation={"width": "0.25", "lambdas": ["0.1"], "targetScore": "0.5"},
                 training={"epochs": 3})  # fmt: skip
    assert made.reason is None
    words = "lambda 0.1 is taken: the target score 0.5 is reached"
    assert (len(made.notes), made.notes[-1]) == (4, words)
    assert accuracy(tmp_path / "student.onnx") > 0.5


def test_a_student_is_narrowed_until_it_is_measured_to_be_fast_enough(
    build: Run, teacher: Path, tmp_path: Path
) -> None:
    """Nothing is a hundredth as slow, so that everything is tried whatever the machine does."""
    made = build(teacher, tmp_path / "student.onnx", labelled=600,
                 distillation={"width": "1", "latencyRatio": "0.01", "lambdas": ["0.1"]},
                 training={"epochs": 1})  # fmt: skip
    assert made.reason is None
    assert made.notes[2].startswith("no narrower student has 0.01x latency: ")
    assert max(widths(tmp_path / "student.onnx").values()) <= 16


def test_a_student_of_no_width_in_particular_is_aimed_at_a_latency(
    build: Run, teacher: Path, tmp_path: Path
) -> None:
    """How narrow it comes out is for the machine to say."""
    made = build(teacher, tmp_path / "student.onnx", labelled=600,
                 distillation={"lambdas": ["0.1"]}, training={"epochs": 1})  # fmt: skip
    assert made.reason is None
    assert " 0.4x latency: at most " in made.notes[2]
    assert max(widths(tmp_path / "student.onnx").values()) <= 16


@pytest.mark.parametrize("importance", ["Gradient", "Entropy"])
def test_what_is_zeroed_stays_zero_while_the_rest_is_trained(
    build: Run, teacher: Path, tmp_path: Path, importance: str
) -> None:
    ranked = {"method": "Percentile", "value": "80", "importance": importance}
    made = build(teacher, tmp_path / "sparse.onnx", labelled=600, pruning=ranked,
                 training={"epochs": 4})  # fmt: skip
    assert made.reason is None
    large = {t.name: t.zeros for t in made.tensors if t.name in ("second.w", "hidden.w")}
    assert 0.7 < np.mean(list(large.values())) < 0.95
    assert accuracy(tmp_path / "sparse.onnx") > accuracy(teacher) - 0.05
    assert (tmp_path / "sparse.onnx").stat().st_size < 0.6 * teacher.stat().st_size


def test_training_through_the_rounding_repairs_what_plain_qdq_breaks(
    build: Run, teacher: Path, tmp_path: Path
) -> None:
    """The depthwise layer's channels differ by e^8 in scale, as after folding BatchNorm."""
    model = graph.load(teacher)
    held = {t.name: t for t in model.graph.initializer}
    scale = np.exp(np.random.default_rng(1).uniform(-5, 3, 32)).astype(np.float32)
    for name, factor in (
        ("deep.w", scale[:, None, None, None]), ("deep.b", scale),
        ("second.w", 1 / scale[None, :, None, None]),
    ):  # fmt: skip
        value = numpy_helper.to_array(held[name]) * factor
        held[name].CopyFrom(numpy_helper.from_array(value, name))
    source = save(model, tmp_path / "scaled.onnx")
    assert accuracy(source) == accuracy(teacher)
    static: dict[str, Any] = {"quantization": "Static"}
    assert build(source, tmp_path / "plain.onnx", labelled=600, trained=False, **static).reason is (
        None
    )
    made = build(source, tmp_path / "learnt.onnx", labelled=600, rounded=True,
                 training={"epochs": 10, "learningRate": "0.01"}, **static)  # fmt: skip
    assert made.reason is None
    plain, learnt = (accuracy(tmp_path / f"{name}.onnx") for name in ("plain", "learnt"))
    assert plain < accuracy(teacher) - 0.02
    assert learnt > plain + 0.02
    kinds = {node.op_type for node in graph.load(tmp_path / "learnt.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def test_what_has_no_channels_to_spare_is_refused_with_the_reason(
    build: Run, tmp_path: Path
) -> None:
    source = save(cnn((16, 16, 16)), tmp_path / "narrow.onnx")
    half = {"method": "Structured", "value": "50"}
    made = build(source, tmp_path / "thin.onnx", labelled=0, pruning=half)
    assert made.reason == "NothingToPrune"
    assert "no block of 16 channels can go: last: Softmax 'softmax' reads them" in made.message


def test_a_model_that_cannot_be_trained_is_refused_by_its_operator(
    build: Run, tmp_path: Path
) -> None:
    model = cnn()
    model.graph.node[-1].op_type = "Hardmax"
    made = build(save(model, tmp_path / "h.onnx"), tmp_path / "no.onnx", labelled=0,
                 distillation={})  # fmt: skip
    assert made.reason == "NotTrainable"
    assert "uses Hardmax" in made.message


def test_layers_are_left_out_and_the_rest_answers_as_onnx_runtime_does(
    pytorch: Framework, tmp_path: Path
) -> None:
    source = save(residual(64, blocks=4), tmp_path / "deep.onnx")
    rows = np.random.default_rng(3).standard_normal((200, 8)).astype(np.float32)
    save_npz(tmp_path / "lessons.npz", {INPUT_PREFIX + "x": rows})
    save_npz(tmp_path / "rows.npz", {"x": rows})
    order = TrainOrder(rows=str(tmp_path / "lessons.npz"), judged="y", task="None", seconds=30)  # type: ignore[arg-type] # as JSON has it
    recipe = Recipe.model_validate(
        {"name": "s", "trained": True, "distillation": {"width": "0.5", "depth": "0.5"},
         "training": {"epochs": 5}}
    )  # fmt: skip
    task = WorkerTask(action="quantize", source=str(source), target=str(tmp_path / "s.onnx"),
                      lessons=order, recipe=recipe, feeds=str(tmp_path / "rows.npz"))  # fmt: skip
    (tmp_path / "task.json").write_text(task.model_dump_json())
    pytorch.run("-m", "slipway_optimizer", "worker", str(tmp_path / "task.json"), cwd=tmp_path)
    made = WorkerResult.model_validate_json((tmp_path / "result.json").read_text())
    assert made.reason is None
    assert "2 of 4 layers left out" in made.notes[1]
    assert graph.load(tmp_path / "s.onnx").ByteSize() < 0.3 * graph.load(source).ByteSize()
    (truth,) = Model(source, threads=1).run({"x": rows}).values()
    (ours,) = Model(tmp_path / "s.onnx", threads=1).run({"x": rows}).values()
    assert np.square(ours - truth).mean() < 0.5 * truth.var()
