"""ONNX to TFLite, SavedModel and PT2: what is written answers as the ONNX file does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from slipway.api.v1alpha1.optimization import ExportFormat
from slipway_optimizer.arrays import save_npz
from slipway_optimizer.export.order import FILES, ExportOrder
from slipway_optimizer.worker import WorkerResult, WorkerTask
from tests.conversions.conftest import Framework
from tests.support.small_models import model_of, save

pytestmark = pytest.mark.timeout(300)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
TENSORFLOW = (ExportFormat.TFLITE, ExportFormat.SAVED_MODEL)
# What the frameworks' own kernels have not: arithmetic of wide unsigned numbers, or of booleans,
# extremes of nothing, and the order of equal values.
UNSAID = ("uint", "empty_set", "bool_inputs", "same_values", "mod_mixed_sign_float16")


def picture() -> onnx.ModelProto:
    """Conv, depthwise Conv, a pool with odd padding, a branch, a resize, and a dense end."""
    random = np.random.default_rng(0)
    weights = {
        "first": random.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "deep": random.normal(0, 0.3, (8, 1, 3, 3)).astype(np.float32),
        "grouped": random.normal(0, 0.3, (8, 4, 1, 1)).astype(np.float32),
        "dense": random.normal(0, 0.3, (5, 8 * 12 * 12)).astype(np.float32),
        "bias": random.normal(0, 0.3, 5).astype(np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "slope": np.full((8, 1, 1), 0.1, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["a"], strides=[2, 2],
                         auto_pad="SAME_LOWER"),
        helper.make_node("PRelu", ["a", "slope"], ["b"]),
        helper.make_node("Conv", ["b", "deep"], ["c"], group=8, pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["c"], ["gate"]),
        helper.make_node("Mul", ["c", "gate"], ["d"]),
        helper.make_node("Conv", ["d", "grouped"], ["e"], group=2),
        helper.make_node("Add", ["e", "b"], ["f"]),
        helper.make_node("MaxPool", ["f"], ["g"], kernel_shape=[3, 3], strides=[2, 2],
                         pads=[0, 0, 1, 1]),
        helper.make_node("Resize", ["g", "", "scales"], ["h"], mode="nearest"),
        helper.make_node("Shape", ["h"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Unsqueeze", ["rows", "axes"], ["rows1"]),
        helper.make_node("Concat", ["rows1", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["h", "flat"], ["i"]),
        helper.make_node("Gemm", ["i", "dense", "bias"], ["scores"], transB=1),
        helper.make_node("GlobalAveragePool", ["h"], ["means"]),
    ]  # fmt: skip
    numbers = {
        "zero": np.array(0, np.int64),
        "axes": np.array([0], np.int64),
        "rest": np.array([-1], np.int64),
    }
    return model_of(
        nodes,
        inputs={"image": (FLOAT, ["n", 3, 24, 24])},
        outputs={"scores": (FLOAT, ["n", 5]), "means": (FLOAT, ["n", 8, 1, 1])},
        **weights,
        **numbers,
    )


def words() -> onnx.ModelProto:
    """Lookup, attention over an open length with a mask, erf, and the mean of what counts."""
    random = np.random.default_rng(0)
    size = 16
    weights = {
        name: random.normal(0, 0.3, (size, size)).astype(np.float32)
        for name in ("query", "key", "value")
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        *(
            helper.make_node("MatMul", ["x", name], [f"{name}s"])
            for name in ("query", "key", "value")
        ),
        helper.make_node("Transpose", ["keys"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["querys", "turned"], ["raw"]),
        helper.make_node("Cast", ["mask"], ["kept"], to=FLOAT),
        helper.make_node("Unsqueeze", ["kept", "one"], ["wide"]),
        helper.make_node("Sub", ["wide", "unit"], ["hidden"]),
        helper.make_node("Mul", ["hidden", "large"], ["away"]),
        helper.make_node("Add", ["raw", "away"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "values"], ["mixed"]),
        helper.make_node("Erf", ["mixed"], ["bent"]),
        helper.make_node("ReduceMean", ["bent"], ["y"], axes=[1], keepdims=0),
    ]
    return model_of(
        nodes,
        inputs={"ids": (INT64, ["n", "length"]), "mask": (INT64, ["n", "length"])},
        outputs={"y": (FLOAT, ["n", size])},
        table=random.normal(0, 1, (40, size)).astype(np.float32),
        one=np.array([1], np.int64),
        unit=np.array(1, np.float32),
        large=np.array(1e4, np.float32),
        **weights,
    )


def backwards() -> onnx.ModelProto:
    """An operator that none of the tables has."""
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores"], ["y"], name="/nms")
    return model_of(
        [node],
        inputs={"boxes": (FLOAT, [1, 4, 4]), "scores": (FLOAT, [1, 1, 4])},
        outputs={"y": (INT64, ["m", 3])},
    )


def given(model: onnx.ModelProto, count: int = 12) -> dict[str, Any]:
    random = np.random.default_rng(1)
    rows = {}
    for value in model.graph.input:
        sizes = [count, *((d.dim_value or 7) for d in value.type.tensor_type.shape.dim[1:])]
        whole = value.type.tensor_type.elem_type == INT64
        rows[value.name] = (
            random.integers(0, 2, sizes) if whole else random.normal(0, 1, sizes).astype("f4")
        )
    return rows


def export(
    framework: Framework, model: onnx.ModelProto, folder: Path, *formats: ExportFormat
) -> WorkerResult:
    rows = folder / "rows.npz"
    save_npz(rows, given(model))
    source = save(folder / "model.onnx", model)
    order = ExportOrder(formats=formats, source=source, folder=folder, rows=rows)
    task = WorkerTask(action="export", source=str(source), target=str(folder), export=order)
    (folder / "task.json").write_text(task.model_dump_json())
    framework.run("-m", "slipway_optimizer", "worker", str(folder / "task.json"), cwd=folder)
    return WorkerResult.model_validate_json((folder / "result.json").read_text())


def require_good(found: WorkerResult, folder: Path, *formats: ExportFormat) -> None:
    assert (found.reason, found.message) == (None, "")
    assert found.notes == ()  # nothing had to be fixed: batch and length are open
    for wanted in formats:
        assert float(found.figures[f"{wanted}_max_difference"]) < 1e-5
        assert (folder / FILES[wanted]).stat().st_size > 1000


@pytest.mark.parametrize("model", [picture(), words()], ids=["picture", "words"])
def test_tensorflow_s_files_answer_as_the_onnx_file_in_any_batch(
    model: onnx.ModelProto, tensorflow: Framework, tmp_path: Path
) -> None:
    require_good(export(tensorflow, model, tmp_path, *TENSORFLOW), tmp_path, *TENSORFLOW)


@pytest.mark.parametrize("model", [picture(), words()], ids=["picture", "words"])
def test_a_pt2_answers_as_the_onnx_file_in_any_batch(
    model: onnx.ModelProto, torch: Framework, tmp_path: Path
) -> None:
    wanted = ExportFormat.PT2
    require_good(export(torch, model, tmp_path, wanted), tmp_path, wanted)


def test_a_pt2_comes_back_as_the_same_model(torch: Framework, tmp_path: Path) -> None:
    assert export(torch, picture(), tmp_path, ExportFormat.PT2).reason is None
    back = tmp_path / "back"
    back.mkdir()
    found = torch.convert(tmp_path / "model.pt2", back)
    assert (found.reason, found.message) == (None, "")


def test_an_operator_without_counterpart_is_named(tensorflow: Framework, tmp_path: Path) -> None:
    found = export(tensorflow, backwards(), tmp_path, ExportFormat.SAVED_MODEL)
    assert found.reason == "ExportUnsupported"
    assert "node '/nms' is NonMaxSuppression, which exports do not know" in found.message


def cases(framework: Framework, folder: Path) -> dict[str, Any]:
    program = str(Path(__file__).with_name("node_cases.py"))
    lines = framework.run(program, framework.name, cwd=folder).splitlines()
    result = next(line for line in lines if line.startswith("RESULT "))
    found: dict[str, Any] = json.loads(result.removeprefix("RESULT "))
    return found


def require_conformance(found: dict[str, Any], least: int) -> None:
    rest = {n: t for n, t in found["rest"].items() if not any(word in n for word in UNSAID)}
    assert rest == {}
    assert found["passed"] >= least, found


def test_pytorch_s_operators_pass_onnx_s_own_cases(torch: Framework, tmp_path: Path) -> None:
    require_conformance(cases(torch, tmp_path), 560)


def test_tensorflow_s_operators_pass_onnx_s_own_cases(
    tensorflow: Framework, tmp_path: Path
) -> None:
    require_conformance(cases(tensorflow, tmp_path), 560)
