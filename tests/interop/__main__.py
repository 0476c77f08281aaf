"""``python -m tests.interop``: clients that do not fit into the development environment.

Each gets an environment of its own below ``.venv-interop``, from a lock file with hashes.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.support import onnx_models
from tests.support.server import serving

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv-interop"


def main() -> int:
    """Run KServe's client; returns its exit code."""
    python = _python()
    with tempfile.TemporaryDirectory(prefix="slipway-interop-") as folder:
        models = {"double": onnx_models.double(), "text": onnx_models.text()}
        paths = {name: Path(folder, f"{name}.onnx") for name in models}
        for name, path in paths.items():
            path.write_bytes(models[name])
        with serving(models=paths) as server:
            client = [str(python), str(HERE / "kserve_client.py")]
            ports = [str(server.http), str(server.grpc)]
            return subprocess.run([*client, *ports], check=False, timeout=120).returncode


def _python() -> Path:
    """The interpreter of an environment that has what the lock file says."""
    python, lock = ENVIRONMENT / "bin" / "python", HERE / "requirements.txt"
    mark = ENVIRONMENT / ".installed"
    if not mark.is_file() or mark.read_bytes() != lock.read_bytes():
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        install = ["-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock)]
        subprocess.run([str(python), *install], check=True)
        mark.write_bytes(lock.read_bytes())
    return python


if __name__ == "__main__":
    sys.exit(main())
