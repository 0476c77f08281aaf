"""Figures of the inference server: ``python -m benchmarks.serving [--seconds 3]``.

Prints start to ready for magika's model and a tiny one, then requests/s and latencies of the tiny
model against raw ``session.run`` (batch 1, one thread) measured in the same run. Read ratios: the
load generator (ours, one process) shares the machine with the server. On a machine that others use
as well the column to read is ``cpu``: the server's CPU time of one request against that of one raw
run, which needs no free core to be right.
"""

import argparse
import asyncio
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
WIDTH, CLASSES = 32, 8
CONNECTIONS = (1, 8, 32)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="the median of these is printed")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    parser.add_argument("--raw", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(asyncio.run(_load(**json.loads(options.load)))))
    elif options.raw:
        print(json.dumps(_raw(options.raw, options.seconds)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            _report(Path(folder), options.seconds, options.rounds)


def _report(folder: Path, seconds: float, rounds: int) -> None:
    tiny = folder / "tiny.onnx"
    tiny.write_bytes(_tiny_model())
    print(f"machine: {os.cpu_count()} CPUs, {_cpu_name()}")
    print("\nstart to ready, seconds (python started -> /v2/health/ready is 200):")
    for name, path in (("magika", _magika()), ("tiny", tiny)):
        took = []
        for _ in range(rounds):
            with _server(path, name) as (_, ready, _):
                took.append(ready)
        print(f"  {name:8} {statistics.median(took):.2f}  (of {rounds}: {_listed(took)})")
    rows: dict[tuple[str, int], list[dict[str, float]]] = {}
    raws = []
    with _server(tiny, "tiny") as (ports, _, pid):
        for _ in range(rounds):
            raws.append(_child("--raw", str(tiny), seconds))
            for kind in ("json", "binary", "grpc"):
                for connections in CONNECTIONS:
                    spec = {
                        "kind": kind, "port": ports["grpc" if kind == "grpc" else "http"],
                        "connections": connections, "seconds": seconds,
                    }  # fmt: skip
                    before = _cpu_seconds(pid)
                    result = _child("--load", json.dumps(spec), seconds)
                    result["cpu"] = (_cpu_seconds(pid) - before) / max(1, result["all"])
                    rows.setdefault((kind, connections), []).append(result)
    raw = statistics.median(item["rps"] for item in raws)
    cpu = statistics.median(item["cpu"] for item in raws)
    print(f"\ntiny model, raw session.run: {raw:.0f}/s, {cpu * 1e6:.1f} us of CPU")
    print("kind    conns  requests/s  of raw  p50 us  p99 us  failed  cpu us  raw cpu / cpu")
    for (kind, connections), results in rows.items():
        rps = statistics.median(item["rps"] for item in results)
        ratios = [item["rps"] / base["rps"] for item, base in zip(results, raws, strict=True)]
        p50 = statistics.median(item["p50"] for item in results)
        p99 = statistics.median(item["p99"] for item in results)
        failed = sum(item["failed"] for item in results)
        used = statistics.median(item["cpu"] for item in results)
        print(
            f"{kind:7} {connections:5}  {rps:10.0f}  {statistics.median(ratios):6.3f}  {p50:6.0f}  "
            f"{p99:6.0f}  {failed:6.0f}  {used * 1e6:6.1f}  {cpu / used:6.3f}"
        )
    print(
        "grpc is bounded by the load generator's own grpc.aio client, which costs more than ours."
    )


@contextmanager
def _server(model: Path, name: str) -> Iterator[tuple[dict[str, int], float, int]]:
    ports = {"http": _free_port(), "grpc": _free_port()}
    command = [
        sys.executable, "-m", "slipway_server", "serve", str(model), "--name", name,
        "--http-port", str(ports["http"]), "--grpc-port", str(ports["grpc"]),
    ]  # fmt: skip
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        while True:
            try:
                url = f"http://127.0.0.1:{ports['http']}/v2/health/ready"
                urllib.request.urlopen(url, timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - start > 60:
                    raise SystemExit("the server did not start") from None
                time.sleep(0.01)
        yield ports, time.perf_counter() - start, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _child(flag: str, value: str, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-P", __file__, flag, value, "--seconds", str(seconds)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output)
    return result


def _raw(model: str, seconds: float) -> dict[str, float]:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {"x": np.ones((1, WIDTH), np.float32)}
    for _ in range(200):
        session.run(None, feeds)
    count, end, before = 0, time.perf_counter() + seconds, time.process_time()
    start = time.perf_counter()
    while time.perf_counter() < end:
        for _ in range(100):
            session.run(None, feeds)
        count += 100
    used = time.process_time() - before
    return {"rps": count / (time.perf_counter() - start), "cpu": used / count}


async def _load(kind: str, port: int, connections: int, seconds: float) -> dict[str, float]:
    latencies: list[float] = []
    end = time.perf_counter() + 0.3 + seconds
    start = time.perf_counter() + 0.3  # what comes before is warm-up
    failed = [0]
    if kind == "grpc":
        await _load_grpc(port, connections, (start, end), latencies)
    else:
        request = _request(kind)
        loop = asyncio.get_running_loop()
        clients = [
            _HttpClient(port, request, (start, end), latencies, failed) for _ in range(connections)
        ]
        for client in clients:
            await loop.create_connection(partial(_same, client), "127.0.0.1", port)
        await asyncio.gather(*(client.done for client in clients))
    latencies.sort()
    return {
        "rps": len(latencies) / seconds,
        "p50": latencies[len(latencies) // 2] * 1e6,
        "p99": latencies[int(len(latencies) * 0.99)] * 1e6,
        "failed": failed[0],
        "all": len(latencies) * (seconds + 0.3) / seconds,
    }


def _same(protocol: "_HttpClient") -> "_HttpClient":
    """A protocol factory of one made already."""
    return protocol


class _HttpClient(asyncio.Protocol):
    """One kept connection, one request at a time; connects again when the server ends it."""

    def __init__(
        self,
        port: int,
        request: bytes,
        window: tuple[float, float],
        latencies: list[float],
        failed: list[int],
    ) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._port, self._request, self._window = port, request, window
        self._latencies, self._failed = latencies, failed
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        place = self._buffer.find(b"content-length: ", 0, head) + 16
        length = int(self._buffer[place : self._buffer.index(b"\r", place)])
        if len(self._buffer) < head + 4 + length:
            return
        now = time.perf_counter()
        if self._sent >= self._window[0]:
            self._latencies.append(now - self._sent)
        if not self._buffer.startswith(b"HTTP/1.1 200"):
            self._failed[0] += 1
        close = b"connection: close" in self._buffer[:head]
        self._buffer = b""
        if now >= self._window[1]:
            self._transport.close()
            if not self.done.done():
                self.done.set_result(None)
        elif close:
            self._transport.close()
            self._again = asyncio.ensure_future(
                asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
            )
        else:
            self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def _load_grpc(
    port: int, connections: int, window: tuple[float, float], latencies: list[float]
) -> None:
    import grpc.aio

    from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb

    message = pb.ModelInferRequest(model_name="tiny")
    message.inputs.add(name="x", datatype="FP32", shape=[1, WIDTH])
    message.raw_input_contents.append(bytes(4 * WIDTH))
    request = message.SerializeToString()

    async def client(number: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer"
            )
            while (sent := time.perf_counter()) < window[1]:
                await call(request)
                if sent >= window[0]:
                    latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(client(number) for number in range(connections)))


def _request(kind: str) -> bytes:
    values = [round(0.1 * place - 1.234567, 6) for place in range(WIDTH)]
    tensor: dict[str, object] = {"name": "x", "shape": [1, WIDTH], "datatype": "FP32"}
    path = "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: localhost\r\n"
    if kind == "json":
        body = json.dumps({"inputs": [{**tensor, "data": values}]}).encode()
        head = f"{path}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body
    import struct

    raw = struct.pack(f"<{WIDTH}f", *values)
    tensor["parameters"] = {"binary_data_size": len(raw)}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    head = (
        f"{path}Content-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\n"
        f"Content-Length: {len(text) + len(raw)}\r\n\r\n"
    )
    return head.encode() + text + raw


def _tiny_model() -> bytes:
    """A multi-layer perceptron 32-256-256-8 with softmax: some 26 us a run."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    sizes = (WIDTH, 256, 256, CLASSES)
    nodes, weights, current = [], [], "x"
    for layer, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        scale = (2 / rows) ** 0.5
        matrix = (random.standard_normal((rows, columns)) * scale).astype(np.float32)
        bias = (random.standard_normal(columns) * 0.1).astype(np.float32)
        weights += [
            numpy_helper.from_array(matrix, f"w{layer}"),
            numpy_helper.from_array(bias, f"b{layer}"),
        ]
        nodes.append(helper.make_node("Gemm", [current, f"w{layer}", f"b{layer}"], [f"g{layer}"]))
        current = f"g{layer}"
        if layer < len(sizes) - 2:
            nodes.append(helper.make_node("Relu", [current], [f"r{layer}"]))
            current = f"r{layer}"
    nodes.append(helper.make_node("Softmax", [current], ["y"], axis=1))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    data: bytes = model.SerializeToString()
    return data


def _magika() -> Path:
    import importlib.util

    spec = importlib.util.find_spec("magika")
    if spec is None or spec.origin is None:
        raise SystemExit("magika is not installed: use the dev environment")
    return next((Path(spec.origin).parent / "models").glob("standard_*/model.onnx"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"


if __name__ == "__main__":
    main()
