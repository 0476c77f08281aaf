"""Writes a model repository for MLServer and becomes ``mlserver start``.

No worker processes: MLServer's documentation advises ``parallel_workers: 0`` for one small pod, and
it is faster here than the default.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from sessions import paths


def main() -> None:
    """Never returns."""
    folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
    rpc = int(os.environ["BENCH_GRPC"])
    settings = {
        "debug": False, "host": "127.0.0.1", "http_port": int(os.environ["BENCH_HTTP"]),
        "grpc_port": rpc, "metrics_port": rpc + 1, "parallel_workers": 0,
        "use_structured_logging": False,
        "logging_settings": {"version": 1, "root": {"level": "ERROR"}},
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, path in paths().items():
        model = {
            "name": name,
            "implementation": "mlserver_model.OnnxModel",
            "parameters": {"uri": str(Path(path).resolve())},
        }
        (folder / name).mkdir()
        (folder / name / "model-settings.json").write_text(json.dumps(model))
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    program = str(Path(sys.executable).parent / "mlserver")
    os.execv(program, [program, "start", str(folder)])


if __name__ == "__main__":
    main()
