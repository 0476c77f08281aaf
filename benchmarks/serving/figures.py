"""From samples to the figures that are promised. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.serving.load import Sample

OURS: Final = "slipway"
PYTHON_PEERS: Final = ("fastapi", "mlserver", "kserve", "pytriton")


@dataclass(frozen=True, slots=True)
class Case:
    """One load."""

    server: str
    kind: str
    model: str
    connections: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a run measured.

    Attributes:
        samples: the median of the rounds of a case.
        raw: ``session.run`` of one row on one thread, rows per second, measured beside each
            server: by server and model.
        ceilings: the same with our server's batch and threads, by model.
        ready: seconds from start to ready with the tiny model only, by server.
        memory: idle megabytes (PSS) with the tiny model only, by server.
    """

    samples: Mapping[Case, Sample]
    raw: Mapping[tuple[str, str], float]
    ceilings: Mapping[str, float]
    ready: Mapping[str, float]
    memory: Mapping[str, float]

    def rate(self, case: Case) -> float | None:
        """Requests per second in units of raw runs: what others used of the machine divides out."""
        sample = self.samples.get(case)
        raw = self.raw.get((case.server, case.model))
        return None if sample is None or not raw else sample.rate / raw

    def median_latency(self, case: Case) -> float | None:
        """The same for the median latency."""
        sample = self.samples.get(case)
        raw = self.raw.get((case.server, case.model))
        return None if sample is None or not raw else sample.p50 * raw


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise.

    Attributes:
        value: ``None`` when a server it needs was not measured.
        smaller: whether less is better.
    """

    what: str
    floor: float
    reach: float
    value: float | None
    smaller: bool = False

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
    tiny_json = Case(OURS, "json", "tiny", 32)
    found = [
        Figure("tiny JSON c=32 / raw", 0.38, 0.45, facts.rate(tiny_json)),
        Figure("tiny binary c=32 / raw", 0.40, 0.48, facts.rate(Case(OURS, "binary", "tiny", 32))),
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
    for model in ("small", "medium"):
        rate = facts.samples.get(Case(OURS, "binary", model, 8))
        ceiling = facts.ceilings.get(model)
        value = rate.rate / ceiling if rate and ceiling else None
        found.append(Figure(f"{model} c=8 / raw, same threads and batch", 0.85, 0.95, value))
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
    lines = [f"{'what':<46} {'measured':>9} {'floor':>7} {'reach':>7}  verdict"]
    for figure in found:
        value = "-" if figure.value is None else f"{figure.value:.2f}"
        lines.append(
            f"{figure.what:<46} {value:>9} {figure.floor:>7g} {figure.reach:>7g}  {figure.verdict}"
        )
    return "\n".join(lines)


def _against(facts: Facts, mine: Case, peer: str, bounds: tuple[float, float]) -> Figure:
    theirs = Case(peer, mine.kind, mine.model, mine.connections)
    what = f"{mine.model} {mine.kind} c={mine.connections} vs {peer}"
    return Figure(what, *bounds, _ratio(facts.rate, mine, theirs))


def _latency(
    facts: Facts, peers: tuple[str, ...], bounds: tuple[float, float], name: str
) -> Figure:
    mine = Case(OURS, "json", "tiny", 1)
    ratios = [
        ratio
        for peer in peers
        if (ratio := _ratio(facts.median_latency, mine, Case(peer, "json", "tiny", 1))) is not None
    ]
    what = f"tiny JSON c=1 p50 vs {name}"
    return Figure(what, *bounds, max(ratios, default=None), smaller=True)


def _medium(facts: Facts) -> Figure:
    """Against the fastest way to ask the fastest peer, all with one thread."""
    mine = max(
        (
            rate
            for kind in ("json", "binary", "grpc")
            if (rate := facts.rate(Case(f"{OURS}-1", kind, "medium", 8))) is not None
        ),
        default=None,
    )
    theirs = max(
        (
            rate
            for peer in PYTHON_PEERS
            for kind in ("json", "binary", "grpc")
            if (rate := facts.rate(Case(peer, kind, "medium", 8))) is not None
        ),
        default=None,
    )
    value = mine / theirs if mine and theirs else None
    return Figure("medium c=8 vs best peer, one thread", 1.15, 1.3, value)


def _ratio(of: Callable[[Case], float | None], mine: Case, theirs: Case) -> float | None:
    first, second = of(mine), of(theirs)
    return first / second if first and second else None


def _share(per_server: Mapping[str, float], peer: str) -> float | None:
    mine, theirs = per_server.get(OURS), per_server.get(peer)
    return mine / theirs if mine and theirs else None
