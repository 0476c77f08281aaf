"""``python -m tests.campaign.requests_memory``: what a million requests leave behind in a server.

Requests of mixed sizes, doors and outcomes over kept and new connections, among them refused ones.
The first tenth warms up allocator and caches; from then on anonymous memory may grow by 5 MB, and
it never is more than 64 MB above that of an idle server: a twentieth of the requests has 600 kB.
The proportional set size is shown, too, but it also follows what others map of the libraries.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import psutil

from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from tests.support import onnx_models
from tests.support.load import http_request
from tests.support.server import Server, serving

MOST_GROWTH = 5.0  # MB
MOST_ABOVE_IDLE = 64.0  # MB
HTTP_CLIENTS, GRPC_CLIENTS = 12, 4
KEPT = 500  # requests of one connection
_ROWS = (1, 1, 1, 1, 1, 1, 2, 4, 8, 32, 128, 1000)
_LARGE_ROWS, _LARGE_SHARE = 75_000, 0.05
_SHOWN_SECONDS = 20.0
_INFER = "/inference.GRPCInferenceService/ModelInfer"


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    wanted = parser.parse_args().requests
    with tempfile.TemporaryDirectory(prefix="slipway-memory-") as folder:
        path = Path(folder, "m.onnx")
        path.write_bytes(onnx_models.double())
        with serving(path) as server:
            before, after, above, codes = asyncio.run(_measure(server, wanted))
    seen = ", ".join(f"{count} {code}" for code, count in sorted(codes.items()))
    print(f"{codes.total()} requests: {seen}")
    print(
        f"memory {after.anonymous - before.anonymous:+.1f} MB (at most {MOST_GROWTH:g}), "
        f"proportional {after.proportional - before.proportional:+.1f} MB; "
        f"{above:.1f} MB above idle (at most {MOST_ABOVE_IDLE:g})"
    )
    strange = set(codes) - {"200", "400", "404", "OK", "INVALID_ARGUMENT"}
    if strange:
        print(f"unexpected answers: {', '.join(sorted(strange))}")
    grown = after.anonymous - before.anonymous > MOST_GROWTH or above > MOST_ABOVE_IDLE
    return int(grown or bool(strange))


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a process, in MB."""

    anonymous: float
    proportional: float

    @classmethod
    def of(cls, process: psutil.Process) -> "Memory":
        """What it has now."""
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        (anonymous,) = (int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
        return cls(anonymous * 1024 / 1e6, process.memory_full_info().pss / 1e6)

    def __str__(self) -> str:
        return f"{self.anonymous:7.1f} MB anonymous, {self.proportional:7.1f} MB proportional"


async def _measure(server: Server, wanted: int) -> tuple[Memory, Memory, float, Counter[str]]:
    process = psutil.Process(server.process.pid)
    idle, above = Memory.of(process).anonymous, 0.0
    codes = Counter[str]()
    warm = wanted // 10

    def left() -> bool:
        return codes.total() < wanted

    tasks = [
        asyncio.create_task(_http(server, number, codes, left)) for number in range(HTTP_CLIENTS)
    ]
    tasks += [
        asyncio.create_task(_grpc(server, number, codes, left)) for number in range(GRPC_CLIENTS)
    ]
    before, shown = None, time.monotonic()
    while left() and not any(task.done() for task in tasks):
        await asyncio.sleep(0.1)
        above = max(above, Memory.of(process).anonymous - idle)
        if not before and codes.total() >= warm:
            before = Memory.of(process)
            print(f"{codes.total():>9} {before}", flush=True)
        if before and time.monotonic() - shown > _SHOWN_SECONDS:
            shown = time.monotonic()
            print(f"{codes.total():>9} {Memory.of(process)}", flush=True)
    await asyncio.gather(*tasks)
    assert before is not None
    return before, Memory.of(process), above, codes


def _bodies(source: random.Random) -> bytes:
    """One request: mostly good, in JSON or with a binary tensor."""
    large = source.random() < _LARGE_SHARE
    rows = _LARGE_ROWS if large else source.choice(_ROWS)
    tensor: dict[str, object] = {"name": "x", "shape": [rows, 2], "datatype": "FP32"}
    path = "/v2/models/m/infer"
    kind = source.random()
    if kind < 0.02:
        path = f"/v2/models/m{source.randrange(10**9)}/infer"  # never the same twice
    if kind < 0.04:
        tensor["name"] = f"x{source.randrange(10**9)}"
    if kind < 0.5 and not large:
        tensor["data"] = [source.random() for _ in range(2 * rows)]
        return http_request(path, json.dumps({"id": str(kind), "inputs": [tensor]}).encode())
    tensor["parameters"] = {"binary_data_size": 8 * rows}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return http_request(path, head + bytes(8 * rows), json_length=len(head))


async def _http(server: Server, seed: int, codes: Counter[str], left: Callable[[], bool]) -> None:
    source = random.Random(seed)
    requests = [_bodies(source) for _ in range(200)]
    while left():
        async with _connection(server.http) as (reader, writer):
            for number in range(KEPT):
                fresh = number % 50 == 0
                writer.write(_bodies(source) if fresh else source.choice(requests))
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(
                    int(head.partition(b"content-length: ")[2].split(b"\r")[0])
                )
                codes[head[9:12].decode()] += 1
                if b"connection: close" in head or not left():
                    break


@contextlib.asynccontextmanager
async def _connection(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _grpc(server: Server, seed: int, codes: Counter[str], left: Callable[[], bool]) -> None:
    source = random.Random(seed)
    options = [("grpc.use_local_subchannel_pool", 1)]
    while left():
        where = f"127.0.0.1:{server.grpc}"
        async with grpc.aio.insecure_channel(where, options=options) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_INFER)
            for _ in range(KEPT):
                rows = source.choice(_ROWS)
                name = "x" if source.random() > 0.02 else f"x{source.randrange(10**9)}"
                request = pb.ModelInferRequest(model_name="m", raw_input_contents=[bytes(8 * rows)])
                request.inputs.add(name=name, datatype="FP32", shape=[rows, 2])
                try:
                    await call(request.SerializeToString(), timeout=60)
                    codes["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    codes[error.code().name] += 1
                if not left():
                    break


if __name__ == "__main__":
    sys.exit(main())
