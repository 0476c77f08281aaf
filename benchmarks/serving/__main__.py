"""Figures of the inference server: ``python -m benchmarks.serving [--peers kserve,mlserver]``.

Every server runs the same models, is checked against ONNX Runtime's own answer, then loaded by wrk
or h2load. Beside each, raw ``session.run`` is measured, and rates are compared in units of that, so
that a machine which others use as well changes little. Figures are ratios; the last columns say
what was promised. With ``--save`` the table and the machine go into ``benchmarks/results``.
"""

import argparse
import http.client
import json
import statistics
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from benchmarks.serving import ceiling, models
from benchmarks.serving.bodies import RPC, Body, body, numbers
from benchmarks.serving.figures import OURS, Case, Facts, figures, table
from benchmarks.serving.load import Load, Sample, measure, median, missing_tools
from benchmarks.serving.servers import NATIVE, PEERS, Serving, native, ours, peer

FOLDER: Final = Path.home() / ".cache" / "slipway" / "bench-serving" / "models"
RESULTS: Final = Path(__file__).parents[1] / "results"
CASES: Final = {
    "tiny": (("json", 1), ("json", 32), ("binary", 32), ("grpc", 1), ("grpc", 32)),
    "small": (("binary", 8),),
    "medium": (("json", 8), ("binary", 8), ("grpc", 8)),
    "image": (("binary", 8), ("json", 8)),
}
Numbers = npt.NDArray[Any]
TOLERANCE: Final = 1e-3
STARTS: Final = 3


@dataclass
class Run:
    """What is measured, as it comes in."""

    paths: dict[str, Path]
    seconds: int
    rounds: int
    samples: dict[Case, Sample] = field(default_factory=dict)
    raw: dict[tuple[str, str], float] = field(default_factory=dict)
    ceilings: dict[str, float] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    def measure(self, serving: Serving, kinds: tuple[str, ...]) -> None:
        """All cases of a server."""
        for model in self.paths:
            rate = ceiling.items_per_second(model, self.paths[model], seconds=0.5)
            self.raw[(serving.name, model)] = rate
            expected = ceiling.first_answer(model, self.paths[model])
            for kind, connections in CASES[model]:
                if kind in kinds:
                    self._case(serving, Case(serving.name, kind, model, connections), expected)

    def _case(self, serving: Serving, case: Case, expected: Numbers) -> None:
        request = body(case.kind, case.model, models.feeds(case.model))
        wrong = check(serving, case, request, expected)
        if wrong:
            print(f"{case.server:10} {case.kind:7} {case.model:7} left out: {wrong}", flush=True)
            return
        load = Load(case.kind, serving.port(case.kind), case.model, request, case.connections)
        samples = [measure(load, serving.running, seconds=self.seconds) for _ in range(self.rounds)]
        found = self.samples[case] = median(samples)
        print(
            f"{case.server:10} {case.kind:7} {case.model:7} {case.connections:3}"
            f" {found.rate:10.0f}/s  p50 {found.p50:8.0f} us  p99 {found.p99:8.0f} us"
            f"  cpu {found.cpu:8.0f} us  raw {self.raw[(case.server, case.model)]:8.0f}/s"
            f"  failed {found.failed}",
            flush=True,
        )

    def facts(self) -> Facts:
        """What the figures are made of."""
        return Facts(self.samples, self.raw, self.ceilings, self.ready, self.memory)


def check(
    serving: Serving,
    case: Case,
    request: Body,
    expected: Numbers,
) -> str:
    """Why a server's answer is wrong, or nothing."""
    try:
        if case.kind == "grpc":
            found = numbers("grpc", _call(serving.grpc_port, request), None)
        else:
            found = _post(serving.http_port, case, request)
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"[:200]
    flat = expected.ravel()
    if found.size != flat.size:
        return f"{found.size} numbers instead of {flat.size}"
    off = float(np.abs(found - flat).max())
    return f"off by {off:.2g}" if off > TOLERANCE else ""


def _post(port: int, case: Case, request: Body) -> Numbers:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    path = f"/v2/models/{case.model}/infer"
    connection.request("POST", path, request.data, dict(request.headers))
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 200:
        raise ValueError(f"HTTP {answer.status}: {data[:150]!r}")
    return numbers(case.kind, data, answer.getheader("inference-header-content-length"))


def _call(port: int, request: Body) -> bytes:
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(RPC)
        try:
            answer: bytes = call(request.data[5:], timeout=20)
        except grpc.RpcError as error:
            raise ValueError(str(error)[:150]) from error
        return answer


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [*PEERS, NATIVE]
    parser.add_argument(
        "--peers", default="all", help=f"all, none, or some of {','.join(known)} (default: all)"
    )
    parser.add_argument(
        "--models", default=",".join(models.NAMES), help="some of %(default)s (default: all)"
    )
    parser.add_argument("--seconds", type=int, default=3, help="of each load (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts (default: 3)")
    parser.add_argument("--save", action="store_true", help="keep the table in benchmarks/results")
    options = parser.parse_args()
    if tools := missing_tools():
        raise SystemExit(f"missing tools: apt-get install {' '.join(tools)}")
    chosen = {"all": known, "none": []}.get(options.peers, options.peers.split(","))
    if unknown := [name for name in chosen if name not in known]:
        raise SystemExit(f"--peers: {unknown[0]} is none of {', '.join(known)}")
    names = options.models.split(",")
    run = Run(models.write(FOLDER, names), options.seconds, options.rounds)
    _all(run, chosen)
    text = f"{machine()}\n\n{table(figures(run.facts()))}\n"
    print(f"\n{text}")
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "serving.txt").write_text(text)


def _all(run: Run, peers: list[str]) -> None:
    kinds = ("json", "binary", "grpc")
    with ours(run.paths) as serving:
        run.measure(serving, kinds)
        _ceilings(run, serving)
    if "medium" in run.paths:
        one = {"medium": run.paths["medium"]}
        with ours(one, threads=1) as serving:
            limited = Run(one, run.seconds, run.rounds, run.samples, run.raw)
            limited.measure(replace(serving, name=f"{OURS}-1"), kinds)
    if NATIVE in peers and "tiny" in run.paths:
        tiny = {"tiny": run.paths["tiny"]}
        with native(tiny) as serving:
            Run(tiny, run.seconds, run.rounds, run.samples, run.raw).measure(serving, ("json",))
    for name in peers:
        if name == NATIVE:
            continue
        with peer(PEERS[name], run.paths) as serving:
            run.measure(serving, PEERS[name].kinds)
    if "tiny" in run.paths:
        tiny = {"tiny": run.paths["tiny"]}
        _starts(run, OURS, partial(ours, tiny))
        for name in peers:
            if name in ("fastapi", "mlserver"):
                _starts(run, name, partial(peer, PEERS[name], tiny))


def _ceilings(run: Run, serving: Serving) -> None:
    """Bare runs with the batch and the threads that our server chose."""
    for model in run.paths:
        if model not in ("small", "medium"):
            continue
        url = f"http://127.0.0.1:{serving.http_port}/v2/models/{model}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            chosen = json.load(answer)["parameters"]
        instances = int(chosen["instances"])
        rows = min(max(1, 8 // instances), int(chosen["max_batch_rows"]))
        run.ceilings[model] = ceiling.items_per_second(
            model,
            run.paths[model],
            rows=rows,
            runs_at_once=instances,
            threads=int(chosen["threads"]),
            seconds=float(run.seconds),
        )


def _starts(run: Run, name: str, start: Callable[[], AbstractContextManager[Serving]]) -> None:
    """Start to ready, and memory after a while, with one small model."""
    took, memory = [], []
    for _ in range(STARTS):
        with start() as serving:
            took.append(serving.running.ready_seconds)
            time.sleep(1)
            memory.append(serving.running.memory_megabytes())
    run.ready[name], run.memory[name] = statistics.median(took), statistics.median(memory)
    print(f"{name:10} ready in {run.ready[name]:.2f} s, {run.memory[name]:.0f} MB idle", flush=True)


if __name__ == "__main__":
    main()
