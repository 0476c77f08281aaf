"""``optimize`` on a laptop."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, ExecutionProvider, FileRole
from tests.support.server import serving
from tests.support.small_models import classifier, model_of, rows, save, save_rows


def optimize(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "slipway_optimizer",
            "optimize",
            "--budget-seconds",
            "60",
            *map(str, words),
        ],
        capture_output=True,
        text=True,
        timeout=1000,
        check=False,
    )


def test_a_folder_holds_everything_by_name_and_the_table_is_printed(
    small: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = optimize(
        "--model", small / "m.onnx", "--dataset", small / "d.npz", "--output", out,
        "--gate", "accuracy:maxDegradation=0.02", "--threads", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = ArtifactManifest.model_validate_json((out / layout.MANIFEST).read_bytes())
    names = {file.name: file.digest for file in manifest.files}
    assert {path.name for path in out.iterdir()} == {layout.MANIFEST, *names}
    assert {name: layout.digest_of_file(out / name) for name in names} == names
    assert "candidate 1 of" in done.stdout
    table = done.stdout[done.stdout.index("candidate  ") :]
    assert table.splitlines()[0].split()[:3] == ["candidate", "size", "score"]
    assert "Picked" in table
    assert "Passed: GatesPassed: picked" in table


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--gate", "accuracy:min=0.999"], 1, "Failed: AccuracyGateFailed: accuracy"),
        (["--gate", "accuracy"], 65, "Invalid: --gate 'accuracy': "),
        (["--labels", "target"], 65, "DatasetInvalid: data set: there is no array 'target'"),
        (["--mode", "Fast"], 64, "invalid choice: 'Fast'"),
    ],
)
def test_the_exit_code_and_one_line_say_what_happened(
    small: Path, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    done = optimize(
        "--model", small / "m.onnx", "--dataset", small / "d.npz", "--output", tmp_path / "o",
        "--threads", 1, *words,
    )  # fmt: skip
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_classes_by_name_are_scored_by_name(tmp_path: Path) -> None:
    import skops.io
    from sklearn.linear_model import LogisticRegression

    data = rows(200)
    names = np.array(["ant", "bee", "cat"])[data["labels"]]
    skops.io.dump(LogisticRegression().fit(data["x"], names), tmp_path / "m.skops")
    save_rows(tmp_path / "d.npz", {"X": data["x"], "labels": names})
    out = tmp_path / "out"
    done = optimize(
        "--model", tmp_path / "m.skops", "--dataset", tmp_path / "d.npz", "--output", out
    )
    assert done.returncode == 0, done.stderr
    manifest = ArtifactManifest.model_validate_json((out / layout.MANIFEST).read_bytes())
    score = manifest.validation.candidates[0].score
    assert score is not None
    assert score > 0.9


def test_answers_that_are_nan_in_judging_rows_are_refused(tmp_path: Path) -> None:
    nan_for_class_two = classifier(
        helper.make_node("Sub", ["limit", "probabilities"], ["room"]),
        helper.make_node("Sqrt", ["room"], ["p"]),
        limit=np.array([[1, 1, 0.3]], np.float32),
    )
    save(tmp_path / "m.onnx", nan_for_class_two)
    save_rows(tmp_path / "d.npz", rows(60))
    done = optimize(
        "--model", tmp_path / "m.onnx", "--dataset", tmp_path / "d.npz", "--output", tmp_path / "o"
    )
    assert done.returncode == 1
    assert "NonFiniteOutputs: output 'p' is NaN or infinite in judging row" in done.stdout


def test_candidates_may_be_named_and_the_pick_cut_into_stages(tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx", wide_classifier())
    save_rows(tmp_path / "d.npz", rows(120))
    out = tmp_path / "out"
    done = optimize(
        "--model", model, "--dataset", tmp_path / "d.npz", "--output", out, "--threads", 1,
        "--objective", "MinSize", "--candidate", "half:precision=FP16",
        "--candidate", "int4:mode=WeightOnly,bits=4", "--candidate", "b:precision=BF16",
        "--candidate", "thin:prune=Percentile/60", "--stages", 2, "--gate",
        "accuracy:maxDegradation=0.05", "--price-cpu-hour", "0.04", "--budget-seconds", 600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = ArtifactManifest.model_validate_json((out / layout.MANIFEST).read_bytes())
    found = {c.name: c for c in manifest.validation.candidates}
    assert list(found) == ["fp32", "half", "int4", "b", "thin"]
    assert found["b"].reason.startswith("Blocked: ONNX Runtime computes in bfloat16 on arm64 only")
    assert manifest.variant == "thin"  # most of its weights were zero before
    assert [stage.file for stage in manifest.stages] == ["stage-1.onnx", "stage-2.onnx"]
    assert all((out / stage.file).is_file() for stage in manifest.stages)
    report = json.loads((out / layout.REPORT_JSON).read_text())
    assert any("gains bytes in transfer, not time" in note for note in report["notes"])
    figures = {f["name"]: f for f in report["figures"]}
    assert figures["thin"]["costPer1000"] > 0
    assert figures["int4"]["tensors"][0]["sqnrDb"] > 10
    assert figures["thin"]["gzipBytes"] > 0
    assert {check["name"] for check in report["checks"]} >= {"Determinism", "Soak"}
    assert report["capacity"]["rowsPerSecond"] > 0


def wide_classifier() -> onnx.ModelProto:
    """The small classifier behind two layers that keep its features, as large as weights go."""
    first = np.hstack([np.eye(8), np.zeros((8, 504))]).astype(np.float32)
    second = first.T.copy()
    return model_of(
        [
            helper.make_node("MatMul", ["x", "first"], ["wide"], name="widen"),
            helper.make_node("MatMul", ["wide", "second"], ["narrow"], name="narrow"),
            helper.make_node("Gemm", ["narrow", "weights", "bias"], ["logits"], name="score"),
            helper.make_node("Softmax", ["logits"], ["p"], name="share", axis=-1),
        ],
        inputs={"x": (TensorProto.FLOAT, ["n", 8])},
        outputs={"p": (TensorProto.FLOAT, ["n", 3])},
        first=first,
        second=second,
        weights=np.eye(8, 3, dtype=np.float32) * 4,
        bias=np.zeros(3, np.float32),
    )


def test_a_provider_that_is_not_here_fails_as_a_candidate_and_the_others_go_on(
    small: Path, tmp_path: Path
) -> None:
    done = optimize(
        "--model", small / "m.onnx", "--dataset", small / "d.npz", "--output", tmp_path / "out",
        "--threads", 1, "--candidate", "gpu:provider=CUDA",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = ArtifactManifest.model_validate_json((tmp_path / "out/manifest.json").read_bytes())
    _, failed = manifest.validation.candidates
    assert (manifest.variant, manifest.execution_provider) == ("fp32", ExecutionProvider.CPU)
    assert failed.reason.startswith("ProviderMissing: CUDA is not available in this image: run")


HALF = "bytes of FP16 are computed as FP32"


def pictures(folder: Path) -> list[object]:
    """Words for a small convolutional network of FP16, with rows."""
    random, kind = np.random.default_rng(4), TensorProto.FLOAT16
    node = helper.make_node
    model = model_of(
        [
            node("Conv", ["x", "first"], ["a"], "stem"),
            node("Relu", ["a"], ["b"]),
            node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", ["c", "second"], ["d"], "second"),
            node("GlobalAveragePool", ["d"], ["e"]),
            node("Flatten", ["e"], ["y"]),
        ],
        inputs={"x": (kind, ["n", 1, 24, 24])},
        outputs={"y": (kind, ["n", 16])},
        first=random.normal(size=(16, 1, 3, 3)).astype(np.float16) / 3,
        second=random.normal(size=(16, 16, 3, 3)).astype(np.float16) / 12,
    )
    data = {"x": random.normal(size=(80, 1, 24, 24)).astype(np.float16)}
    return [
        "--model", save(folder / "m.onnx", model), "--dataset", save_rows(folder / "d.npz", data),
        "--task", "None", "--threads", 1, "--output", folder / "out",
    ]  # fmt: skip


def test_an_fp16_network_is_computed_as_fp32_and_its_stem_stays_so(tmp_path: Path) -> None:
    done = optimize(*pictures(tmp_path))
    assert done.returncode == 0, done.stderr
    assert HALF in done.stdout
    manifest = ArtifactManifest.model_validate_json((tmp_path / "out/manifest.json").read_bytes())
    assert [t.datatype for t in (*manifest.inputs, *manifest.outputs)] == ["FP16", "FP16"]
    recipes = {c.name: c.recipe for c in manifest.validation.candidates}
    assert recipes["int8-static"].endswith("INT8 through Flatten, MaxPool, Relu, 1 node in fp32")


def test_fp16_stays_where_a_candidate_is_for_a_gpu(tmp_path: Path) -> None:
    done = optimize(*pictures(tmp_path), "--candidate", "gpu:provider=CUDA")
    assert done.returncode == 0, done.stderr
    assert HALF not in done.stdout


def test_a_sweep_prints_one_line_for_each_model_whatever_it_is(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("m.onnx", "m.npz"):
        shutil.copyfile(small / name.replace("m.npz", "d.npz"), folder / name)
    (folder / "broken.onnx").write_bytes(b"no model")
    (folder / "readme.txt").write_text("no model either")
    (folder / "net").mkdir()
    (folder / "net" / "saved_model.pb").write_bytes(b"a folder is one model")
    done = optimize("--sweep", folder, "--output", tmp_path / "out", "--threads", 1)
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index("model  ") :].splitlines()
    assert len(table) == 4
    assert "SourceCorrupt: the model file is not" in table[1]
    assert table[2].startswith("m.onnx")
    assert "GatesPassed: picked" in table[2]
    assert table[3].startswith("net ")
    # The table cuts a long reason, the line of the model has all of it.
    assert "tensorflow is not installed here: pip install" in done.stdout
    assert (tmp_path / "out" / "02-m" / layout.REPORT_HTML).exists()


def test_a_sweep_of_nothing_says_what_it_looks_for(tmp_path: Path) -> None:
    done = optimize("--sweep", tmp_path, "--output", tmp_path / "out")
    assert (done.returncode, "no model below" in done.stderr) == (65, True)


@pytest.mark.timeout(1000)  # it opens 139 MB more than a dozen times
def test_a_large_model_is_published_with_its_weights_beside_it_and_served(tmp_path: Path) -> None:
    width = 5_900  # 139 MB of weights
    weights = np.random.default_rng(0).standard_normal((width, width)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", width])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "m.onnx")
    out = tmp_path / "out"
    done = optimize("--model", tmp_path / "m.onnx", "--output", out, "--mode", "ConvertOnly")
    assert done.returncode == 0, done.stderr
    manifest = ArtifactManifest.model_validate_json((out / layout.MANIFEST).read_bytes())
    assert manifest.file(FileRole.EXTERNAL_DATA).name == layout.MODEL_DATA
    assert manifest.file(FileRole.MODEL).size_bytes < 10_000
    with serving(out) as server:
        status, answer, _ = server.infer([1.0] * width)
    assert status == 200
    found = np.array(answer["outputs"][0]["data"])
    np.testing.assert_allclose(found, weights.sum(axis=0), rtol=1e-3, atol=1e-2)


def worse(path: Path) -> Path:
    """A retrained model that knows the third class no more."""
    model = classifier()
    held = model.graph.initializer[0]
    weights = numpy_helper.to_array(held) * np.array([1, 1, 0], np.float32)
    held.CopyFrom(numpy_helper.from_array(weights, held.name))
    return save(path, model)


def test_a_model_that_is_worse_than_what_is_served_fails_its_gate_against_stable(
    small: Path, tmp_path: Path
) -> None:
    gate = ("--gate", "accuracy:maxDegradation=0.05,against=Stable")
    data = ("--dataset", small / "d.npz", "--threads", 1, "--mode", "ConvertOnly")
    first = optimize("--model", small / "m.onnx", *data, *gate, "--output", tmp_path / "one")
    assert first.returncode == 0, first.stderr
    assert "no stable revision yet: gates against it are held to the source" in first.stdout
    served = ("--stable", tmp_path / "one")
    second = optimize(
        "--model", worse(tmp_path / "two.onnx"), *data, *gate, *served, "--output", tmp_path / "two"
    )
    assert second.returncode == 1, second.stdout + second.stderr
    assert "worse than the stable revision, maxDegradation is 0.05" in second.stdout
    same = optimize(
        "--model", small / "m.onnx", *data, *gate, *served, "--output", tmp_path / "same"
    )
    assert same.returncode == 0, same.stdout + same.stderr
