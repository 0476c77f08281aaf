"""What ONNX Runtime itself does in one process: no server can be faster with the same settings."""

import os
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from benchmarks.serving.models import feeds


def items_per_second(
    model: str,
    path: Path,
    *,
    rows: int = 1,
    runs_at_once: int = 1,
    threads: int = 1,
    seconds: float = 1.0,
) -> float:
    """Rows per second of bare ``session.run``.

    Args:
        model: name of the model.
        path: its file.
        rows: of one run.
        runs_at_once: threads that call ``run``.
        threads: of one run.
        seconds: how long.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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

    began = time.perf_counter()
    workers = [threading.Thread(target=repeat, args=(n,)) for n in range(1, runs_at_once)]
    for worker in workers:
        worker.start()
    repeat(0)
    for worker in workers:
        worker.join()
    return sum(counts) * rows / (time.perf_counter() - began)


def first_answer(model: str, path: Path) -> Any:
    """What the model answers to one row."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, feeds(model))[0]
