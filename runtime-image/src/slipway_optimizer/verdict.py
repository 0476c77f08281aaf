"""From measurements to a pick with its reasons. Pure.

Order: the baseline must keep every gate on quality, since a bad model is not made good by another
encoding; each variant is rejected for the first thing that speaks against it; among the rest the
objective picks; fp32 wins when nothing else may.
"""

import math
from dataclasses import dataclass
from typing import Final

from slipway.api.v1alpha1.optimization import Objective, OnOptimizationFailure, Optimization
from slipway.api.v1alpha1.validation import Gate, GateMetric, Task, Validation
from slipway.artifacts.manifest import CandidateReport, GateResult, ValidationReport, Verdict
from slipway_optimizer.gates import (
    Evidence,
    Facts,
    evaluate,
    held_gates,
    is_quality,
    metric_of,
)
from slipway_optimizer.recipe import BASELINE

MAX_SLOWDOWN: Final = 1.02  # of the upper bound: fp32 against itself reads 0.92 to 1.03
CLOSE_DB: Final = 30.0  # lost at most 0.15 points in every case measured
NOISE_DB: Final = 8.0  # below it accuracy was always lost
MIN_AGREEMENT: Final = 0.99
_CLOSENESS: Final = (GateMetric.SQNR_DB, GateMetric.COSINE, GateMetric.AGREEMENT)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The pick, if any, and the report that explains it."""

    picked: str | None
    report: ValidationReport


def judge(
    baseline: Facts,
    candidates: tuple[Facts, ...],
    *,
    evidence: Evidence,
    optimization: Optimization,
    validation: Validation,
) -> Judgement:
    """Decide which variant to serve, or that none may be."""
    judged = _Judged(
        baseline=baseline,
        gates=held_gates(validation, baseline, evidence),
        broken=source_refusal(baseline, evidence, validation),
        evidence=evidence,
        optimization=optimization,
        task=validation.task,
        metric=metric_of(validation.task) if evidence.labelled else None,
    )
    return judged.decide(candidates)


def source_refusal(
    baseline: Facts, evidence: Evidence, validation: Validation
) -> tuple[str, str] | None:
    """Reason and sentence when the source itself is not good enough, so that nothing helps."""
    if baseline.failure is not None:
        return baseline.failure
    for gate in held_gates(validation, baseline, evidence):
        result = evaluate(gate, baseline, baseline=baseline, rows=evidence.rows)
        if result.verdict is not Verdict.PASSED and is_quality(gate.metric):
            return _gate_reason(result), result.message
    return None


@dataclass(frozen=True, slots=True)
class _Judged:
    baseline: Facts
    gates: tuple[Gate, ...]
    broken: tuple[str, str] | None
    evidence: Evidence
    optimization: Optimization
    task: Task
    metric: GateMetric | None

    def decide(self, candidates: tuple[Facts, ...]) -> Judgement:
        results = {f.name: self._gates(f) for f in (self.baseline, *candidates)}
        reports = tuple(self._report(f, results[f.name]) for f in candidates)
        if self.broken is not None:
            reason, message = self.broken
            refused = tuple(
                r.model_copy(
                    update={"verdict": Verdict.FAILED, "reason": f"BaselineRefused: {message}"}
                )
                for r in reports
            )
            own = _row(self.baseline, Verdict.FAILED, f"{reason}: {message}")
            return self._refuse(reason, message, results[BASELINE], (own, *refused))
        own = self._report(self.baseline, results[BASELINE])
        everyone = (own, *reports)
        facts = {f.name: f for f in (self.baseline, *candidates)}
        passing = [facts[r.name] for r in everyone if r.verdict is Verdict.PASSED]
        optimised = [f for f in passing if f.name != BASELINE]
        wants_more = self.optimization.on_failure is OnOptimizationFailure.FAIL and candidates
        if passing and not (wants_more and not optimised):
            pick = self._best(passing)
            return self._accept(pick, results[pick.name], everyone)
        return self._refuse(*self._why_none(everyone), results[BASELINE], everyone)

    def _gates(self, facts: Facts) -> tuple[GateResult, ...]:
        if facts.failure is not None:
            return ()
        return tuple(
            evaluate(g, facts, baseline=self.baseline, rows=self.evidence.rows) for g in self.gates
        )

    def _report(self, facts: Facts, results: tuple[GateResult, ...]) -> CandidateReport:
        verdict, reason = self._verdict(facts, results)
        return _row(facts, verdict, reason)

    def _verdict(self, facts: Facts, results: tuple[GateResult, ...]) -> tuple[Verdict, str]:
        if facts.failure is not None:
            return Verdict.FAILED, ": ".join(facts.failure)
        for wanted in (Verdict.FAILED, Verdict.INCONCLUSIVE):
            for result in results:
                if result.verdict is wanted:
                    return wanted, f"{_gate_reason(result)}: {result.message}"
        if facts.name == BASELINE:
            return Verdict.PASSED, "Baseline: the converted model"
        own_bound = any(gate.metric in _CLOSENESS for gate in self.gates)
        if not self.evidence.labelled and not own_bound and not _is_close(facts):
            return Verdict.FAILED, (
                f"NotClose: SQNR {_db(facts.sqnr_db)} is below {CLOSE_DB:.0f} dB and "
                f"{_share(facts.agreement)} of answers agree, at least {MIN_AGREEMENT:.0%} must"
            )
        slow = _slowness(facts, self.optimization.objective)
        if slow is not None:
            return Verdict.FAILED, slow
        return Verdict.PASSED, "GatesPassed" if self.evidence.labelled else "NumericOnly"

    def _best(self, passing: list[Facts]) -> Facts:
        """Ties go to the earlier one; for latency the bound counts, not a lucky middle."""
        match self.optimization.objective:
            case Objective.MIN_LATENCY_P95:
                return min(passing, key=lambda f: f.ratio_upper or 1.0)
            case Objective.MAX_THROUGHPUT:
                return min(passing, key=lambda f: f.throughput_upper or 1.0)
            case Objective.MIN_COST:
                return min(passing, key=_cost_order)
            case Objective.MIN_SIZE:
                return min(passing, key=lambda f: (f.size_bytes or 0, f.ratio_upper or 1.0))

    def _why_none(self, everyone: tuple[CandidateReport, ...]) -> tuple[str, str]:
        own, *others = everyone
        if own.verdict is not Verdict.PASSED:
            reason, _, message = own.reason.partition(": ")
            return reason, f"no variant keeps every gate; fp32: {message}"
        unclear = any(r.verdict is Verdict.INCONCLUSIVE for r in others)
        reason = "GateInconclusive" if unclear else "NoCandidatePassed"
        return reason, f"no optimised variant passed and onFailure is Fail: {_short(others)}"

    def _accept(
        self, pick: Facts, gates: tuple[GateResult, ...], reports: tuple[CandidateReport, ...]
    ) -> Judgement:
        reason = "GatesPassed" if self.evidence.labelled else "NumericOnly"
        text = f"picked {pick.name}: {self._praise(pick)}"
        rejected = [r for r in reports if r.verdict is not Verdict.PASSED]
        if pick.name == BASELINE and rejected:
            text += f"; rejected: {_short(rejected)}"
        return Judgement(pick.name, self._validation(Verdict.PASSED, reason, text, gates, reports))

    def _refuse(
        self,
        reason: str,
        message: str,
        gates: tuple[GateResult, ...],
        reports: tuple[CandidateReport, ...],
    ) -> Judgement:
        return Judgement(None, self._validation(Verdict.FAILED, reason, message, gates, reports))

    def _validation(
        self,
        verdict: Verdict,
        reason: str,
        message: str,
        gates: tuple[GateResult, ...],
        candidates: tuple[CandidateReport, ...],
    ) -> ValidationReport:
        return ValidationReport(
            verdict=verdict,
            reason=reason,
            message=message,
            task=self.task,
            metric=self.metric,
            gates=gates,
            candidates=candidates,
        )

    def _praise(self, pick: Facts) -> str:
        parts = []
        if self.metric is not None and pick.score is not None:
            parts.append(f"{self.metric} {pick.score:.4g} on {self.evidence.rows} rows")
        if not self.evidence.labelled:
            parts.append(f"judged by closeness to the source on {self.evidence.rows} rows only")
        if pick.name != BASELINE:
            if pick.ratio is not None and pick.ratio_upper is not None:
                parts.append(f"{pick.ratio:.2f}x latency (at most {pick.ratio_upper:.2f}x)")
            parts.append(f"{(pick.size_bytes or 0) / (self.baseline.size_bytes or 1):.2f}x size")
        return ", ".join(parts) or "no optimised variant was built"


def _row(facts: Facts, verdict: Verdict, reason: str) -> CandidateReport:
    return CandidateReport(
        name=facts.name,
        recipe=facts.recipe,
        verdict=verdict,
        reason=reason,
        size_bytes=facts.size_bytes,
        score=facts.score,
        score_delta=None if facts.paired is None else facts.paired.delta,
        sqnr_db=None if facts.sqnr_db is None or math.isinf(facts.sqnr_db) else facts.sqnr_db,
        latency_p50_ms=facts.p50_ms,
        latency_p95_ms=facts.p95_ms,
        latency_ratio=facts.ratio,
        latency_ratio_upper=facts.ratio_upper,
    )


def _short(reports: list[CandidateReport]) -> str:
    """Names and reasons without the figures, which the table has."""
    return ", ".join(f"{r.name} ({r.reason.partition(':')[0]})" for r in reports)


def _gate_reason(result: GateResult) -> str:
    if result.verdict is Verdict.INCONCLUSIVE:
        return "GateInconclusive"
    return "".join(word.capitalize() for word in result.metric.split("_")) + "GateFailed"


def _slowness(facts: Facts, objective: Objective) -> str | None:
    """Why it is slower in what the objective is about; ``MinSize`` may cost time, and says so."""
    if objective is Objective.MIN_SIZE:
        return None
    per_row = objective in (Objective.MAX_THROUGHPUT, Objective.MIN_COST)
    what = "seconds per row" if per_row else "latency"
    upper = facts.throughput_upper if per_row else facts.ratio_upper
    if upper is None or (facts.ratio is None and not per_row):
        return f"NotMeasured: its {what} was not measured, so it may be slower than fp32"
    if upper <= MAX_SLOWDOWN:
        return None
    if per_row:
        return (
            f"Slower: {what} may be {upper:.2f} times those of fp32 (upper bound), at most "
            f"{MAX_SLOWDOWN} is taken"
        )
    return (
        f"Slower: latency ratio {facts.ratio:.2f}, upper bound {upper:.2f}, is not within "
        f"{MAX_SLOWDOWN} of fp32"
    )


def _cost_order(facts: Facts) -> float:
    """By price where there is a table; without one, time on the same machine is the cost."""
    return facts.cost if facts.cost is not None else facts.throughput_upper or 1.0


def _is_close(facts: Facts) -> bool:
    if facts.sqnr_db is None:
        return False
    agrees = facts.agreement is not None and facts.agreement >= MIN_AGREEMENT
    return facts.sqnr_db >= CLOSE_DB or (facts.sqnr_db >= NOISE_DB and agrees)


def _db(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f} dB"


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.1%}"
