"""Figures of the inference server: ``python -m benchmarks.serving [--peers kserve,mlserver]``.

Every server runs the same models, is checked against ONNX Runtime's own answer, then loaded by wrk
or h2load. What is compared is measured in turns, round by round: ours and a peer, ours and raw
``session.run``; so what else the machine does meanwhile meets both. Figures are ratios; the last
columns say what was promised. With ``--save`` the table and the machine go into
``benchmarks/results``.
"""

import argparse
import http.client
import json
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from benchmarks.serving import ceiling, models
from benchmarks.serving.bodies import RPC, Body, body, numbers
from benchmarks.serving.ceiling import Shape
from benchmarks.serving.figures import (
    KINDS,
    ONE_THREAD,
    OURS,
    Bare,
    Case,
    Facts,
    figures,
    table,
)
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
# Models that fill every CPU they are given.
_FULL: Final = tuple(Case(OURS, "binary", model, 8) for model in ("small", "medium"))
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
    beside: dict[Case, Sample] = field(default_factory=dict)
    raw: dict[Case, Bare] = field(default_factory=dict)
    ceilings: dict[Case, Bare] = field(default_factory=dict)
    ready: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    def alone(self, serving: Serving) -> None:
        """All cases of our server, in turns with ONNX Runtime alone."""
        for case in self._cases(serving, KINDS):
            if case in _FULL:
                self._below_ceiling(serving, case)
                continue
            path, found, raw = self.paths[case.model], [], []
            for _ in range(self.rounds):
                raw.append(ceiling.bare(case.model, path, seconds=0.5))
                found.append(self._sample(serving, case))
            self.samples[case], self.raw[case] = median(found), _median(raw)
            self._tell(case, self.samples[case], f"raw {self.raw[case].rate:8.0f}/s")

    def one_thread(self, serving: Serving) -> None:
        """Models that fill a CPU, with one for them and the others for server and clients."""
        for case in self._cases(serving, KINDS):
            if case in _FULL:
                self._below_ceiling(serving, replace(case, server=ONE_THREAD))

    def _below_ceiling(self, serving: Serving, case: Case) -> None:
        """In turns with ONNX Runtime alone, which has the same threads and batch."""
        path, found, most = self.paths[case.model], [], []
        for _ in range(self.rounds):
            found.append(self._sample(serving, case))
            shape = _shape(serving, case.model)
            most.append(ceiling.bare(case.model, path, shape=shape))
        self.samples[case], self.ceilings[case] = median(found), _median(most)
        self._tell(case, self.samples[case], f"raw {self.ceilings[case].rate:8.0f}/s")

    def in_turns(self, serving: Serving, mine: dict[str, Serving], kinds: tuple[str, ...]) -> None:
        """All cases of a peer, each in turns with one of ours, by model."""
        for case in self._cases(serving, kinds):
            theirs, ours = [], []
            for _ in range(self.rounds):
                with serving.running.aside():
                    ours.append(self._sample(mine[case.model], case))
                theirs.append(self._sample(serving, case))
            self.samples[case], self.beside[case] = median(theirs), median(ours)
            self._tell(case, self.samples[case], "")
            self._tell(replace(case, server=OURS), self.beside[case], f"beside {case.server}")

    def _cases(self, serving: Serving, kinds: tuple[str, ...]) -> Iterator[Case]:
        """Those that a server answers rightly."""
        for model in self.paths:
            expected = ceiling.first_answer(model, self.paths[model])
            for kind, connections in CASES[model]:
                case = Case(serving.name, kind, model, connections)
                if kind not in kinds or not _is_compared(case):
                    continue
                wrong = check(serving, case, _request(case), expected)
                if wrong:
                    print(f"{case.server:10} {kind:7} {model:7} left out: {wrong}", flush=True)
                else:
                    yield case

    def _sample(self, serving: Serving, case: Case) -> Sample:
        port = serving.port(case.kind)
        load = Load(case.kind, port, case.model, _request(case), case.connections)
        return measure(load, serving.running, seconds=self.seconds)

    @staticmethod
    def _tell(case: Case, found: Sample, more: str) -> None:
        print(
            f"{case.server:10} {case.kind:7} {case.model:7} {case.connections:3}"
            f" {found.rate:10.0f}/s  p50 {found.p50:8.0f} us  p99 {found.p99:8.0f} us"
            f"  cpu {found.cpu:8.0f} us  failed {found.failed}  {more}",
            flush=True,
        )

    def facts(self) -> Facts:
        """What the figures are made of."""
        return Facts(self.samples, self.beside, self.raw, self.ceilings, self.ready, self.memory)


def _median(found: list[Bare]) -> Bare:
    return Bare(
        statistics.median(bare.rate for bare in found),
        statistics.median(bare.cpu for bare in found),
    )


def _is_compared(case: Case) -> bool:
    """Whether a figure is made of it."""
    if case.server == OURS:
        return True
    if case.model == "image":
        return case.kind == "binary" or case.server == "pytriton"
    return case.model != "small" and (case.kind, case.connections) != ("grpc", 1)


def _request(case: Case) -> Body:
    return body(case.kind, case.model, models.feeds(case.model))


def _shape(serving: Serving, model: str) -> Shape:
    """The batch and the threads that our server chose."""
    url = f"http://127.0.0.1:{serving.http_port}/v2/models/{model}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        chosen = json.load(answer)["parameters"]
    instances = int(chosen["instances"])
    rows = min(max(1, 8 // instances), int(chosen["max_batch_rows"]))
    return Shape(rows=rows, runs_at_once=instances, threads=int(chosen["threads"]))


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
    with ours(run.paths) as serving:
        run.alone(serving)
        for name in peers:
            _beside(run, name, serving)
    full = {case.model: run.paths[case.model] for case in _FULL if case.model in run.paths}
    if full:
        with ours(full, threads=1) as serving:
            replace(run, paths=full).one_thread(serving)
    if "tiny" in run.paths:
        tiny = {"tiny": run.paths["tiny"]}
        _starts(run, OURS, partial(ours, tiny))
        for name in peers:
            if name in ("fastapi", "mlserver"):
                _starts(run, name, partial(peer, PEERS[name], tiny))


def _beside(run: Run, name: str, serving: Serving) -> None:
    """One peer, in turns with ours; with the medium model both have as many threads."""
    mine = dict.fromkeys(run.paths, serving)
    with ExitStack() as stack:
        if name == NATIVE:
            if "tiny" in run.paths:
                other = stack.enter_context(native({"tiny": run.paths["tiny"]}))
                replace(run, paths={"tiny": run.paths["tiny"]}).in_turns(other, mine, ("json",))
            return
        if "medium" in run.paths and not PEERS[name].at_once:
            one = {"medium": run.paths["medium"]}
            mine["medium"] = stack.enter_context(ours(one, threads=1))
        other = stack.enter_context(peer(PEERS[name], run.paths))
        run.in_turns(other, mine, PEERS[name].kinds)


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
