"""Step 3, without credentials: measure every variant, judge, and lay out what will be published."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from slipway.artifacts import layout
from slipway.contract import Step
from slipway_optimizer import graph
from slipway_optimizer.bench import Bench, Stable, measure_stable
from slipway_optimizer.gates import metric_of
from slipway_optimizer.hardware import usable_threads
from slipway_optimizer.session import Model
from slipway_optimizer.steps.assemble import Outcome, assemble
from slipway_optimizer.steps.job import Job
from slipway_optimizer.steps.measured import Measured
from slipway_optimizer.steps.rows import Answers, judged_output, load_rows
from slipway_optimizer.steps.trial import Trial
from slipway_optimizer.workdir import BuildRecord, FetchRecord, ValidateRecord

_SECONDS_EACH: Final = 0.5


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
    signature = graph.signature_of(graph.load_outline(path))
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
        classes=built.classes,
    )
    bench = replace(bench, stable=_stable(job, found, bench))
    measured = Measured(job.work, _stands_for(found, path))
    outcome = Trial(job, bench, built, signature, measured).run()
    judgement = outcome.judgement
    job.progress.say(f"{judgement.report.verdict}: {judgement.report.message}")
    assemble(job, Outcome(found, built, rows, outcome, signature))
    record = ValidateRecord(picked=judgement.picked, seconds=job.progress.seconds)
    job.work.write(Step.VALIDATE, record)


def _stands_for(found: FetchRecord, baseline: Path) -> str:
    """All that facts of a variant depend on besides its file: the same inputs, the same fp32."""
    parts = [found.input_key, layout.digest_of_file(baseline)]
    return layout.digest_of(layout.canonical(parts))


def _stable(job: Job, found: FetchRecord, bench: Bench) -> Stable | None:
    """What is served now on the judging rows; ``None``: nothing is, or no gate asks."""
    if found.stable.problem:
        return Stable(problem=found.stable.problem)
    if found.stable.digest is None:
        return None
    stable = measure_stable(bench, job.work.stable)
    score = (
        "" if stable.facts is None or stable.facts.score is None else f"{stable.facts.score:.4g}"
    )
    job.progress.say(f"stable revision: {stable.problem or f'score {score}'}")
    return stable
