"""Measures what was built, judges it, and looks closely at the pick until it stays the pick."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from slipway.api.quantity import parse_decimal, parse_duration
from slipway.api.v1alpha1.optimization import Objective, OptimizationMode
from slipway.api.v1alpha1.validation import GateMetric
from slipway_optimizer import examine
from slipway_optimizer.arrays import save_npz, take
from slipway_optimizer.bench import (
    Baseline,
    Bench,
    confirm,
    describe_batches,
    measure_baseline,
    measure_variant,
    seconds_per_row,
    time_batches,
    time_variants,
)
from slipway_optimizer.datasets import evenly
from slipway_optimizer.failures import Refused
from slipway_optimizer.gates import Evidence, Facts
from slipway_optimizer.knee import LoadPoint, cost_per_1000
from slipway_optimizer.recipe import BASELINE
from slipway_optimizer.session import Model
from slipway_optimizer.stability import Check, failed
from slipway_optimizer.steps.job import Job
from slipway_optimizer.steps.measured import Measured
from slipway_optimizer.tensors import DYNAMIC, Signature
from slipway_optimizer.verdict import Judgement, judge, source_refusal
from slipway_optimizer.workdir import BuildRecord, BuiltCandidate
from slipway_optimizer.worker import WorkerTask, run_isolated

_SOAK_SECONDS: Final = 0.5
_LOAD_SECONDS: Final = 0.15
_NO_SEARCH: Final = 0.3  # of the effort, where the user has decided already
_WEIGH_TIMEOUT: Final = 300.0
_WEIGH_ROWS: Final = 8
_MOST_THREADS: Final = 8
_JUDGING_SHARE: Final = 0.3  # of the budget
_LEAST_ROWS: Final = 200
_LEAST_SHARE: Final = 0.4  # of the budget, for measuring
_PER_ROW: Final = (Objective.MAX_THROUGHPUT, Objective.MIN_COST)
_WEIGHED: Final = frozenset({GateMetric.MEMORY_BYTES, GateMetric.LOAD_MS})
_BATCHED: Final = frozenset({GateMetric.THROUGHPUT, GateMetric.COST_PER_1000})


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What the trial came to; the last three are of the pick."""

    baseline: Baseline
    variants: tuple[Facts, ...]
    judgement: Judgement
    checks: tuple[Check, ...] = ()
    load: tuple[LoadPoint, ...] = ()
    by_threads: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Trial:
    """One validation."""

    def __init__(
        self, job: Job, bench: Bench, built: BuildRecord, signature: Signature, measured: Measured
    ) -> None:
        self._job, self._bench, self._built, self._signature = job, bench, built, signature
        self._measured = measured
        self._checks: dict[str, tuple[Check, ...]] = {}
        # A small budget means short looks, and so wider bounds: never a bolder pick.
        wished = job.request.optimization
        self._effort = min(1.0, max(0.1, parse_duration(wished.budget) / 600))
        if wished.mode is not OptimizationMode.AUTO:
            self._effort *= _NO_SEARCH
        self._files = {c.recipe.name: c.file or "" for c in built.candidates}
        self._notes: tuple[str, ...] = ()
        self._fit_budget()

    @property
    def _evidence(self) -> Evidence:
        labelled = self._bench.metric is not None
        return Evidence(rows=self._bench.rows.rows, labelled=labelled)

    def _fit_budget(self) -> None:
        """Fewer judging rows where all of them would take more than their share of the budget."""
        path = self._bench.folder / self._files[BASELINE]
        seconds = seconds_per_row(path, self._bench)
        alive = sum(c.file is not None and c.failure is None for c in self._built.candidates)
        budget = parse_duration(self._job.request.optimization.budget)
        fit = int(_JUDGING_SHARE * budget / (seconds * (alive + 1)))
        every = self._bench.rows.rows
        fit = self._measured.rows(min(every, max(fit, _LEAST_ROWS)))
        rows = evenly(self._bench.rows, fit)
        if rows.rows < every:
            self._bench = replace(self._bench, rows=rows)
            self._notes = (
                f"judged on {rows.rows} of {every} rows, evenly chosen: more do not fit the budget",
            )
            self._job.progress.say(self._notes[0])

    def run(self) -> Outcome:
        """Measure everything, then judge and confirm until the pick stays the pick."""
        baseline, variants = self._measure()
        confirmed: set[str] = set()
        while True:
            judgement = self._judge(baseline, variants)
            pick = judgement.picked
            if pick is None:
                return Outcome(baseline, variants, judgement, notes=self._notes)
            if pick in confirmed:
                break
            confirmed.add(pick)
            if pick != BASELINE:
                baseline, variants = self._confirm(pick, baseline, variants)
        return self._described(Outcome(baseline, variants, judgement, notes=self._notes))

    def _judge(self, baseline: Baseline, variants: tuple[Facts, ...]) -> Judgement:
        return judge(
            baseline.facts,
            variants,
            evidence=self._evidence,
            optimization=self._job.request.optimization,
            validation=self._job.request.validation,
        )

    def _measure(self) -> tuple[Baseline, tuple[Facts, ...]]:
        say, (own, others) = self._job.progress.say, _first(self._built.candidates)
        say(f"{own.recipe.name} answers {self._bench.rows.rows} judging rows")
        baseline = measure_baseline(self._bench, own.recipe, own.file or "")
        validation = self._job.request.validation
        if source_refusal(baseline.facts, self._evidence, validation) is not None:
            return baseline, tuple(_unmeasured(other) for other in others)
        facts = []
        for number, candidate in enumerate(others, start=1):
            self._job.progress.candidate(number, len(others), candidate.recipe.name)
            if candidate.file is None or candidate.failure is not None:
                facts.append(_unmeasured(candidate))
            elif self._job.progress.seconds > self._measuring_seconds:
                facts.append(replace(_unmeasured(candidate), failure=self._out_of_budget()))
            else:
                facts.append(self._measured_variant(candidate, candidate.file, baseline))
            say(_summary(facts[-1]))
        return self._time(baseline, facts)

    def _measured_variant(self, candidate: BuiltCandidate, file: str, baseline: Baseline) -> Facts:
        rows, digest = self._bench.rows.rows, candidate.digest
        kept = self._measured.find(candidate.recipe.name, rows=rows, digest=digest)
        if kept is not None:
            self._job.progress.say(f"{kept.name}: measured in the run before")
            return kept
        found = measure_variant(self._bench, candidate.recipe, file, baseline)
        self._measured.keep(found, rows=rows, digest=digest)
        return found

    @property
    def _measuring_seconds(self) -> float:
        """Until when further variants are measured: what building has left of the budget."""
        budget = parse_duration(self._job.request.optimization.budget)
        return max(budget - self._built.seconds, _LEAST_SHARE * budget)

    def _out_of_budget(self) -> tuple[str, str]:
        budget = self._job.request.optimization.budget
        return "OutOfBudget", f"the budget of {budget} was spent before it was measured"

    def _time(self, baseline: Baseline, facts: list[Facts]) -> tuple[Baseline, tuple[Facts, ...]]:
        """Latencies of all that may still be picked, fp32 among them."""
        alive = [f for f in (baseline.facts, *facts) if f.failure is None]
        served = self._bench.stable.facts if self._bench.stable is not None else None
        if served is not None:
            self._files[served.name] = str(self._job.work.stable)
            served = time_variants(self._bench, self._with_files((alive[0], served)))[1]
            alive = [_beside(fact, served) for fact in alive]
            facts = [_beside(fact, served) for fact in facts]
        self._job.progress.say(f"time {len(alive)} in turn with {self._bench.threads} thread(s)")
        timed = time_variants(self._bench, self._with_files(alive))
        timed = self._further(timed, batched=baseline.batched)
        found = {f.name: f for f in timed}
        for fact in timed:
            self._job.progress.say(_summary(fact))
        return (
            replace(baseline, facts=found[BASELINE]),
            tuple(found.get(fact.name, fact) for fact in facts),
        )

    def _further(self, facts: Iterable[Facts], *, batched: bool) -> tuple[Facts, ...]:
        """What only some gates and objectives ask of everybody."""
        request, gated = self._job.request, self._bench.gated
        some = tuple(facts)
        if request.optimization.objective in _PER_ROW or gated & _BATCHED:
            some = time_batches(self._bench, self._with_files(some), batched=batched)
        priced = request.validation.prices is not None
        if gated & _WEIGHED or (priced and request.optimization.objective is Objective.MIN_COST):
            some = tuple(self._weighed(fact) for fact in some)
        return tuple(self._priced(fact) for fact in some)

    def _confirm(
        self, name: str, baseline: Baseline, variants: tuple[Facts, ...]
    ) -> tuple[Baseline, tuple[Facts, ...]]:
        """The checks of the pick's stability, and a fresh reading of its time if it had rivals.

        The best of several readings is partly luck; the only one is not.
        """
        pick = next(facts for facts in variants if facts.name == name)
        again = {BASELINE: baseline.facts, name: pick}
        if sum(facts.ratio_upper is not None for facts in variants) > 1:
            self._job.progress.say(f"time {name} against {BASELINE} once more")
            pairs = self._with_files((baseline.facts, pick))
            again = {facts.name: facts for facts in confirm(self._bench, *pairs)}
            self._job.progress.say(_summary(again[name]))
        failure = failed(self._examine(baseline, name))
        if failure is not None:
            again[name] = replace(again[name], failure=failure)
        return (
            replace(baseline, facts=again[BASELINE]),
            tuple(again.get(facts.name, facts) for facts in variants),
        )

    def _examine(self, baseline: Baseline, name: str) -> tuple[Check, ...]:
        if name in self._checks:
            return self._checks[name]
        threads = self._bench.threads
        subject = examine.Subject(
            variant=Model(self._bench.folder / self._files[name], threads=threads),
            baseline=Model(baseline.path, threads=threads),
            rows=self._bench.rows.inputs,
            output=self._bench.output.name,
            batched=baseline.batched,
            open_axis=all(
                len(t.shape) > 1 and t.shape[1] == DYNAMIC for t in self._signature.inputs
            ),
        )
        checks = examine.examine(subject, seconds=self._effort * _SOAK_SECONDS)
        self._checks[name] = checks
        for check in checks:
            word = {True: "passed", False: "FAILED", None: "not applicable"}[check.passed]
            self._job.progress.say(f"{check.name} {word}: {check.detail}")
        return checks

    def _described(self, outcome: Outcome) -> Outcome:
        """What the report tells of the pick and of fp32, beyond what decided."""
        pick = outcome.judgement.picked or BASELINE
        wanted = {BASELINE, pick}
        self._job.progress.say(f"load test of {pick}")
        rows = self._bench.rows.inputs
        path = self._bench.folder / self._files[pick]
        load = examine.load_test(
            Model(path, threads=self._bench.threads), rows, seconds=self._effort * _LOAD_SECONDS
        )
        most = min(_MOST_THREADS, self._bench.test_threads)
        scaling = examine.by_threads(path, rows, most=most, seconds=self._effort * _LOAD_SECONDS)
        chosen = [f for f in (outcome.baseline.facts, *outcome.variants) if f.name in wanted]
        files = self._with_files(chosen)
        batches = describe_batches(self._bench, files, batched=outcome.baseline.batched)
        self._feeds_to_weigh()
        with ThreadPoolExecutor(min(len(batches), self._bench.test_threads)) as pool:
            more = {f.name: self._priced(f) for f in pool.map(self._weighed, batches)}
        return replace(
            outcome,
            baseline=replace(outcome.baseline, facts=more[BASELINE]),
            variants=tuple(more.get(f.name, f) for f in outcome.variants),
            checks=self._examine(outcome.baseline, pick),
            load=load,
            by_threads=scaling,
        )

    def _weighed(self, facts: Facts) -> Facts:
        """With memory, load time and compressed size, found in a process of its own."""
        if facts.memory_bytes is not None:
            return facts
        source = str(self._bench.folder / self._files[facts.name])
        feeds = str(self._feeds_to_weigh())
        task = WorkerTask(action="weigh", source=source, target="", feeds=feeds)
        scratch, threads = self._job.work.scratch, self._bench.threads
        try:
            result = run_isolated(task, scratch=scratch, threads=threads, timeout=_WEIGH_TIMEOUT)
        except Refused as error:
            self._job.progress.say(f"{facts.name} not weighed: {error}")
            return facts
        return replace(
            facts,
            memory_bytes=int(result.figures["memory_bytes"]),
            load_ms=float(result.figures["load_ms"]),
            gzip_bytes=int(result.figures["gzip_bytes"]),
        )

    def _feeds_to_weigh(self) -> Path:
        """Some rows, written once: children read them at the same time."""
        feeds = self._job.work.scratch / "weigh.npz"
        if not feeds.exists():
            feeds.parent.mkdir(parents=True, exist_ok=True)
            save_npz(feeds, take(self._bench.rows.inputs, slice(0, _WEIGH_ROWS)))
        return feeds

    def _priced(self, facts: Facts) -> Facts:
        prices = self._job.request.validation.prices
        if prices is None or facts.throughput is None:
            return facts
        cost = cost_per_1000(
            facts.throughput,
            cpu_hour=float(parse_decimal(prices.cpu_hour)),
            memory_gib_hour=float(parse_decimal(prices.memory_gib_hour)),
            size=(self._bench.threads, (facts.memory_bytes or 0) / (1 << 30)),
        )
        return replace(facts, cost=cost)

    def _with_files(self, facts: Iterable[Facts]) -> list[tuple[Facts, str]]:
        return [(fact, self._files[fact.name]) for fact in facts]


def _beside(facts: Facts, served: Facts) -> Facts:
    """With the stable revision's times."""
    if facts.stable is None:
        return facts
    return replace(facts, stable=replace(facts.stable, facts=served))


def _first(
    candidates: tuple[BuiltCandidate, ...],
) -> tuple[BuiltCandidate, tuple[BuiltCandidate, ...]]:
    return candidates[0], candidates[1:]


def _unmeasured(candidate: BuiltCandidate) -> Facts:
    failure = None
    if candidate.failure is not None:
        reason, _, message = candidate.failure.partition(": ")
        failure = (reason, message)
    screen = candidate.screen
    return Facts(
        name=candidate.recipe.name,
        recipe=candidate.recipe.text,
        sqnr_db=None if screen is None else screen.sqnr_db,
        ratio=None if screen is None else screen.ratio,
        failure=failure,
    )


def _summary(facts: Facts) -> str:
    parts = [] if facts.failure is None else [": ".join(facts.failure)]
    shown = (
        ("score", facts.score),
        ("p50 ms", facts.p50_ms),
        ("ratio", facts.ratio),
        ("upper bound", facts.ratio_upper),
        ("SQNR dB", facts.sqnr_db),
    )
    parts += [f"{name} {value:.4g}" for name, value in shown if value is not None]
    return f"{facts.name}: " + ", ".join(parts)
