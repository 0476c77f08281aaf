"""Step 3, without credentials: measure every variant, judge, and lay out what will be published."""

from dataclasses import replace
from typing import Final

from slipway.api.v1alpha1.optimization import Objective
from slipway.contract import Step
from slipway_optimizer import graph
from slipway_optimizer.bench import (
    Baseline,
    Bench,
    confirm,
    measure_baseline,
    measure_variant,
    time_batches,
    time_variants,
)
from slipway_optimizer.gates import Evidence, Facts, metric_of
from slipway_optimizer.hardware import usable_threads
from slipway_optimizer.recipe import BASELINE
from slipway_optimizer.session import Model
from slipway_optimizer.steps.assemble import Outcome, assemble
from slipway_optimizer.steps.job import Job
from slipway_optimizer.steps.rows import Answers, judged_output, load_rows
from slipway_optimizer.verdict import Judgement, judge, source_refusal
from slipway_optimizer.workdir import BuildRecord, BuiltCandidate, FetchRecord, ValidateRecord

_SECONDS_EACH: Final = 1.25


def validate(job: Job) -> None:
    """Measure, judge and assemble the artifact. A refusal is a result, not an error.

    Raises:
        Refused: the data set does not fit the model.
    """
    found = job.work.read(Step.FETCH, FetchRecord)
    if found.cached:
        job.progress.say("nothing to do: cache hit")
        return
    built = job.work.read(Step.BUILD, BuildRecord)
    path = job.work.candidates / (built.candidates[0].file or "")
    signature = graph.signature_of(graph.load(path))
    answers = Answers(built.classes, built.output)
    rows = load_rows(job, found, Model(path, threads=usable_threads()), signature, answers=answers)
    bench = Bench(
        folder=job.work.candidates,
        rows=rows.judging,
        output=judged_output(job, signature, answers),
        metric=metric_of(job.request.validation.task) if rows.judging.labels is not None else None,
        task=job.request.validation.task,
        gated=frozenset(gate.metric for gate in job.request.validation.gates),
        threads=job.request.threads,
        test_threads=usable_threads(),
        seconds_each=_SECONDS_EACH,
    )
    measured = _measure(job, bench, built)
    baseline, judgement = _judge(job, bench, built, measured)
    job.progress.say(f"{judgement.report.verdict}: {judgement.report.message}")
    assemble(job, Outcome(found, built, rows, baseline, signature, judgement))
    record = ValidateRecord(picked=judgement.picked, seconds=job.progress.seconds)
    job.work.write(Step.VALIDATE, record)


def _judge(
    job: Job, bench: Bench, built: BuildRecord, measured: tuple[Baseline, tuple[Facts, ...]]
) -> tuple[Baseline, Judgement]:
    """Judge, and confirm the pick's speed by a fresh reading until it stays the pick."""
    baseline, variants = measured
    files = {candidate.recipe.name: candidate.file or "" for candidate in built.candidates}
    confirmed = {BASELINE, None}
    while True:
        judgement = judge(
            baseline.facts,
            variants,
            evidence=_evidence(bench),
            optimization=job.request.optimization,
            validation=job.request.validation,
        )
        if judgement.picked in confirmed:
            return baseline, judgement
        job.progress.say(f"time {judgement.picked} against {BASELINE} once more")
        pick = next(facts for facts in variants if facts.name == judgement.picked)
        pairs = (baseline.facts, files[BASELINE]), (pick, files[pick.name])
        again = {facts.name: facts for facts in confirm(bench, *pairs)}
        job.progress.say(_summary(again[pick.name]))
        baseline = replace(baseline, facts=again[BASELINE])
        variants = tuple(again.get(facts.name, facts) for facts in variants)
        confirmed.add(pick.name)


def _evidence(bench: Bench) -> Evidence:
    return Evidence(rows=bench.rows.rows, labelled=bench.metric is not None)


def _measure(job: Job, bench: Bench, built: BuildRecord) -> tuple[Baseline, tuple[Facts, ...]]:
    own, *others = built.candidates
    job.progress.say(f"{own.recipe.name} answers {bench.rows.rows} judging rows")
    baseline = measure_baseline(bench, own.recipe, own.file or "")
    if source_refusal(baseline.facts, _evidence(bench), job.request.validation) is not None:
        return baseline, tuple(_unmeasured(other) for other in others)
    facts = []
    for number, candidate in enumerate(others, start=1):
        job.progress.candidate(number, len(others), candidate.recipe.name)
        if candidate.file is None or candidate.failure is not None:
            facts.append(_unmeasured(candidate))
        else:
            facts.append(measure_variant(bench, candidate.recipe, candidate.file, baseline))
        job.progress.say(_summary(facts[-1]))
    return _time(job, bench, baseline, (own, *others), facts)


def _time(
    job: Job,
    bench: Bench,
    baseline: Baseline,
    built: tuple[BuiltCandidate, ...],
    facts: list[Facts],
) -> tuple[Baseline, tuple[Facts, ...]]:
    """Latencies of all that may still be picked, fp32 among them."""
    files = {candidate.recipe.name: candidate.file or "" for candidate in built}
    alive = [f for f in (baseline.facts, *facts) if f.failure is None]
    job.progress.say(f"time {len(alive)} in turn with {bench.threads} thread(s)")
    timed = {f.name: f for f in time_variants(bench, [(f, files[f.name]) for f in alive])}
    if job.request.optimization.objective in (Objective.MAX_THROUGHPUT, Objective.MIN_COST):
        pairs = [(f, files[f.name]) for f in timed.values()]
        timed = {f.name: f for f in time_batches(bench, pairs, batched=baseline.batched)}
    for fact in timed.values():
        job.progress.say(_summary(fact))
    return (
        replace(baseline, facts=timed[baseline.facts.name]),
        tuple(timed.get(fact.name, fact) for fact in facts),
    )


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
