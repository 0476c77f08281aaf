"""Olive beside us: its two quantisation passes as they come, judged by our bench on our rows.

Olive's passes look at neither labels nor time, so what a user of it would serve is reckoned in its
favour: of fp32 and what its passes wrote, the fastest that keeps the gate.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.optimizer_peers.spent import Spent, run
from benchmarks.optimizer_peers.task import Task
from slipway.artifacts import layout
from slipway_optimizer import datasets
from slipway_optimizer.arrays import Array, Arrays, rows_of, save_npz, take
from slipway_optimizer.failures import Refused
from slipway_optimizer.measure import Stopwatch, latencies
from slipway_optimizer.metrics import correctness
from slipway_optimizer.session import Model

CACHE: Final = Path.home() / ".cache" / "slipway" / "bench-optimizer"
# The last two are what Olive imports without declaring it.
_PACKAGES: Final = ("olive-ai==0.13.0", "onnxruntime==1.31.*", "requests", "datasets")
_SCRIPT: Final = Path(__file__).parent / "programs" / "olive_pass.py"
_QUIET: Final = {"OLIVE_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
_PASSES: Final = ("dynamic", "static")
_SECONDS_EACH: Final = 4.0
_FEEDS: Final = 8
CALIBRATION: Final = 0.2  # of the rows, as `optimize` has it by default
LONGEST: Final = 3.0  # of Olive's shorter pass, in CPU time


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the files that are compared.

    Attributes:
        spent: on making it; ``None``: nothing had to be made.
        ratio: of its latency to fp32's, single rows, one thread; ``upper`` its 95 % bound.
        score: share of right answers on rows that calibrated nothing.
        failure: why there is no file, or why it does not run.
    """

    name: str
    spent: Spent | None = None
    size_bytes: int = 0
    ratio: float = 0.0
    upper: float = 0.0
    score: float = 0.0
    failure: str = ""


def python() -> Path:
    """The Python of Olive's environment, made when it is not there (6 GB: PyTorch with CUDA).

    Raises:
        SystemExit: it cannot be installed.
    """
    folder = CACHE / "olive"
    found, done = folder / "bin" / "python", folder / ".installed"
    wanted = "\n".join(_PACKAGES)
    if done.exists() and done.read_text() == wanted:
        return found
    print("setting up Olive (once)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    command = [str(found), "-m", "pip", "install", "-q", *_PACKAGES]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("Olive cannot be installed; leave it out of --peers")
    done.write_text(wanted)
    return found


def compare(task: Task, ours: Path, spent: Spent) -> list[Entry]:
    """fp32, ours and Olive's, all timed in turn in this process and judged on the same rows.

    Args:
        task: what was asked of both.
        ours: the folder that ``optimize`` wrote.
        spent: on that.
    """
    with np.load(task.dataset) as held:
        labels = held["labels"]
        rows: Arrays = {name: held[name] for name in held.files if name != "labels"}
    digest = layout.digest_of_file(task.dataset)
    calibrating, judging = datasets.split(len(labels), CALIBRATION, digest)
    made = [Entry("fp32"), Entry("slipway", spent)]
    files = {"fp32": task.model, "slipway": ours / layout.MODEL}
    for kind in _PASSES:
        entry, file = _olive(task, kind, take(rows, calibrating), ours.with_name(task.name))
        made.append(entry)
        files |= {entry.name: file} if file is not None else {}
    return list(_judged(made, files, take(rows, judging), labels[judging]))


def _olive(task: Task, kind: str, calibration: Arrays, folder: Path) -> tuple[Entry, Path | None]:
    output = folder.with_name(f"{folder.name}-olive-{kind}")
    rows = output.with_suffix(".npz")
    save_npz(rows, calibration)
    words = [str(python()), str(_SCRIPT), str(task.model), str(rows), str(output), kind]
    spent = run(words, _QUIET)
    found = sorted(output.rglob("*.onnx"))
    name = f"olive {kind}"
    if spent.code or not found:
        return Entry(name, spent, failure=f"no model, exit code {spent.code}"), None
    return Entry(name, spent), found[0]


def _judged(
    made: list[Entry], files: dict[str, Path], rows: Arrays, labels: Array
) -> Iterator[Entry]:
    models: dict[str, Model] = {}
    failures = {entry.name: entry.failure for entry in made}
    scores = {}
    for name, file in files.items():
        try:
            models[name] = Model(file, threads=1)
            answers = next(iter(models[name].run_rows(rows).values()))
            scores[name] = float(correctness(answers, labels).mean())
        except Refused as error:
            models.pop(name, None)
            failures[name] = str(error)
    feeds = [take(rows, slice(n, n + 1)) for n in range(min(_FEEDS, rows_of(rows)))]
    watch = Stopwatch(_SECONDS_EACH * len(models))
    times = dict(zip(models, latencies(list(models.values()), feeds, watch), strict=True))
    for entry in made:
        if entry.name not in times:
            yield Entry(entry.name, entry.spent, failure=failures[entry.name])
            continue
        data = sum(path.stat().st_size for path in _parts(files[entry.name]))
        time = times[entry.name]
        yield Entry(entry.name, entry.spent, data, time.ratio, time.upper, scores[entry.name])


def _parts(model: Path) -> list[Path]:
    beside = model.with_name(f"{model.name}.data")
    return [model, beside] if beside.exists() else [model]


def keeps(entry: Entry, fp32: Entry, gate: float) -> bool:
    """Whether it loses no more than the gate allows, by its score."""
    return not entry.failure and fp32.score - entry.score <= gate + 1e-9


def table(task: Task, entries: list[Entry]) -> str:
    """Everything that was found, and the figures that were promised."""
    fp32, ours, *peers = entries
    head = f"{'':16}{'MB':>8}{'time':>7}{'at most':>9}{'accuracy':>10}{'gate':>6}"
    lines = [f"{task.name} (gate: {100 * task.gate:g} points)"]
    lines.append(f"{head}{'wall s':>9}{'CPU s':>8}{'peak MB':>9}")
    lines += [_line(entry, kept=keeps(entry, fp32, task.gate)) for entry in entries]
    served = min((e for e in (fp32, *peers) if keeps(e, fp32, task.gate)), key=lambda e: e.ratio)
    lines.append(f"Olive's pick, in its favour: {served.name}")
    spent = [peer.spent for peer in peers if peer.spent is not None and not peer.failure]
    if not spent:
        return "\n".join(lines)
    assert ours.spent is not None
    lines += [
        _figure("latency, ours / Olive's pick", ours.ratio / served.ratio, 1.0),
        _figure("accuracy lost, points", 100 * (fp32.score - ours.score), 100 * task.gate),
        _figure(
            "CPU time, ours / Olive's shorter pass",
            ours.spent.cpu_seconds / min(s.cpu_seconds for s in spent), LONGEST,
        ),
        _figure("wall time, the same", ours.spent.seconds / min(s.seconds for s in spent), LONGEST),
        _figure(
            "peak memory, the same", ours.spent.peak_bytes / min(s.peak_bytes for s in spent), 1.0
        ),
    ]  # fmt: skip
    return "\n".join(lines)


def _line(entry: Entry, *, kept: bool) -> str:
    cost = f"{'-':>9}{'-':>8}{'-':>9}"
    if entry.spent is not None:
        spent = entry.spent
        cost = f"{spent.seconds:9.0f}{spent.cpu_seconds:8.1f}{spent.peak_bytes / 1e6:9.0f}"
    if entry.failure:
        return f"{entry.name:16}{entry.failure[:40]:>40}{cost}"
    return (
        f"{entry.name:16}{entry.size_bytes / 1e6:8.2f}{entry.ratio:7.2f}{entry.upper:9.2f}"
        f"{entry.score:10.4f}{'kept' if kept else 'LOST':>6}{cost}"
    )


def _figure(name: str, value: float, most: float) -> str:
    return (
        f"{name:<42}{value:8.2f}   reach <= {most:<5g} {'reached' if value <= most else 'MISSED'}"
    )
