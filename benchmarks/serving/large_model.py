"""A 436 MB transformer: ``python -m benchmarks.serving.large_model``.

The server on the artifact's form of the model (weights beside the graph, as the optimizer publishes
large ones) against a bare ``InferenceSession(path)`` of the usual single file, in turns, each in a
process of its own: seconds until the first answer, and memory when all is settled (of mapped
weights what is resident).
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import onnx

from benchmarks.serving import models
from benchmarks.serving.__main__ import FOLDER
from benchmarks.serving.bodies import body
from benchmarks.serving.processes import Running
from benchmarks.serving.servers import ours

NAME: Final = "big"
_SETTLED: Final = b"weights packed"


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="the median counts")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(json.dumps(_bare(options.bare)))
        return
    single = models.write(FOLDER, [NAME])[NAME]
    split = _split(single)
    found: dict[str, list[dict[str, float]]] = {"bare": [], "slipway": []}
    for _ in range(options.rounds):
        found["bare"].append(_child(single))
        found["slipway"].append(_served(split))
    middle = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    }
    for name, row in middle.items():
        print(f"{name:8} " + "  ".join(f"{key} {value:.2f}" for key, value in row.items()))
    mine, bare = middle["slipway"], middle["bare"]
    load = mine["load_s"] / bare["load_s"]
    print(f"time to load and run once vs bare: {load:.2f}x  (floor 0.5, reach 0.1)")
    print(f"start to first answer vs bare: {mine['answer_s'] / bare['answer_s']:.2f}x")
    print(f"memory vs bare: {mine['resident_mb'] / bare['resident_mb']:.2f}x  (floor 0.6)")


def _split(single: Path) -> Path:
    path = single.parent / "big-split" / "model.onnx"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        part = path.with_name("part.onnx")
        onnx.save(
            onnx.load(single),
            part,
            save_as_external_data=True,
            all_tensors_to_one_file=True,
            location="model.onnx.data",
        )
        part.rename(path)
    return path


def _served(path: Path) -> dict[str, float]:
    began = time.perf_counter()
    with ours({NAME: path}) as serving:
        log = serving.log
        request = body("binary", NAME, models.feeds(NAME))
        connection = http.client.HTTPConnection("127.0.0.1", serving.http_port, timeout=60)
        connection.request("POST", f"/v2/models/{NAME}/infer", request.data, dict(request.headers))
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"the server answered {answer.status}")
        answered = time.perf_counter() - began
        end = time.monotonic() + 60
        while _SETTLED not in log.read_bytes() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        return {
            "load_s": _phase(log, "load_ms") / 1e3,
            "answer_s": answered,
            "resident_mb": serving.running.memory_megabytes(),
        }


def _phase(log: Path, name: str) -> float:
    text = log.read_text().partition(f" {name}=")[2]
    return float(text.split()[0])


def _child(path: Path) -> dict[str, float]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.serving.large_model", "--bare", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=120)
    found: dict[str, float] = json.loads(output)
    found["answer_s"] = found.pop("done") - began
    return found


def _bare(path: Path) -> dict[str, Any]:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort
    import psutil

    began = time.perf_counter()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    loaded = time.perf_counter() - began
    session.run(None, models.feeds(NAME))
    done = time.perf_counter()
    return {
        "load_s": loaded,
        "done": done,
        "resident_mb": Running(psutil.Process(), 0.0).memory_megabytes(),
    }


if __name__ == "__main__":
    main()
