"""The one-click defaults of onnxruntime's own quantisers on the same rows."""

from pathlib import Path

import numpy as np

from benchmarks.optimizer_peers.task import Task
from slipway_optimizer.arrays import Arrays, rows_of, take
from slipway_optimizer.measure import Stopwatch, latencies
from slipway_optimizer.metrics import correctness
from slipway_optimizer.passes.quantize_static import _Rows
from slipway_optimizer.session import Model


def lines(task: Task, ours: Path) -> list[str]:
    """Accuracy and paired latency of one-click defaults and of our pick."""
    from onnxruntime.quantization import quantize_dynamic, quantize_static

    with np.load(task.dataset) as held:
        labels = held["labels"]
        rows: Arrays = {name: held[name] for name in held.files if name != "labels"}
    files = {"fp32": task.model, "slipway": ours}
    for name, quantize in (("dynamic", quantize_dynamic), ("static", quantize_static)):
        target = ours.with_name(f"peer-{name}.onnx")
        reader = [_Rows(take(rows, slice(0, 64)))] if name == "static" else []
        try:
            quantize(str(task.model), str(target), *reader)
            files[f"onnxruntime {name} defaults"] = target
        except Exception as error:  # noqa: BLE001 - another's tool may raise anything
            print(f"onnxruntime {name} defaults fail: {type(error).__name__}")
    models = [Model(path, threads=1) for path in files.values()]
    feeds = [take(rows, slice(n, n + 1)) for n in range(min(8, rows_of(rows)))]
    times = latencies(models, feeds, Stopwatch(2.0 * len(models)))
    found = []
    for name, model, spent in zip(files, models, times, strict=True):
        answers = next(iter(model.run_rows(rows).values()))
        score = float(correctness(answers, labels).mean())
        size = files[name].stat().st_size / 1e6
        found.append(
            f"  {name:<30} {size:7.2f} MB  {spent.ratio:5.2f}x (<= {spent.upper:.2f})  "
            f"accuracy {score:.4f}"
        )
    return found
