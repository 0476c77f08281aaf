"""``optimize`` on a laptop."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest
from tests.support.small_models import classifier, rows, save_rows


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
        timeout=100,
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
    from onnx import helper

    from tests.support.small_models import save

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
