"""Servers that take each other's place."""

import asyncio
import sys
import time
import urllib.request

from tests.support import compiled
from tests.support.pods import Pod
from tests.support.s3 import free_port


async def replica(pod: Pod) -> tuple[asyncio.subprocess.Process, int, int]:
    """A server of the pod's request that is ready, and its ports: HTTP and gRPC."""
    http_port, grpc_port = free_port(), free_port()
    env = {
        **compiled.environment(),
        **pod.env,
        "SLIPWAY_HTTP_PORT": str(http_port),
        "SLIPWAY_GRPC_PORT": str(grpc_port),
        "SLIPWAY_DRAIN_SECONDS": "2",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "slipway_server",
        env=env, cwd=pod.folder, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, _wait_ready, http_port)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process, http_port, grpc_port


def _wait_ready(port: int) -> None:
    url, end = f"http://127.0.0.1:{port}/v2/health/ready", time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not become ready")
