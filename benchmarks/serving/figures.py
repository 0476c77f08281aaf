"""From samples to the figures that are promised. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.serving.load import Sample

OURS: Final = "slipway"
ONE_THREAD: Final = "slipway-1"  # ours, with one thread for the model
KINDS: Final = ("json", "binary", "grpc")
PYTHON_PEERS: Final = ("fastapi", "mlserver", "kserve", "pytriton")


@dataclass(frozen=True, slots=True)
class Case:
    """One load."""

    server: str
    kind: str
    model: str
    connections: int


@dataclass(frozen=True, slots=True)
class Bare:
    """ONNX Runtime alone: rows per second, and CPU microseconds of a row."""

    rate: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a run measured. Each sample is the median of its rounds.

    Attributes:
        samples: by case.
        beside: our samples, measured in turns with a peer's: by the peer's case.
        raw: ``session.run`` of one row on one thread, measured in turns with our cases.
        ceilings: the same with our server's batch and threads, by our case.
        ready: seconds from start to ready with the tiny model only, by server.
        memory: idle megabytes with the tiny model only, by server, as if alone on the machine.
    """

    samples: Mapping[Case, Sample]
    beside: Mapping[Case, Sample]
    raw: Mapping[Case, Bare]
    ceilings: Mapping[Case, Bare]
    ready: Mapping[str, float]
    memory: Mapping[str, float]

    def faster(self, theirs: Case) -> float | None:
        """Our requests per second in units of a peer's."""
        sample, ours = self.samples.get(theirs), self.beside.get(theirs)
        return ours.rate / sample.rate if sample and ours and sample.rate else None

    def cheaper(self, theirs: Case) -> float | None:
        """CPU time of a peer's request in units of ours."""
        sample, ours = self.samples.get(theirs), self.beside.get(theirs)
        return sample.cpu / ours.cpu if sample and ours and ours.cpu else None

    def later(self, theirs: Case) -> float | None:
        """Our median latency in units of a peer's."""
        sample, ours = self.samples.get(theirs), self.beside.get(theirs)
        return ours.p50 / sample.p50 if sample and ours and sample.p50 else None


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise.

    Attributes:
        value: ``None`` when a server it needs was not measured.
        smaller: whether less is better.
        cpu: the same ratio in CPU time of the servers, which neither the load generator nor others
            on the machine take anything from.
    """

    what: str
    floor: float
    reach: float
    value: float | None
    smaller: bool = False
    cpu: float | None = None

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.value is None:
            return "-"
        if self.value <= self.reach if self.smaller else self.value >= self.reach:
            return "reached"
        if self.value <= self.floor if self.smaller else self.value >= self.floor:
            return "floor"
        return "SHORT"


def figures(facts: Facts) -> list[Figure]:
    """Every figure, in the order in which they are promised."""
    tiny_json, tiny_binary = (Case(OURS, kind, "tiny", 32) for kind in ("json", "binary"))
    found = [
        _bare(f"tiny {name} c=32 / raw", bounds, facts.samples.get(case), facts.raw.get(case))
        for name, case, bounds in (
            ("JSON", tiny_json, (0.38, 0.45)),
            ("binary", tiny_binary, (0.40, 0.48)),
        )
    ]
    for peer, floor, reach in (
        ("fastapi", 18.0, 30.0), ("mlserver", 22, 30), ("kserve", 30, 40), ("pytriton", 8, 12),
    ):  # fmt: skip
        found.append(_against(facts, tiny_json, peer, (floor, reach)))
    found.append(_against(facts, tiny_json, "native", (0.8, 1.1)))
    found.append(_latency(facts, ("native",), (1.2, 1.0), "native"))
    found.append(_latency(facts, PYTHON_PEERS, (0.15, 0.10), "best Python peer"))
    rpc = Case(OURS, "grpc", "tiny", 32)
    for peer, floor, reach in (
        ("kserve", 1.5, 15.0),
        ("mlserver", 2.5, 25.0),
        ("pytriton", 1.7, 15.0),
    ):
        found.append(_against(facts, rpc, peer, (floor, reach)))
    for server, threads in ((ONE_THREAD, "one thread"), (OURS, "every CPU")):
        for model in ("small", "medium"):
            what = f"{model} c=8 / raw, same batch, {threads}"
            case = Case(server, "binary", model, 8)
            ceiling = facts.ceilings.get(case)
            found += [_bare(what, (0.85, 0.95), facts.samples.get(case), ceiling)]
    found.append(_medium(facts))
    image = Case(OURS, "binary", "image", 8)
    found.append(_against(facts, image, "pytriton", (2, 3)))
    found.append(_against(facts, image, "kserve", (100, 200)))
    found.append(_against(facts, Case(OURS, "json", "image", 8), "pytriton", (1.2, 2)))
    for what, per_server, bounds in (
        ("start to ready", facts.ready, {"fastapi": (0.3, 0.15), "mlserver": (0.15, 0.1)}),
        ("idle memory", facts.memory, {"fastapi": (0.7, 0.55), "mlserver": (0.4, 0.3)}),
    ):
        for peer, (floor, reach) in bounds.items():
            value = _share(per_server, peer)
            found.append(Figure(f"{what}, tiny, vs {peer}", floor, reach, value, smaller=True))
    return found


def table(found: list[Figure]) -> str:
    """For a terminal."""
    lines = [f"{'what':<40} {'measured':>9} {'by CPU':>7} {'floor':>7} {'reach':>7}  verdict"]
    for figure in found:
        value, cpu = ("-" if one is None else f"{one:.2f}" for one in (figure.value, figure.cpu))
        lines.append(
            f"{figure.what:<40} {value:>9} {cpu:>7} {figure.floor:>7g} {figure.reach:>7g}"
            f"  {figure.verdict}"
        )
    return "\n".join(lines)


def _bare(
    what: str, bounds: tuple[float, float], sample: Sample | None, bare: Bare | None
) -> Figure:
    """Beside ONNX Runtime alone."""
    if sample is None or bare is None or not sample.cpu:
        return Figure(what, *bounds, None)
    return Figure(what, *bounds, sample.rate / bare.rate, cpu=bare.cpu / sample.cpu)


def _against(facts: Facts, mine: Case, peer: str, bounds: tuple[float, float]) -> Figure:
    theirs = replace(mine, server=peer)
    what = f"{mine.model} {mine.kind} c={mine.connections} vs {peer}"
    return Figure(what, *bounds, facts.faster(theirs), cpu=facts.cheaper(theirs))


def _latency(
    facts: Facts, peers: tuple[str, ...], bounds: tuple[float, float], name: str
) -> Figure:
    ratios = [
        ratio for peer in peers if (ratio := facts.later(Case(peer, "json", "tiny", 1))) is not None
    ]
    what = f"tiny JSON c=1 p50 vs {name}"
    return Figure(what, *bounds, max(ratios, default=None), smaller=True)


def _medium(facts: Facts) -> Figure:
    """Against the fastest way to ask the fastest peer, with as many threads as it uses."""
    ratios = []
    for peer in PYTHON_PEERS:
        cases = [Case(peer, kind, "medium", 8) for kind in KINDS]
        theirs = [facts.samples[case] for case in cases if case in facts.samples]
        ours = [facts.beside[case] for case in cases if case in facts.beside]
        if theirs and ours:
            rate = max(one.rate for one in ours) / max(one.rate for one in theirs)
            cpu = min(one.cpu for one in theirs) / min(one.cpu for one in ours)
            ratios.append((rate, cpu))
    value, cpu_ratio = min(ratios, default=(None, None))
    return Figure("medium c=8 vs best peer, equal threads", 1.15, 1.3, value, cpu=cpu_ratio)


def _share(per_server: Mapping[str, float], peer: str) -> float | None:
    mine, theirs = per_server.get(OURS), per_server.get(peer)
    return mine / theirs if mine and theirs else None
