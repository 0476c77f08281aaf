"""``optimize --sweep``: every model of a folder, each with the data set of its name, in one table.

Each model is optimised by a process of its own, so that whatever one does to it ends there.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, CandidateReport
from slipway.artifacts.table import format_table
from slipway_optimizer.convert.kinds import Kind, is_model_folder, sniff

_HEAD: Final = (
    "model", "size", "pick", "latency", "at most", "size ratio", "score", "lost", "seconds",
    "peak MB", "result",
)  # fmt: skip
_ANYBODYS: Final = (".txt", ".json", ".model", ".pkl", ".pickle", ".bin")
_MOST_SAID: Final = 1000
_MOST_REASON: Final = 110


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one model.

    Attributes:
        code: exit code of its process, negative when a signal ended it.
        said: its last line, for those without a manifest.
        peak_bytes: resident, of the largest of its processes.
    """

    model: Path
    size: int
    code: int
    said: str
    seconds: float
    peak_bytes: int
    manifest: ArtifactManifest | None


def models_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Models below a folder, by name: files, and folders that are one model."""
    whole = [path for path in folder.rglob("*") if path.is_dir() and is_model_folder(path)]
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(parent in whole for parent in path.parents)
        and (path.suffix in suffixes or _is_model(path))
    ]
    return sorted([*whole, *files])


def _is_model(path: Path) -> bool:
    """Some suffixes are anybody's: then the bytes tell."""
    return path.suffix in _ANYBODYS and sniff(path).kind is not Kind.UNKNOWN


def run(models: Sequence[Path], output: Path, options: Sequence[str]) -> list[Row]:
    """Optimise each model with these further options; results go to ``output/<number>-<name>``."""
    rows = []
    for number, model in enumerate(models, start=1):
        target = output / f"{number:02d}-{model.stem}"
        print(f"[{number} of {len(models)}] {model.name}", flush=True)
        rows.append(_one(model, target, options))
        print(f"    {_result(rows[-1])}", flush=True)
    return rows


def _one(model: Path, target: Path, options: Sequence[str]) -> Row:
    target.mkdir(parents=True, exist_ok=True)
    (target / layout.MANIFEST).unlink(missing_ok=True)
    command = [sys.executable, "-m", "slipway_optimizer", "optimize", "--model", str(model)]
    dataset = model.with_suffix(".npz")
    if dataset.is_file():
        command += ["--dataset", str(dataset)]
    command += ["--output", str(target), *options]
    log, began = target / "log.txt", time.monotonic()
    with log.open("wb") as stream:
        child = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            child.wait()
            raise
    child.returncode = os.waitstatus_to_exitcode(status)
    lines = log.read_text(errors="replace").strip().splitlines()
    found = target / layout.MANIFEST
    return Row(
        model=model,
        size=_size_of(model),
        code=child.returncode,
        said=lines[-1][:_MOST_SAID] if lines else "",
        seconds=time.monotonic() - began,
        peak_bytes=usage.ru_maxrss * 1024,
        manifest=ArtifactManifest.model_validate_json(found.read_bytes())
        if found.exists()
        else None,
    )


def _size_of(model: Path) -> int:
    parts = [model] if model.is_file() else [p for p in model.rglob("*") if p.is_file()]
    return sum(part.stat().st_size for part in parts)


def table(rows: Sequence[Row]) -> str:
    """All results, one line each."""
    return format_table([list(_HEAD), *(_cells(row) for row in rows)])


def _cells(row: Row) -> list[str]:
    pick = _pick(row)
    start = [row.model.name, f"{row.size / 1e6:.2f} MB"]
    end = [f"{row.seconds:.0f}", f"{row.peak_bytes / 1e6:.0f}", _cut(_result(row))]
    if pick is None:
        return [*start, "-", "-", "-", "-", "-", "-", *end]
    return [
        *start,
        pick.name,
        _number(pick.latency_ratio, "{:.2f}"),
        _number(pick.latency_ratio_upper, "{:.2f}"),
        _number((pick.size_bytes or 0) / row.size, "{:.2f}"),
        _number(pick.score, "{:.4f}"),
        _number(None if pick.score_delta is None else -pick.score_delta, "{:.4f}"),
        *end,
    ]


def _pick(row: Row) -> CandidateReport | None:
    if row.manifest is None:
        return None
    variant = row.manifest.variant
    return next((c for c in row.manifest.validation.candidates if c.name == variant), None)


def _result(row: Row) -> str:
    if row.manifest is None:
        return row.said or f"ended with code {row.code}"
    validation = row.manifest.validation
    return f"{validation.reason}: {validation.message}"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_REASON else f"{text[: _MOST_REASON - 3]}..."


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
