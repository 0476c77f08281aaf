"""What a result was measured on."""

import os
import platform
import time
from pathlib import Path

import onnxruntime


def machine() -> str:
    """Date, CPUs and versions in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "?")
    return (
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} CPUs ({name}), {platform.system()}, "
        f"Python {platform.python_version()}, ONNX Runtime {onnxruntime.__version__}"
    )
