"""Builds the planned variants, looks at each, and builds what the looks suggest."""

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import ValidationError

from slipway.api.quantity import parse_decimal, parse_duration
from slipway.api.v1alpha1.optimization import Calibration, OptimizationMode
from slipway.api.v1alpha1.validation import GateMetric
from slipway.artifacts import layout
from slipway_optimizer import measure
from slipway_optimizer.arrays import INPUT_PREFIX, Array, Arrays, rows_of, save_npz, take
from slipway_optimizer.datasets import Dataset
from slipway_optimizer.failures import Refused
from slipway_optimizer.gates import Evidence, Facts, held_gates
from slipway_optimizer.hardware import usable_threads
from slipway_optimizer.metrics import absolute_errors, agreement, correctness, sqnr_db
from slipway_optimizer.recipe import BASELINE, Profile, Recipe
from slipway_optimizer.refine import (
    Limits,
    Screen,
    histogram_rows,
    is_promising,
    next_calibration,
    patience,
    per_tensor,
    rejection,
    to_bisect,
    without,
)
from slipway_optimizer.session import Model
from slipway_optimizer.steps.job import Job
from slipway_optimizer.steps.rows import Lessons
from slipway_optimizer.training.order import LABELS, StudentOrder, TrainOrder
from slipway_optimizer.verdict import CLOSE_DB, NOISE_DB
from slipway_optimizer.workdir import BuiltCandidate, NodeSensitivity
from slipway_optimizer.worker import TIMED_OUT, WorkerResult, WorkerTask, run_isolated

_BUILD_SHARE: Final = 0.6  # of the budget; measuring has the rest
_TRAINING_SHARE: Final = 0.8  # of what is left; writing and looking have the rest
_SCREEN_ROWS: Final = 32
_SCREEN_SECONDS: Final = 0.4
_CLOSE_ENOUGH_DB: Final = CLOSE_DB + 0.5  # other rows will judge
_LABELLED_TARGET_DB: Final = 25.0  # the labels decide the rest
_BEST_DB: Final = 200.0
_CLOSENESS: Final = (GateMetric.SQNR_DB, GateMetric.COSINE, GateMetric.AGREEMENT)
_SENSITIVITY_ROWS: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What the search stands on.

    Attributes:
        base: the graph that variants build on; ``baseline`` is fp32 as it would be served.
        rows: for calibration and first looks; they never judge when there is a data set.
        calibrated: whether they are real.
        output: the judged one, by name.
        metric: of the labels, ``None`` without labels.
        lessons: rows that candidates learn from, when any does.
    """

    base: Path
    baseline: Path
    rows: Dataset
    calibrated: bool
    output: str
    metric: GateMetric | None
    profile: Profile
    lessons: Lessons | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """What the search came to."""

    candidates: tuple[BuiltCandidate, ...]
    sensitivity: tuple[NodeSensitivity, ...]
    notes: tuple[str, ...]


def search(job: Job, ground: Ground, recipes: Sequence[Recipe]) -> Findings:
    """Build every recipe that fits the budget, and those that the first looks suggest."""
    return _Search(job, ground).run(recipes)


@dataclass(slots=True)
class _Search:
    job: Job
    ground: Ground
    built: dict[str, BuiltCandidate] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sensitivity: tuple[NodeSensitivity, ...] = ()
    _looker: "_Looker | None" = None
    _recipes: tuple[Recipe, ...] = ()

    def run(self, recipes: Sequence[Recipe]) -> Findings:
        self._recipes = tuple(recipes)
        baseline, *variants = recipes
        self.built[BASELINE] = BuiltCandidate(recipe=baseline, file=f"{BASELINE}.onnx")
        if variants:
            save_npz(self._calibration(None), self.ground.rows.inputs)
            self._save_lessons()
            self._looker = _Looker(self.ground, threads=self.job.request.threads)
        for number, recipe in enumerate(variants, start=1):
            self.job.progress.candidate(number, len(variants), f"{recipe.name}: {recipe.text}")
            self._attempt(recipe)
        if self.job.request.optimization.mode is OptimizationMode.AUTO:
            self._refine()
        return Findings(tuple(self.built.values()), self.sensitivity, tuple(self.notes))

    @property
    def _limits(self) -> Limits:
        objective = self.job.request.optimization.objective
        return Limits(objective, self._allowed_loss(), self._own_db())

    def _own_db(self) -> float | None:
        """What the user's own gates on closeness ask of SQNR; any of them replaces ours."""
        gates = self.job.request.validation.gates
        if self.ground.metric is not None or not any(g.metric in _CLOSENESS for g in gates):
            return None
        own = [g.min for g in gates if g.metric is GateMetric.SQNR_DB and g.min is not None]
        return max([NOISE_DB, *(float(parse_decimal(bound)) for bound in own)])

    @property
    def _left(self) -> float:
        budget = parse_duration(self.job.request.optimization.budget)
        return _BUILD_SHARE * budget - self.job.progress.seconds

    def _allowed_loss(self) -> float | None:
        if self.ground.metric is None or self._looker is None:
            return None
        facts = Facts(name=BASELINE, recipe="", score=self._looker.score)
        evidence = Evidence(self.ground.rows.rows, labelled=True)
        gates = held_gates(self.job.request.validation, facts, evidence)
        bounds = [
            float(parse_decimal(gate.max_degradation))
            for gate in gates
            if gate.metric is self.ground.metric and gate.max_degradation is not None
        ]
        return min(bounds, default=None)

    def _attempt(self, recipe: Recipe) -> BuiltCandidate:
        kept = self._resumed(recipe)
        made = kept or self._build(recipe)
        self.built[recipe.name] = made
        if kept is None:
            self._sidecar(recipe.name).write_text(made.model_dump_json())
        return made

    def _build(self, recipe: Recipe) -> BuiltCandidate:
        before = self.job.progress.seconds
        candidate = BuiltCandidate(recipe=recipe, file=None)
        if recipe.blocked is not None:
            return _failed(candidate, "Blocked", recipe.blocked)
        if self._left <= 0:
            budget = self.job.request.optimization.budget
            return _failed(candidate, "OutOfBudget", f"the budget of {budget} was spent before")
        file = recipe.file
        try:
            result = self._isolated("quantize", recipe, self.job.work.candidates / file)
            screen = self._look(self.job.work.candidates / file)
        except Refused as error:
            self.job.progress.say(f"{recipe.name} rejected: {error}")
            if error.reason == TIMED_OUT:
                budget = self.job.request.optimization.budget
                return _failed(candidate, "OutOfBudget", f"{error}, and the budget is {budget}")
            return _failed(candidate, error.reason, str(error))
        seconds = round(self.job.progress.seconds - before, 3)
        failure = rejection(
            screen, self._limits, labels_decide=recipe.trained and self.ground.metric is not None
        )
        verdict = "" if failure is None else f": rejected, {failure[0]}"
        self.notes += [f"{recipe.name}: {note}" for note in result.notes]
        self.job.progress.say(
            f"{recipe.name}: SQNR {screen.sqnr_db:.1f} dB, about {screen.ratio:.2f}x{verdict}"
        )
        return candidate.model_copy(
            update={
                "file": file,
                "digest": layout.digest_of_file(self.job.work.candidates / file),
                "screen": screen,
                "failure": None if failure is None else ": ".join(failure),
                "seconds": seconds,
                "tensors": result.tensors,
            }
        )

    def _look(self, path: Path) -> Screen:
        assert self._looker is not None
        return self._looker.look(path)

    def _refine(self) -> None:
        """Coarser grain where the finer one fails, better ranges, then nodes left in fp32."""
        for name in list(self.built):
            made = self.built[name]
            broken = made.screen is None and made.recipe.blocked is None
            if broken and made.failure is not None and self._left > 0:
                self._follow(per_tensor(made.recipe, made.failure))
        for name in list(self.built):
            made = self.built[name]
            if made.screen is not None and not is_promising(made.screen, self._limits):
                sizes = self.ground.profile.activation_bytes, self.ground.rows.rows
                following = next_calibration(made.recipe, activation_bytes=sizes[0], rows=sizes[1])
                self._follow(following)
        screens = {n: c.screen for n, c in self.built.items() if c.screen is not None}
        recipes = {n: c.recipe for n, c in self.built.items()}
        for name in to_bisect(screens, recipes, self._limits):
            found = self._bisect(recipes[name])
            if found and found.screen is not None and is_promising(found.screen, self._limits):
                break

    def _follow(self, recipe: Recipe | None) -> BuiltCandidate | None:
        if recipe is None or self._left <= 0:
            return None
        self.job.progress.say(f"also {recipe.name}: {recipe.text}")
        return self._attempt(recipe)

    def _bisect(self, recipe: Recipe) -> BuiltCandidate | None:
        seconds = self._left / 2
        if seconds < 1:
            self.notes.append(f"no time was left to find the sensitive nodes of {recipe.name}")
            return None
        self.job.progress.say(f"find the sensitive nodes of {recipe.name}")
        target = _CLOSE_ENOUGH_DB if self.ground.metric is None else _LABELLED_TARGET_DB
        try:
            result = self._isolated("sensitivity", recipe, None, seconds=seconds, target_db=target)
        except Refused as error:
            self.notes.append(f"sensitivity of {recipe.name} not found: {error}")
            return None
        self.sensitivity = result.sensitivity
        if result.exclude:
            return self._follow(without(recipe, result.exclude))
        words = f"not even half of its nodes in fp32 reach {target:g} dB"
        self.notes.append(f"{recipe.name}: {words}")
        return None

    def _isolated(
        self, action: str, recipe: Recipe, target: Path | None, **wishes: float
    ) -> WorkerResult:
        feeds = self._calibration(recipe if action == "quantize" else None)
        if action == "sensitivity":
            feeds = self.job.work.scratch / "sensitivity.npz"
            save_npz(feeds, take(self.ground.rows.inputs, slice(0, _SENSITIVITY_ROWS)))
        task = WorkerTask.model_validate(
            {
                "action": action,
                "source": str(self.ground.baseline if recipe.plain else self.ground.base),
                "target": str(target or self.job.work.scratch / "unused.onnx"),
                "feeds": str(feeds),
                "recipe": recipe,
                "judged": self.ground.output,
                "lessons": self._order(recipe) if recipe.trained and action == "quantize" else None,
                **wishes,
            }
        )
        scratch, most = self.job.work.scratch, patience(self._left)
        return run_isolated(task, scratch=scratch, threads=usable_threads(), timeout=most)

    def _order(self, recipe: Recipe) -> TrainOrder:
        """What is left of the budget is shared by all that train and are not built yet."""
        waiting = sum(recipe.trained and recipe.name not in self.built for recipe in self._recipes)
        return TrainOrder(
            rows=str(self._lessons_file),
            judged=self.ground.output,
            task=self.job.request.validation.task,
            seconds=_TRAINING_SHARE * min(patience(self._left), self._left / max(1, waiting)),
            threads=self.job.request.threads,
            student=student_order(self.job, recipe),
        )

    @property
    def _lessons_file(self) -> Path:
        return self.job.work.scratch / "lessons.npz"

    def _save_lessons(self) -> None:
        lessons = self.ground.lessons
        if lessons is not None:
            arrays = {INPUT_PREFIX + name: value for name, value in lessons.inputs.items()}
            labels = {} if lessons.labels is None else {LABELS: lessons.labels}
            save_npz(self._lessons_file, arrays | labels)

    def _calibration(self, recipe: Recipe | None) -> Path:
        """All rows for MinMax; as many as memory holds for histograms."""
        if recipe is None or recipe.calibration is Calibration.MIN_MAX:
            return self.job.work.scratch / "calibration.npz"
        path = self.job.work.scratch / "calibration-few.npz"
        rows = self.ground.rows
        count = max(1, histogram_rows(self.ground.profile.activation_bytes, rows.rows))
        save_npz(path, take(rows.inputs, slice(0, count)))
        return path

    def _sidecar(self, name: str) -> Path:
        return self.job.work.candidates / f"{name}.json"

    def _resumed(self, recipe: Recipe) -> BuiltCandidate | None:
        """What an earlier, killed run of the same Job made of the same recipe."""
        try:
            data = self.job.work.open_bytes(self._sidecar(recipe.name), limit=16 << 20)
            made = BuiltCandidate.model_validate_json(data)
        except (OSError, ValidationError):
            return None
        if made.recipe != recipe or (made.failure or "").startswith("OutOfBudget"):
            return None
        path = self.job.work.candidates / (made.file or "")
        if made.file is not None:
            with contextlib.suppress(OSError):
                if layout.digest_of_file(path) != made.digest:
                    return None
            if not path.is_file():
                return None
        self.job.progress.say(f"{recipe.name}: kept from the run before")
        return made


def student_order(job: Job, recipe: Recipe) -> StudentOrder | None:
    """What makes the recipe's student, if that is code of the user's."""
    wish = recipe.distillation
    if wish is None or wish.loader is None:
        return None
    own, work = wish.loader, job.work
    given = work.source if own.weights_uri is None else work.student_weights(recipe.name)
    code = work.student_loader(recipe.name)
    return StudentOrder(loader=str(code), function=own.function, given=str(given))


def prepare(job: Job, input_key: str) -> None:
    """Empty the folders, but keep finished candidates of the same inputs."""
    shutil.rmtree(job.work.scratch, ignore_errors=True)
    job.work.scratch.mkdir(parents=True)
    mark = job.work.candidates / "input-key"
    try:
        same = mark.read_text() == input_key
    except OSError:
        same = False
    if not same:
        shutil.rmtree(job.work.candidates, ignore_errors=True)
        job.work.candidates.mkdir(parents=True)
        mark.write_text(input_key)


def _failed(candidate: BuiltCandidate, reason: str, message: str) -> BuiltCandidate:
    return candidate.model_copy(update={"failure": f"{reason}: {message}"})


class _Looker:
    """First looks, all at the same few rows."""

    def __init__(self, ground: Ground, *, threads: int) -> None:
        self._rows = take(ground.rows.inputs, slice(0, _SCREEN_ROWS))
        self._labels = None if ground.rows.labels is None else ground.rows.labels[:_SCREEN_ROWS]
        self._ground, self._threads = ground, threads
        self._fp32 = Model(ground.baseline, threads=threads)
        self._truth = self._fp32.run_rows(self._rows)[ground.output]
        self.score = self._score(self._truth)

    def look(self, path: Path) -> Screen:
        """Closeness, loss and a rough time of one variant.

        Raises:
            Refused: it does not load or run.
        """
        model = Model(path, threads=self._threads)
        answers = model.run_rows(self._rows)[self._ground.output]
        score = self._score(answers)
        loss = None
        if self.score is not None and score is not None:
            better = -1.0 if self._ground.metric is GateMetric.ACCURACY else 1.0
            loss = better * (score - self.score)
        return Screen(
            sqnr_db=float(np.clip(sqnr_db(self._truth, answers), -_BEST_DB, _BEST_DB)),
            agreement=agreement(self._truth, answers),
            loss=loss,
            ratio=self._ratio(model),
        )

    def _ratio(self, model: Model) -> float:
        feeds: list[Arrays] = [
            take(self._rows, slice(n, n + 1)) for n in range(min(8, rows_of(self._rows)))
        ]
        watch = measure.Stopwatch(_SCREEN_SECONDS)
        return measure.latencies([self._fp32, model], feeds, watch)[1].ratio

    def _score(self, answers: Array) -> float | None:
        if self._labels is None or self._ground.metric is None:
            return None
        score = correctness if self._ground.metric is GateMetric.ACCURACY else absolute_errors
        return float(score(answers, self._labels).mean())
