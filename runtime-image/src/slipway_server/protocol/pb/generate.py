"""Regenerate the modules here: ``python -m slipway_server.protocol.pb.generate`` (needs [dev]).

The modules get a descriptor pool of their own: the default pool is one per process, and a program
that also imports another client of the same protocol (tritonclient, kserve) could not load both.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SHARED_POOL = "_descriptor_pool.Default()"
OWN_POOL = "_descriptor_pool.DescriptorPool()"


def main() -> None:
    """Write ``*_pb2.py`` and ``*_pb2.pyi``."""
    protos = sorted(path.name for path in HERE.glob("*.proto"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            "-I.",
            "--python_out=.",
            "--pyi_out=.",
            *protos,
        ],
        cwd=HERE,
        check=True,
    )
    for path in HERE.glob("*_pb2.py"):
        text = path.read_text()
        if text.count(SHARED_POOL) != 1:
            raise SystemExit(f"{path.name}: protoc writes another kind of module now")
        path.write_text(text.replace(SHARED_POOL, OWN_POOL))


if __name__ == "__main__":
    main()
