"""Ours and the peers: how each is set up, started and asked."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import onnxruntime

from benchmarks.serving.processes import Running, running

OURS: Final = "slipway"
NATIVE: Final = "native"
_NATIVE: Final = Path(__file__).parent / "native_peer"
_COMPILE: Final = Path(__file__).parents[2] / "runtime-image" / "compile.py"
_SCRIPTS: Final = Path(__file__).parent / "peer_servers"
_CACHE: Final = Path.home() / ".cache" / "slipway" / "bench-serving"
_SHARED: Final = ("numpy", "onnxruntime==1.31.*")


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to compare with.

    Attributes:
        packages: what its environment holds besides ONNX Runtime.
        kinds: protocols that it speaks.
        ready: path that answers 200 when it is ready; ``{last}`` is the last model.
        python: what makes its environment.
        at_once: whether it runs requests on threads of their own, so on all CPUs at once, whatever
            the threads of its session.
    """

    name: str
    script: str
    packages: tuple[str, ...]
    kinds: tuple[str, ...]
    ready: str = "/v2/health/ready"
    python: str = sys.executable
    at_once: bool = False


PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer(
            "fastapi", "fastapi_server.py",
            ("fastapi==0.*", "uvicorn[standard]==0.*"), ("json",),
            at_once=True,
        ),
        Peer(
            "mlserver", "mlserver_server.py", ("mlserver==1.7.1", "uvloop==0.21.*"),
            ("json", "grpc"),
        ),
        Peer("kserve", "kserve_server.py", ("kserve==0.21.0",), ("json", "binary", "grpc")),
        Peer(
            "pytriton", "pytriton_server.py", ("nvidia-pytriton==0.7.0",),
            ("json", "binary", "grpc"), ready="/v2/models/{last}/ready",
            # Triton embeds a Python, whose library must be that of the one that starts it.
            python="/usr/bin/python3",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that answers."""

    name: str
    running: Running
    http_port: int
    grpc_port: int
    log: Path

    def port(self, kind: str) -> int:
        """Where a protocol is spoken."""
        return self.grpc_port if kind == "grpc" else self.http_port


@contextmanager
def ours(models: dict[str, Path], *, threads: int | None = None) -> Iterator[Serving]:
    """Our server as shipped: compiled; ``threads`` limits it as a CPU limit would."""
    http, rpc = free_port(), free_port()
    command = [
        sys.executable, "-m", "slipway_server", "serve", "--http-port", str(http),
        "--grpc-port", str(rpc),
        *(f"--model={name}={path}" for name, path in models.items()),
    ]  # fmt: skip
    if threads is not None:
        command += ["--threads", str(threads)]
    env = {"PYTHONPATH": compiled()}
    with _started(command, env, OURS, (http, rpc), "/v2/health/ready") as found:
        yield found


@cache
def compiled() -> str:
    """The folder of the program as our images have it.

    Raises:
        SystemExit: it does not compile.
    """
    command = [sys.executable, str(_COMPILE), "--cached"]
    made = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode:
        raise SystemExit("our server cannot be compiled as in its image: see above")
    return made.stdout.strip()


@contextmanager
def peer(which: Peer, models: dict[str, Path], *, threads: int = 1) -> Iterator[Serving]:
    """A peer in its own environment, which is made when it is not there."""
    http, rpc = free_port(), free_port()
    env = {
        "BENCH_MODELS": ",".join(f"{name}={path.resolve()}" for name, path in models.items()),
        "BENCH_HTTP": str(http),
        "BENCH_GRPC": str(rpc),
        "BENCH_THREADS": str(threads),
        "OMP_NUM_THREADS": "1",
    }
    command = [str(environment(which)), str(_SCRIPTS / which.script)]
    ready = which.ready.format(last=list(models)[-1])
    with _started(command, env, which.name, (http, rpc), ready) as found:
        yield found


@contextmanager
def native(models: dict[str, Path]) -> Iterator[Serving]:
    """The native peer with the tiny model, built by cargo when it is not there.

    Raises:
        SystemExit: it cannot be built.
    """
    if shutil.which("cargo") is None:
        raise SystemExit("cargo is missing: install Rust, or leave native out by --peers")
    target = _CACHE / NATIVE
    build = ["cargo", "build", "--release", "--quiet", "--target-dir", str(target)]
    if subprocess.run(build, cwd=_NATIVE, check=False).returncode:
        raise SystemExit(f"{NATIVE} cannot be built; leave it out by --peers")
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    http = free_port()
    env = {
        "BENCH_MODELS": f"tiny={models['tiny'].resolve()}",
        "BENCH_HTTP": str(http),
        "ORT_DYLIB_PATH": str(library),
    }
    command = [str(target / "release" / "native-peer")]
    with _started(command, env, NATIVE, (http, 0), "/v2/health/ready") as found:
        yield found


def environment(which: Peer) -> Path:
    """The Python of a peer's environment.

    Raises:
        SystemExit: it cannot be installed.
    """
    folder = _CACHE / which.name
    python = folder / "bin" / "python"
    done = folder / ".installed"
    wanted = "\n".join((*_SHARED, *which.packages))
    if done.exists() and done.read_text() == wanted:
        return python
    print(f"setting up {which.name} (once)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([which.python, "-m", "venv", str(folder)], check=True)
    command = [str(python), "-m", "pip", "install", "-q", *_SHARED, *which.packages]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"{which.name} cannot be installed; leave it out by --peers")
    done.write_text(wanted)
    return python


@contextmanager
def _started(
    command: list[str], env: dict[str, str], name: str, ports: tuple[int, int], ready: str
) -> Iterator[Serving]:
    _CACHE.mkdir(parents=True, exist_ok=True)
    log = _CACHE / f"{name}-{os.getpid()}.log"
    url = f"http://127.0.0.1:{ports[0]}{ready}"
    with running(command, env=env, ready=url, log=log) as found:
        yield Serving(name, found, *ports, log)
    log.unlink(missing_ok=True)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
