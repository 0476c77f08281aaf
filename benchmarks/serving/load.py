"""Timed loads by wrk (HTTP/1.1) and h2load (gRPC over HTTP/2), which cost less than any server."""

import json
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.serving.bodies import RPC, Body
from benchmarks.serving.processes import Running

_SCRIPT: Final = """\
function init(args)
  local file = io.open(args[1], "rb"); wrk.body = file:read("*a"); file:close()
  wrk.method = "POST"
  for place = 3, #args do
    local name, value = args[place]:match("^(.-): (.*)$"); wrk.headers[name] = value
  end
  target = args[2]
end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  local file = io.open(threads[1]:get("target"), "w")
  file:write(string.format('{"count":%d,"seconds":%f,"p50":%f,"p99":%f,"failed":%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    failed))
  file:close()
end
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a load of some seconds saw. Latencies and CPU in microseconds."""

    rate: float
    p50: float
    p99: float
    failed: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Load:
    """One case: who is asked what, over how many connections, one request at a time on each."""

    kind: str
    port: int
    model: str
    body: Body
    connections: int


def missing_tools() -> list[str]:
    """Debian packages that a run needs and that are not there."""
    tools = {"wrk": "wrk", "h2load": "nghttp2-client"}
    return [package for tool, package in tools.items() if shutil.which(tool) is None]


def measure(load: Load, server: Running, *, seconds: int) -> Sample:
    """Load a server, after a second of warm-up.

    Raises:
        SystemExit: the load generator failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "body").write_bytes(load.body.data)
        run = _h2load if load.kind == "grpc" else _wrk
        run(load, place, 1)
        before = server.cpu_seconds()
        found = run(load, place, seconds)
        spent = server.cpu_seconds() - before
    count = max(1, int(found["count"]))
    return Sample(
        rate=found["count"] / found["seconds"],
        p50=found["p50"],
        p99=found["p99"],
        failed=int(found["failed"]),
        cpu=spent / count * 1e6,
    )


def median(samples: list[Sample]) -> Sample:
    """Each figure's median."""
    return Sample(
        rate=statistics.median(sample.rate for sample in samples),
        p50=statistics.median(sample.p50 for sample in samples),
        p99=statistics.median(sample.p99 for sample in samples),
        failed=sum(sample.failed for sample in samples),
        cpu=statistics.median(sample.cpu for sample in samples),
    )


def _wrk(load: Load, place: Path, seconds: int) -> dict[str, float]:
    script = place / "post.lua"
    script.write_text(_SCRIPT)
    url = f"http://127.0.0.1:{load.port}/v2/models/{load.model}/infer"
    headers = [f"{name}: {value}" for name, value in load.body.headers]
    _run(
        [
            "wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--timeout", "20s",
            "-s", str(script), url, "--", str(place / "body"), str(place / "result"), *headers,
        ]
    )  # fmt: skip
    result: dict[str, float] = json.loads((place / "result").read_text())
    return result


def _h2load(load: Load, place: Path, seconds: int) -> dict[str, float]:
    lines = place / "result"
    lines.unlink(missing_ok=True)
    headers = [part for name, value in load.body.headers for part in ("-H", f"{name}: {value}")]
    _run(
        [
            "h2load", "-c", str(load.connections), "-m", "1", "-t", "1", "-D", str(seconds),
            "-d", str(place / "body"), f"--log-file={lines}", *headers,
            f"http://127.0.0.1:{load.port}{RPC}",
        ]
    )  # fmt: skip
    rows = [line.split("\t") for line in lines.read_text().splitlines()]
    took = sorted(int(row[2]) for row in rows if row[1] == "200")
    if not took:
        raise SystemExit(f"no gRPC call to {load.model} succeeded")
    return {
        "count": len(took),
        "seconds": seconds,
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
        "failed": len(rows) - len(took),
    }


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{command[0]} failed: {ended.stderr[-500:]}")
