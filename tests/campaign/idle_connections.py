"""``python -m tests.campaign.idle_connections``: what thousands of silent clients cost a server.

Opens connections that never say a word, beside some that stop in the middle of a request, and asks
the server for answers meanwhile. Prints memory for each connection and the latency of answers;
fails when a bound is broken.
"""

import argparse
import contextlib
import resource
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.support import onnx_models
from tests.support.server import Server, serving

MOST_BYTES = 16 << 10  # of memory for each connection
SLOWEST = 10.0  # times the median latency without them
_HALF = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 70\r\n\r\n{"
_REQUESTS = 200


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    wanted = parser.parse_args().connections
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted + 100:
        print(f"only {hard} files may be open here: --connections {hard - 100} at most")
        return 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server inherits it
    with tempfile.TemporaryDirectory(prefix="slipway-idle-") as folder:
        path = Path(folder, "m.onnx")
        path.write_bytes(onnx_models.double())
        with serving(path) as server, contextlib.ExitStack() as stack:
            return _measure(server, stack, wanted)


def _measure(server: Server, stack: contextlib.ExitStack, wanted: int) -> int:
    process = psutil.Process(server.process.pid)
    before, quiet = process.memory_info().rss, _latencies(server)
    for number in range(wanted):
        port = server.grpc if number % 2 else server.http
        # Other source addresses: one has no more than about 28,000 ports for one target.
        source = (f"127.0.{1 + number // 20_000}.1", 0)
        peer = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=source)
        stack.callback(peer.close)
        if number % 10 == 0:
            peer.sendall(_HALF)
    busy = _latencies(server)
    each = (process.memory_info().rss - before) / wanted
    ratio = statistics.median(busy) / statistics.median(quiet)
    print(
        f"{wanted} connections: {each / 1024:.1f} KiB each (at most {MOST_BYTES >> 10}), median "
        f"latency {ratio:.2f} times that without them (at most {SLOWEST:g})"
    )
    return int(each > MOST_BYTES or ratio > SLOWEST)


def _latencies(server: Server) -> list[float]:
    found = []
    for _ in range(_REQUESTS):
        start = time.perf_counter()
        status, _, _ = server.infer([1.0, 2.0])
        found.append(time.perf_counter() - start)
        assert status == 200
    return found


if __name__ == "__main__":
    sys.exit(main())
