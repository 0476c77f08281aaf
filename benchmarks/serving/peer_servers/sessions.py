"""What every peer shares: sessions of ONNX Runtime with the same settings."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

DATATYPES = {"float32": "FP32", "int64": "INT64"}


def paths() -> dict[str, str]:
    """Model files by name."""
    pairs = (pair.partition("=") for pair in os.environ["BENCH_MODELS"].split(","))
    return {name: path for name, _, path in pairs}


def session(path: str) -> ort.InferenceSession:
    """A session with as many threads as everybody's."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ["BENCH_THREADS"])
    options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
