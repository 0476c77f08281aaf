"""A close look at one variant: does it hold under what serving will do to it?"""

import os
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from slipway_optimizer import measure
from slipway_optimizer.arrays import Arrays, rows_of, take
from slipway_optimizer.failures import Refused
from slipway_optimizer.hardware import usable_threads
from slipway_optimizer.knee import LoadPoint
from slipway_optimizer.metrics import agreement, sqnr_db
from slipway_optimizer.outside import parts
from slipway_optimizer.session import Model
from slipway_optimizer.stability import Check

_SAME_DB: Final = 20.0  # a batch has other scales than its rows, but the same answers
_SAME_SHARE: Final = 0.99
_NUDGE: Final = 1e-3
_MORE_NOISE_DB: Final = 6.0
_MOST_GROWTH: Final = 16 << 20
_LEVELS: Final = (1, 2, 4, 8)
_LONG_LEVEL: Final = 5.0  # seconds; the next one would take twice as long
_SLOW_SECONDS: Final = 1.0  # of a run: then the look is a short one
_MOST_LOADED: Final = 128 << 20  # bytes that a load test may hold
_PIECE: Final = 1 << 20
_MOST_PACKED: Final = 16 << 20  # bytes: a second; a sample is off by a percent or two
_SEED: Final = 20_240_601


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Who is examined, beside fp32, on which rows.

    Attributes:
        batched: whether fp32 answers several rows at once.
        open_axis: whether the first axis after the batch may have any length, for every input.
    """

    variant: Model
    baseline: Model
    rows: Arrays
    output: str
    batched: bool
    open_axis: bool


@dataclass(frozen=True, slots=True)
class _Look:
    """How much is run.

    Attributes:
        repeats: of equal inputs.
        sizes: of batches.
        moved: rows whose inputs are moved.
    """

    repeats: int
    sizes: tuple[int, ...]
    moved: int


_WHOLE: Final = _Look(10, (2, 3, 5, 8), 16)
_SHORT: Final = _Look(3, (2, 3), 2)


def examine(
    subject: Subject, *, seconds: float, clock: Callable[[], float] = time.monotonic
) -> tuple[Check, ...]:
    """Every check; the soak lasts that long."""
    began = clock()
    subject.variant.run(take(subject.rows, slice(0, 1)))
    look = _SHORT if clock() - began > _SLOW_SECONDS else _WHOLE
    return (
        _deterministic(subject, look.repeats),
        _batches(subject, look.sizes),
        _lengths(subject),
        _nudged(subject, look.moved),
        _soak(subject, seconds, clock),
    )


def _deterministic(subject: Subject, runs: int) -> Check:
    same = measure.deterministic(subject.variant, take(subject.rows, slice(0, 1)), runs=runs)
    detail = f"{runs} runs of equal inputs, compared to 1e-5"
    return Check(name="Determinism", passed=same, detail=detail)


def _batches(subject: Subject, sizes: tuple[int, ...]) -> Check:
    if not subject.batched:
        return Check(name="BatchSize", passed=None, detail="fp32 takes one row at a time")
    if _worst_batch(subject.baseline, subject, sizes) is not None:
        return Check(name="BatchSize", passed=None, detail="rows of one batch influence each other")
    if (worst := _worst_batch(subject.variant, subject, sizes)) is not None:
        return Check(name="BatchSize", passed=False, detail=worst)
    tried = ", ".join(map(str, sizes))
    return Check(name="BatchSize", passed=True, detail=f"1, {tried} rows at once answer alike")


def _worst_batch(model: Model, subject: Subject, sizes: tuple[int, ...]) -> str | None:
    """Which size answers otherwise than its rows one by one."""
    singles = model.run_rows(take(subject.rows, slice(0, max(sizes))))[subject.output]
    for size in sizes:
        if size > rows_of(subject.rows):
            break
        together = model.run(take(subject.rows, slice(0, size)))[subject.output]
        distance = sqnr_db(singles[:size], together)
        agrees = agreement(singles[:size], together)
        if distance < _SAME_DB and (agrees is None or agrees < _SAME_SHARE):
            return f"{size} rows at once are {distance:.1f} dB from the same rows one by one"
    return None


def _lengths(subject: Subject) -> Check:
    longest = min(value.shape[1] if value.ndim > 1 else 1 for value in subject.rows.values())
    if not subject.open_axis or longest < 4:
        return Check(name="OddLength", passed=None, detail="the inputs have fixed lengths")
    tried = []
    for length in (1, 3, longest // 2 + 1, longest - 1):
        cut = {name: value[:1, :length] for name, value in subject.rows.items()}
        try:
            expected = subject.baseline.run(cut)
        except Refused:
            continue  # what fp32 refuses, nobody will ask
        try:
            bad = measure.nonfinite(subject.variant.run(cut))
        except Refused as error:
            return Check(name="OddLength", passed=False, detail=f"length {length}: {error}")
        if bad is not None and measure.nonfinite(expected) is None:
            detail = f"length {length} is answered with NaN or infinity"
            return Check(name="OddLength", passed=False, detail=detail)
        tried.append(str(length))
    if not tried:
        return Check(name="OddLength", passed=None, detail="fp32 takes no other length")
    return Check(name="OddLength", passed=True, detail=f"lengths {', '.join(tried)} are answered")


def _nudged(subject: Subject, count: int) -> Check:
    """Inputs moved by a thousandth: the distance from fp32 must stay what it was."""
    floats = [name for name, value in subject.rows.items() if value.dtype.kind == "f"]
    if not floats:
        return Check(name="Perturbation", passed=None, detail="no input is floating-point")
    random = np.random.default_rng(_SEED)
    rows = take(subject.rows, slice(0, count))
    moved = dict(rows)
    for name in floats:
        noise = 1 + _NUDGE * random.standard_normal(rows[name].shape)
        moved[name] = (rows[name] * noise).astype(rows[name].dtype)
    before, after = (_distance(subject, some) for some in (rows, moved))
    detail = f"{before:.1f} dB from fp32, {after:.1f} dB with inputs moved by 0.1 %"
    return Check(name="Perturbation", passed=after >= before - _MORE_NOISE_DB, detail=detail)


def _distance(subject: Subject, rows: Arrays) -> float:
    ours, theirs = (
        model.run_rows(rows)[subject.output] for model in (subject.variant, subject.baseline)
    )
    return min(sqnr_db(theirs, ours), 200.0)


def _soak(subject: Subject, seconds: float, clock: Callable[[], float]) -> Check:
    """Runs for a while; memory may settle in the first half and must not grow in the second."""
    start, runs, errors, half = clock(), 0, 0, 0
    while (spent := clock() - start) < seconds:
        if not half and spent > seconds / 2:
            half = resident_bytes()
        row = runs % rows_of(subject.rows)
        try:
            subject.variant.run(take(subject.rows, slice(row, row + 1)))
        except Refused:
            errors += 1
        runs += 1
    growth = resident_bytes() - half if half else 0
    passed = errors == 0 and growth <= _MOST_GROWTH
    detail = f"{runs} runs, {errors} errors, memory grew by {max(0, growth) / 1e6:.1f} MB"
    return Check(name="Soak", passed=passed, detail=detail)


def resident_bytes() -> int:
    """Resident memory of this process; 0 where it cannot be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * 4096


def weigh(path: Path, rows: Arrays) -> dict[str, float | int | str]:
    """Memory that the loaded model takes, time to load it, size compressed: in a fresh process."""
    before, began = resident_bytes(), time.perf_counter()
    model = Model(path, threads=usable_threads())
    load = time.perf_counter() - began
    model.run_rows(rows)
    memory = resident_bytes() - before
    return {
        "memory_bytes": memory,
        "load_ms": round(load * 1e3, 3),
        "gzip_bytes": sum(compressed_bytes(part) for part in parts(path)),
    }


def compressed_bytes(path: Path, *, most: int = _MOST_PACKED) -> int:
    """Of the file; where it has twice ``most`` bytes and more, every n-th piece stands for all."""
    packer, packed, read = zlib.compressobj(level=6), 0, 0
    size = path.stat().st_size
    step = max(1, size // most)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            packed += len(packer.compress(piece))
            read += len(piece)
            file.seek((step - 1) * _PIECE, os.SEEK_CUR)
    return (packed + len(packer.flush())) * size // max(1, read)


def load_test(
    model: Model, rows: Arrays, *, seconds: float, clock: Callable[[], float] = time.monotonic
) -> tuple[LoadPoint, ...]:
    """Closed loops of 1, 2, 4 and 8 callers, each for that long.

    Each caller holds the memory of a run, so the next level holds twice as much: where that is too
    much, it is left out. So it is where a level took long, as those of models do that take
    seconds for a run.
    """
    points, before = [], resident_bytes()
    for callers in _LEVELS:
        began = clock()
        points.append(_level(model, rows, callers, seconds))
        if clock() - began > _LONG_LEVEL or resident_bytes() - before > _MOST_LOADED / 2:
            break
    return tuple(points)


def _level(model: Model, rows: Arrays, callers: int, seconds: float) -> LoadPoint:
    times: list[float] = []
    errors = [0] * callers
    ends = time.perf_counter() + seconds

    def call(number: int) -> None:
        feed = take(rows, slice(number % rows_of(rows), number % rows_of(rows) + 1))
        while True:  # at least once, however short the time
            began = time.perf_counter()
            try:
                model.run(feed)
            except Refused:
                errors[number] += 1
            times.append(time.perf_counter() - began)
            if time.perf_counter() >= ends:
                return

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - began
    return LoadPoint(
        in_flight=callers,
        rows_per_second=len(times) / spent,
        p95_ms=float(np.percentile(times, 95)) * 1e3,
        errors=sum(errors),
    )


def by_threads(path: Path, rows: Arrays, *, most: int, seconds: float) -> dict[str, float]:
    """Threads -> rows a second, one request at a time."""
    found = {}
    for threads in range(1, most + 1):
        point = _level(Model(path, threads=threads), rows, 1, seconds)
        found[str(threads)] = round(point.rows_per_second, 3)
    return found
