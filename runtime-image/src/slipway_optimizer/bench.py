"""Measures variants: from a built file to the facts that verdict.py judges."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from slipway.api.v1alpha1.validation import GateMetric, Task
from slipway.artifacts.manifest import Tensor
from slipway.errors import Invalid
from slipway_optimizer import measure
from slipway_optimizer.arrays import Array, Arrays, rows_of, take
from slipway_optimizer.datasets import REASON, Dataset
from slipway_optimizer.failures import Refused
from slipway_optimizer.gates import Against, Facts, Scored
from slipway_optimizer.metrics import (
    Paired,
    Scores,
    absolute_errors,
    agreement,
    correctness,
    cosine,
    paired,
    sqnr_db,
)
from slipway_optimizer.outside import size_of
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.scores import (
    Answers,
    Group,
    answers_of,
    by_group,
    compare,
    measurable,
    value_of,
)
from slipway_optimizer.session import Model, answered
from slipway_optimizer.verdict import NOISE_DB

_SCREEN_ROWS: Final = 32
_TIMED_FEEDS: Final = 8
_FINALISTS: Final = 3
_SHORT: Final = 0.4  # of the time of a long look
_MOST_BATCH: Final = 8
_MOST_GROUPS: Final = 40
_BATCH_ROWS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What all variants are measured with.

    Attributes:
        folder: where the built files lie.
        rows: the judging rows, labels as class indices.
        output: the judged one.
        metric: of the labels, ``None`` without labels.
        gated: metrics whose difference some gate bounds.
        threads: of the serving pods: what is timed is timed so.
        test_threads: for everything that is not timed.
        seconds_each: budget for timing one variant.
        classes: label of each index, where it is not 0..k-1.
        stable: what is served now, when gates are against it.
    """

    folder: Path
    rows: Dataset
    output: Tensor
    metric: GateMetric | None
    task: Task
    gated: frozenset[GateMetric]
    threads: int
    test_threads: int
    seconds_each: float
    classes: tuple[int | str, ...] | None = None
    stable: "Stable | None" = None

    def class_names(self) -> Array | None:
        """The label of each row as text, for classifiers with one label per row."""
        labels = self.rows.labels
        if self.metric is not GateMetric.ACCURACY or labels is None or labels.ndim != 1:
            return None
        if self.classes is None:
            return labels.astype(np.str_)
        return np.array([str(name) for name in self.classes])[labels]


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """fp32 with its answers, to which variants are compared."""

    facts: Facts
    path: Path
    answers: Arrays
    scores: Scores | None
    batched: bool
    labelled: Answers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Stable:
    """The stable revision's model on the same rows; ``problem`` says why it has no figures."""

    facts: Facts | None = None
    scores: Scores | None = None
    labelled: Answers | None = None
    problem: str = ""

    def beside(self, bench: Bench, scores: Scores | None, labelled: Answers | None) -> Against:
        """How a variant with these scores compares."""
        if self.facts is None:
            return Against(None, problem=self.problem)
        found: dict[GateMetric, Paired] = {}
        if bench.metric is not None and scores is not None and self.scores is not None:
            step = 1.0 if bench.metric is GateMetric.ACCURACY else 0.0
            found[bench.metric] = paired(self.scores, scores, row_step=step)
        if labelled is not None and self.labelled is not None:
            for metric in measurable(labelled, bench.task):
                if metric in bench.gated and metric not in found:
                    found[metric] = compare(metric, self.labelled, labelled)
        return Against(self.facts, found)


class _Rejected(Exception):  # noqa: N818 - ends one variant's measurement, is no error
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.failure = (reason, message)


def measure_baseline(bench: Bench, recipe: Recipe, file: str) -> Baseline:
    """Answers and scores of fp32; its time is for ``time_variants``.

    Raises:
        Refused: it does not run, or the labels do not fit its output.
    """
    path = bench.folder / file
    facts = Facts(
        name=recipe.name,
        recipe=recipe.text,
        size_bytes=size_of(path),
        ratio=1.0,
        ratio_upper=1.0,
    )
    model, answers = answered(path, bench.rows.inputs, threads=bench.test_threads)
    batched = rows_of(bench.rows.inputs) >= _BATCH_ROWS and _runs_batched(bench, model)
    try:
        _require_stable(bench, model, answers)
    except _Rejected as rejected:
        failed = replace(facts, failure=rejected.failure)
        return Baseline(failed, path, answers, None, batched)
    row_scores = _scores(bench, answers)
    labelled = _labelled(bench, answers)
    if row_scores is not None:
        facts = replace(facts, score=float(row_scores.mean()), scores=_values(bench, labelled))
    if bench.stable is not None:
        facts = replace(facts, stable=bench.stable.beside(bench, row_scores, labelled))
    return Baseline(facts, path, answers, row_scores, batched, labelled)


def measure_stable(bench: Bench, path: Path) -> Stable:
    """What the stable revision's file answers to the judging rows, or why it cannot be asked."""
    try:
        _, answers = answered(path, bench.rows.inputs, threads=bench.test_threads)
        if bench.output.name not in answers:
            return Stable(problem=f"it has no output '{bench.output.name}'")
        scores, labelled = _scores(bench, answers), _labelled(bench, answers)
    except Refused as error:
        return Stable(problem=str(error))
    facts = Facts(name="stable", recipe="what is served now", size_bytes=size_of(path))
    if scores is not None:
        facts = replace(facts, score=float(scores.mean()), scores=_values(bench, labelled))
    return Stable(facts, scores, labelled)


def seconds_per_row(path: Path, bench: Bench) -> float:
    """A rough time of one row, the fastest of three.

    Raises:
        Refused: it does not run.
    """
    model, feed = Model(path, threads=bench.test_threads), take(bench.rows.inputs, slice(0, 1))
    times = []
    for _ in range(3):
        began = time.perf_counter()
        model.run(feed)
        times.append(time.perf_counter() - began)
    return max(min(times), 1e-6)


def measure_variant(bench: Bench, recipe: Recipe, file: str, baseline: Baseline) -> Facts:
    """All but the latency of one variant, as far as it got before it was rejected."""
    variant = _Variant(bench, bench.folder / file, baseline, recipe)
    try:
        variant.screen()
        variant.judge_quality()
    except Refused as error:
        return replace(variant.facts, failure=(error.reason, str(error)))
    except _Rejected as rejected:
        return replace(variant.facts, failure=rejected.failure)
    return variant.facts


def time_variants(bench: Bench, files: Sequence[tuple[Facts, str]]) -> tuple[Facts, ...]:
    """The facts with latencies: with the serving pods' threads, in turn, the baseline first.

    Successive halving: with many, all get a short look in small groups, and only the baseline and
    the fastest few the long one. Whoever is left behind keeps what the short look found.
    """
    timed = dict.fromkeys((facts.name for facts, _ in files))
    baseline, *others = files
    found: dict[str, Facts] = {}
    if len(others) > _FINALISTS:
        for start in range(0, len(others), _FINALISTS):
            group = others[start : start + _FINALISTS]
            for facts in _time(bench, [baseline, *group], bench.seconds_each * _SHORT):
                found[facts.name] = facts
        others = sorted(others, key=lambda pair: found[pair[0].name].ratio_upper or 1.0)
        others = others[:_FINALISTS]
    found |= {facts.name: facts for facts in _time(bench, [baseline, *others], bench.seconds_each)}
    return tuple(found[name] for name in timed)


def confirm(
    bench: Bench, baseline: tuple[Facts, str], pick: tuple[Facts, str]
) -> tuple[Facts, ...]:
    """Both timed anew: the best of several readings is partly luck, a fresh one is not."""
    return _time(bench, [baseline, pick], 2 * bench.seconds_each)


def _time(bench: Bench, files: Sequence[tuple[Facts, str]], seconds: float) -> tuple[Facts, ...]:
    models = _models(bench, files)
    watch = measure.Stopwatch(seconds * len(models))
    times = measure.latencies(models, _feeds(bench), watch)
    return tuple(
        replace(
            facts,
            p50_ms=t.p50_ms,
            p95_ms=t.p95_ms,
            p99_ms=t.p99_ms,
            samples_ms=t.samples_ms,
            ratio=t.ratio,
            ratio_upper=t.upper,
        )
        for (facts, _), t in zip(files, times, strict=True)
    )


def time_batches(
    bench: Bench, files: Sequence[tuple[Facts, str]], *, batched: bool
) -> tuple[Facts, ...]:
    """The facts with rows a second: as many rows at once as the model takes, up to 8."""
    rows, feed = _batch(bench, batched=batched)
    models = _models(bench, files)
    watch = measure.Stopwatch(bench.seconds_each * _SHORT * len(models))
    times = measure.latencies(models, [feed], watch)
    return tuple(
        replace(facts, throughput=rows / (t.p50_ms / 1e3), throughput_upper=t.upper)
        for (facts, _), t in zip(files, times, strict=True)
    )


def describe_batches(
    bench: Bench, files: Sequence[tuple[Facts, str]], *, batched: bool
) -> tuple[Facts, ...]:
    """The same for the report only, where nothing is decided by it: roughly, without a bound."""
    rows, feed = _batch(bench, batched=batched)
    seconds = measure.rough(_models(bench, files), feed, measure.Stopwatch(0))
    return tuple(
        facts if facts.throughput is not None else replace(facts, throughput=rows / each)
        for (facts, _), each in zip(files, seconds, strict=True)
    )


def _batch(bench: Bench, *, batched: bool) -> tuple[int, Arrays]:
    rows = min(_MOST_BATCH, rows_of(bench.rows.inputs)) if batched else 1
    return rows, take(bench.rows.inputs, slice(0, rows))


def _models(bench: Bench, files: Sequence[tuple[Facts, str]]) -> list[Model]:
    return [Model(bench.folder / file, threads=bench.threads) for _, file in files]


class _Variant:
    def __init__(self, bench: Bench, path: Path, baseline: Baseline, recipe: Recipe) -> None:
        self.facts = Facts(name=recipe.name, recipe=recipe.text, size_bytes=size_of(path))
        self._bench, self._path, self._baseline = bench, path, baseline
        # What was trained may answer rightly without being close.
        self._labels_decide = recipe.trained and bench.metric is not None

    def screen(self) -> None:
        """The cheap look that spares the dear ones."""
        few = take(self._bench.rows.inputs, slice(0, _SCREEN_ROWS))
        answers = Model(self._path, threads=self._bench.test_threads).run_rows(few)
        name = self._bench.output.name
        distance = sqnr_db(self._baseline.answers[name][:_SCREEN_ROWS], answers[name])
        self.facts = replace(self.facts, sqnr_db=distance)
        if distance < NOISE_DB and not self._labels_decide:
            where = f"on {rows_of(few)} rows is below {NOISE_DB:.0f} dB"
            raise _Rejected("TooNoisy", f"SQNR {distance:.1f} dB {where}")

    def judge_quality(self) -> None:
        """All rows: stability, closeness, score."""
        bench, baseline = self._bench, self._baseline
        model, answers = answered(self._path, bench.rows.inputs, threads=bench.test_threads)
        _require_stable(bench, model, answers)
        if baseline.batched and not _runs_batched(bench, model):
            raise _Rejected(
                "BatchUnstable", f"fp32 answers {_BATCH_ROWS} rows at once, it does not"
            )
        ours, theirs = answers[bench.output.name], baseline.answers[bench.output.name]
        self.facts = replace(
            self.facts,
            sqnr_db=sqnr_db(theirs, ours),
            agreement=agreement(theirs, ours),
            cosine=cosine(theirs, ours),
        )
        row_scores = _scores(bench, answers)
        if bench.stable is not None:
            beside = bench.stable.beside(bench, row_scores, _labelled(bench, answers))
            self.facts = replace(self.facts, stable=beside)
        if row_scores is not None and baseline.scores is not None:
            step = 1.0 if bench.metric is GateMetric.ACCURACY else 0.0
            self.facts = replace(
                self.facts,
                score=float(row_scores.mean()),
                paired=paired(baseline.scores, row_scores, row_step=step),
                scores=_values(bench, _labelled(bench, answers), baseline.labelled),
                classes=_groups(bench.class_names(), baseline.scores, row_scores),
                slices=_groups(bench.rows.slices, baseline.scores, row_scores),
            )


def _feeds(bench: Bench) -> list[Arrays]:
    count = min(_TIMED_FEEDS, rows_of(bench.rows.inputs))
    return [take(bench.rows.inputs, slice(n, n + 1)) for n in range(count)]


def _require_stable(bench: Bench, model: Model, answers: Arrays) -> None:
    bad = measure.nonfinite(answers)
    if bad is not None:
        output, row = bad
        raise _Rejected(
            "NonFiniteOutputs", f"output '{output}' is NaN or infinite in judging row {row}"
        )
    if not measure.deterministic(model, _feeds(bench)[0]):
        raise _Rejected(
            "NotDeterministic",
            "equal inputs give different outputs, so no later check could trust them: fix the "
            "model's random seeds or remove its random operators",
        )


def _runs_batched(bench: Bench, model: Model) -> bool:
    try:
        return measure.runs_batched(model, take(bench.rows.inputs, slice(0, _BATCH_ROWS)))
    except Refused:
        return False


def _scores(bench: Bench, answers: Arrays) -> Scores | None:
    if bench.metric is None or bench.rows.labels is None:
        return None
    score = correctness if bench.metric is GateMetric.ACCURACY else absolute_errors
    try:
        return score(answers[bench.output.name], bench.rows.labels)
    except Invalid as error:
        raise Refused(REASON, f"data set: {error}") from error


def _labelled(bench: Bench, answers: Arrays) -> Answers | None:
    if bench.metric is None or bench.rows.labels is None:
        return None
    return answers_of(answers[bench.output.name], bench.rows.labels, bench.task)


def _values(
    bench: Bench, ours: Answers | None, baseline: Answers | None = None
) -> dict[GateMetric, Scored]:
    """Every label metric beside the main one; differences where a gate asks for them."""
    if ours is None:
        return {}
    found = {}
    for metric in measurable(ours, bench.task):
        difference = None
        if baseline is not None and metric in bench.gated:
            difference = compare(metric, baseline, ours)
        found[metric] = Scored(value_of(metric, ours), difference)
    return found


def _groups(names: Array | None, baseline: Scores, ours: Scores) -> tuple[Group, ...]:
    return () if names is None else by_group(names, baseline, ours)[:_MOST_GROUPS]
