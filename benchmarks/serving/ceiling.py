"""What ONNX Runtime itself does in one process: no server can be faster with the same settings."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from benchmarks.serving.figures import Bare
from benchmarks.serving.models import feeds
from slipway.artifacts.sessions import thread_entries


@dataclass(frozen=True, slots=True)
class Shape:
    """Rows of one run, threads that call ``run``, and threads of one run."""

    rows: int = 1
    runs_at_once: int = 1
    threads: int = 1


def bare(model: str, path: Path, *, shape: Shape | None = None, seconds: float = 1.0) -> Bare:
    """Rows per second, and CPU time of a row, of bare ``session.run``.

    Args:
        model: name of the model.
        path: its file.
        shape: of runs.
        seconds: how long.
    """
    shape = shape or Shape()
    rows, runs_at_once, threads = shape.rows, shape.runs_at_once, shape.threads
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    for entry, value in thread_entries(ort.__version__).items():
        options.add_session_config_entry(entry, value)
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    batch = feeds(model, rows)
    for _ in range(3):
        session.run(None, batch)
    counts = [0] * runs_at_once
    end = time.perf_counter() + seconds

    def repeat(place: int) -> None:
        while time.perf_counter() < end:
            session.run(None, batch)
            counts[place] += 1

    began, spent = time.perf_counter(), time.process_time()
    workers = [threading.Thread(target=repeat, args=(n,)) for n in range(1, runs_at_once)]
    for worker in workers:
        worker.start()
    repeat(0)
    for worker in workers:
        worker.join()
    done = sum(counts) * rows
    cpu = (time.process_time() - spent) / done * 1e6
    return Bare(done / (time.perf_counter() - began), cpu)


def first_answer(model: str, path: Path) -> Any:
    """What the model answers to one row."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, feeds(model))[0]
