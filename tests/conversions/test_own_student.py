"""A student of the user's in the PyTorch image: it learns, is exported, and answers as it learnt.

The teacher is made of operators that nobody could train here: it only answers.
"""

import json
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from slipway_optimizer import graph
from slipway_optimizer.arrays import INPUT_PREFIX, Array, Arrays, save_npz
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.session import Model
from slipway_optimizer.training.order import LABELS, StudentOrder, TrainOrder
from slipway_optimizer.worker import WorkerResult, WorkerTask
from tests.conversions.conftest import Framework, bare

pytestmark = pytest.mark.timeout(300)
Run = Callable[..., WorkerResult]

SMALL = """
    import torch
    from torch import nn

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Linear(6, 16), nn.BatchNorm1d(16)
            self.drop, self.last = nn.Dropout(0.1), nn.Linear(16, 3)

        def forward(self, x):
            return self.last(self.drop(torch.relu(self.norm(self.first(x)))))

    def load(path):
        return Small()
"""
CODES = {
    "small": SMALL,
    "by name": SMALL.replace("forward(self, x)", "forward(self, unread=None, x=None)"),
    "a dict": SMALL.replace("return self.last(", "return {'hidden': x, 'logits': self.last(")
    .replace("(x)))))", "(x)))))}"),
    "wide": SMALL.replace("nn.Linear(16, 3)", "nn.Linear(16, 4)"),
    "probabilities": SMALL.replace("return self.last(", "return torch.softmax(self.last(")
    .replace("(x)))))", "(x))))), -1)"),
    "picture": SMALL.replace("nn.Linear(6, 16)", "nn.Conv2d(1, 16, 3)"),
    "no module": "def load(path):\n    return {'weights': 1}",
    "frozen": SMALL.replace("return Small()", "return Small().requires_grad_(False)"),
    "a socket": "def load(path):\n    import socket\n    return socket.socket()",
    "from weights": SMALL.replace(
        "    return Small()",
        "    made = Small()\n        made.load_state_dict(torch.load(path))\n        return made",
    ),
}  # fmt: skip


def rows(count: int, *, seed: int) -> tuple[Arrays, Array]:
    """Six numbers; the label is which pair of them has the greatest sum."""
    given = np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)
    labels = given.reshape(count, 3, 2).sum(2).argmax(1)
    return {"x": given, "unread": np.zeros((count, 2), np.float32)}, labels


def teacher() -> onnx.ModelProto:
    """The sums, scaled, by an operator of another domain; probabilities and the class."""
    node = helper.make_node
    weights = np.kron(np.eye(3), np.ones((2, 1))).astype(np.float32).T * 2
    linear = node(
        "LinearRegressor", ["x"], ["scores"], "sums", domain="ai.onnx.ml",
        coefficients=weights.ravel().tolist(), intercepts=[0.0] * 3, targets=3,
    )  # fmt: skip
    described = helper.make_tensor_value_info
    made = helper.make_graph(
        [linear, node("Softmax", ["scores"], ["probabilities"], "softmax", axis=-1),
         node("ArgMax", ["probabilities"], ["label"], "label", axis=-1, keepdims=0)],
        "sums",
        [described("unread", TensorProto.FLOAT, ["N", 2]), described("x", TensorProto.FLOAT,
                                                                     ["N", 6])],
        [described("probabilities", TensorProto.FLOAT, ["N", 3]),
         described("label", TensorProto.INT64, ["N"])],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=opsets, ir_version=9)


@pytest.fixture(scope="module")
def pytorch(tmp_path_factory: pytest.TempPathFactory) -> Framework:
    found = bare("torch", tmp_path_factory)
    return replace(found, environment=found.environment | {"OMP_NUM_THREADS": "1"})


@pytest.fixture
def build(pytorch: Framework, tmp_path: Path) -> Run:
    """Build a candidate there, as the Job's child, with 30 labels of 900 rows."""

    def run(code: str, *, given: Path | None = None, **recipe: Any) -> WorkerResult:
        held, labels = rows(900, seed=1)
        named = {INPUT_PREFIX + name: value for name, value in held.items()}
        save_npz(tmp_path / "lessons.npz", named | {LABELS: labels[:30]})
        save_npz(tmp_path / "calibration.npz", {n: v[:64] for n, v in held.items()})
        onnx.save_model(teacher(), tmp_path / "model.onnx")
        (tmp_path / "student.py").write_text(textwrap.dedent(CODES[code]))
        student = StudentOrder(
            loader=str(tmp_path / "student.py"), function="load",
            given=str(given or tmp_path / "model.onnx"),
        )  # fmt: skip
        order = TrainOrder(
            rows=str(tmp_path / "lessons.npz"), judged="probabilities", seconds=200,
            task="Classification", student=student,  # type: ignore[arg-type] # as JSON has it
        )  # fmt: skip
        wish = {"loader": {"storageUri": "s3://b/student.py"}, "lambdas": ["10"]}
        whole = {"name": "own", "trained": True, "distillation": wish,
                 "training": {"epochs": 15, "learningRate": "0.01"}}  # fmt: skip
        task = WorkerTask(
            action="quantize", source=str(tmp_path / "model.onnx"), lessons=order,
            target=str(tmp_path / "own.onnx"), recipe=Recipe.model_validate(whole | recipe),
            feeds=str(tmp_path / "calibration.npz"),
        )  # fmt: skip
        (tmp_path / "task.json").write_text(task.model_dump_json())
        pytorch.run("-m", "slipway_optimizer", "worker", str(tmp_path / "task.json"), cwd=tmp_path)
        return WorkerResult.model_validate(json.loads((tmp_path / "result.json").read_text()))

    return run


def accuracy(path: Path) -> float:
    """Of the class that the file answers; its probabilities sum to one."""
    given, labels = rows(400, seed=9)
    made = Model(path, threads=1).run(given)
    np.testing.assert_allclose(made["probabilities"].sum(1), 1, atol=1e-5)
    return float((made["label"] == labels).mean())


@pytest.mark.parametrize("code", ["small", "by name", "a dict"])
def test_a_module_learns_from_a_teacher_and_stands_where_it_stood(
    build: Run, tmp_path: Path, code: str
) -> None:
    made = build(code)
    assert (made.reason, made.message) == (None, "")
    assert accuracy(tmp_path / "own.onnx") > 0.9
    assert graph.signature_of(graph.load(tmp_path / "own.onnx")) == graph.signature_of(teacher())
    words = [note.partition(":")[0] for note in made.notes]
    assert words == [
        "learnt from 810 rows, 30 of 900 have labels; 90 others said when to stop",
        "student", "lambda 10", "lambda 10 is taken",
    ]  # fmt: skip
    assert made.notes[1] == "student: what load made, 195 weights"


def test_the_sweep_ends_at_the_target_and_each_lambda_begins_anew(
    build: Run, tmp_path: Path
) -> None:
    wish = {"loader": {"storageUri": "s3://b/s.py"}, "lambdas": ["0.001", "10", "5"],
            "targetScore": "0.85"}  # fmt: skip
    made = build("small", distillation=wish)
    assert made.reason is None
    ends = [note for note in made.notes if note.startswith("lambda")]
    assert ends[-1] == (
        "lambda 10 is taken: the target score 0.85 is reached, so lambda 5 was left untried"
    )
    assert len(ends) == 3
    assert accuracy(tmp_path / "own.onnx") > 0.85


def test_a_student_may_be_quantised_and_trained_through_the_rounding(
    build: Run, tmp_path: Path
) -> None:
    made = build("small", quantization="Static", rounded=True)
    assert (made.reason, made.message) == (None, "")
    kinds = {node.op_type for node in graph.load(tmp_path / "own.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert any(note.startswith("through the rounding: ") for note in made.notes)
    assert accuracy(tmp_path / "own.onnx") > 0.85


def test_a_student_begins_with_the_weights_that_it_is_given(
    pytorch: Framework, build: Run, tmp_path: Path
) -> None:
    """They are those of a student that has learnt: an epoch at a rate of nothing keeps them."""
    (tmp_path / "student.py").write_text(textwrap.dedent(SMALL))
    save = (
        "import torch, student; torch.manual_seed(3); m = student.Small().eval(); "
        "torch.save(m.state_dict(), 'w'); "
        "print(m(torch.ones(1, 6)).softmax(-1).tolist())"
    )
    (expected,) = json.loads(pytorch.run("-c", save, cwd=tmp_path))
    still = {"epochs": 1, "learningRate": "0.0000000001"}
    made = build("from weights", given=tmp_path / "w", training=still)
    assert made.reason is None, made.message
    ones = {"x": np.ones((1, 6), np.float32), "unread": np.zeros((1, 2), np.float32)}
    answer = Model(tmp_path / "own.onnx", threads=1).run(ones)["probabilities"]
    np.testing.assert_allclose(answer, [expected], atol=0.05)  # BatchNorm's averages moved


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        ("wide", "StudentDiffers", "with the shape [8, 4], but the model's scores 'scores' have"),
        ("probabilities", "StudentDiffers", "return the scores before Softmax"),
        ("picture", "StudentDiffers", "let its forward take unread (float32, [rows, 2]), x (float"),
        ("no module", "LoaderFailed", "returned a dict: it must return a torch.nn.Module"),
        ("frozen", "LoaderFailed", "has no parameter that could be trained"),
        ("a socket", "LoaderFailed", "the loader's load failed: PermissionError"),
    ],
)
def test_what_cannot_be_a_student_is_refused_with_what_to_change(
    build: Run, code: str, reason: str, words: str
) -> None:
    made = build(code)
    assert made.reason == reason
    assert words in made.message
