"""What ``optimize`` picks for magika's model on this machine, against the figures to reach.

    python -m benchmarks.optimizer

Ratios are paired within the run, with their upper 95 % bound; accuracy is on rows of the examples'
data set that calibration never saw. The target holds for CPUs that multiply 8-bit integers (VNNI).
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, CandidateReport, FileRole
from slipway.artifacts.table import candidate_cells, format_table

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "magika"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result: at most ``reach`` is wanted."""

    name: str
    value: float
    reach: float

    def __str__(self) -> str:
        """Name, value, bound, and whether it was reached."""
        verdict = "reached" if self.value <= self.reach else "MISSED"
        return f"{self.name:<42} {self.value:8.3f}   reach <= {self.reach:<6} {verdict}"


def main() -> None:
    """Make the data set, optimise, print."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        folder = Path(name)
        _python(EXAMPLES / "make_models.py", folder)
        _python(EXAMPLES / "make_dataset.py", folder / "magika.npz")
        started = time.monotonic()
        _optimize(folder)
        seconds = time.monotonic() - started
        manifest = ArtifactManifest.model_validate_json(
            (folder / "out" / layout.MANIFEST).read_bytes()
        )
    candidates = manifest.validation.candidates
    print(format_table(candidate_cells(candidates, picked=manifest.variant)))
    print(f"\n{manifest.hardware.node_class}, 1 thread, {seconds:.0f} s in all")
    picked = next(c for c in candidates if c.name == manifest.variant)
    print(f"pick: {picked.name}: {picked.recipe}")
    for figure in _figures(manifest, picked):
        print(figure)


def _figures(manifest: ArtifactManifest, picked: CandidateReport) -> list[Figure]:
    size = manifest.file(FileRole.MODEL).size_bytes / manifest.source.size_bytes
    return [
        Figure("latency, ratio to fp32", picked.latency_ratio or 1.0, 0.55),
        Figure("  its upper 95 % bound", picked.latency_ratio_upper or 1.0, 0.55),
        Figure("size, ratio to the source", size, 0.30),
        Figure("accuracy lost, points", -100 * (picked.score_delta or 0.0), 0.5),
    ]


def _python(script: Path, output: Path) -> None:
    subprocess.run([sys.executable, str(script), str(output)], check=True)


def _optimize(folder: Path) -> None:
    command = [
        sys.executable, "-m", "slipway_optimizer", "optimize", "--threads", "1",
        "--model", str(folder / "v1.onnx"), "--dataset", str(folder / "magika.npz"),
        "--output", str(folder / "out"), "--gate", "accuracy:maxDegradation=0.005",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
