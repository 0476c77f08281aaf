"""From a recipe that trains to a file: student, fewer channels, zeroes, learnt rounding, in order.

The teacher is the source file itself, run by ONNX Runtime. Twice a difference is a failure: the
source against our reading of it in PyTorch, and what is written against what was trained. Of a
student that the user's loader makes, only the second holds: its teacher may be any model.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.optimization import Importance
from slipway.api.v1alpha1.training import Training
from slipway_optimizer.arrays import INPUT_PREFIX, Array, Arrays, load_npz, take
from slipway_optimizer.datasets import MAX_BYTES
from slipway_optimizer.failures import Refused
from slipway_optimizer.graph import load, save
from slipway_optimizer.measure import Stopwatch, latencies
from slipway_optimizer.metrics import close
from slipway_optimizer.passes.weights import LEAST_ELEMENTS, TensorError, error_of
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.session import Model
from slipway_optimizer.training import fit, importance, onnx_net
from slipway_optimizer.training.aim import Sizes, aim, aim_of
from slipway_optimizer.training.net import WEIGHTED, Net, answer_of, matrices
from slipway_optimizer.training.order import LABELS, StudentOrder, TrainOrder
from slipway_optimizer.training.schedule import Fitted
from slipway_optimizer.training.shrink import flattened, narrow, narrow_to, shallow
from slipway_optimizer.training.sweep import sweep, sweep_of
from slipway_optimizer.training.torch_net import Rounding, TorchNet, answers, ranges_of
from slipway_optimizer.training.width import groups

_WEIGHT: Final = 0.1  # lambda where none is swept
_ROUNDED_RATE: Final = 0.1  # of the learning rate: rounding is learnt in small steps
_COMPARED: Final = 8
_AIM_SECONDS: Final = 0.25  # for each choice
_ABREAST: Final = 8  # choices that are loaded beside the model
_TOLERANCE: Final = 1e-3
_ANSWERING: Final = 64
_ENTROPY_ROWS: Final = 512
_BINNED: Final = 1 << 22  # numbers of one operator's answers that entropy looks at


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What came of it.

    Attributes:
        tensors: what pruning did to each weight of unchanged shape.
        notes: what was trained on what, for the report.
    """

    tensors: tuple[TensorError, ...]
    notes: tuple[str, ...]


def train(
    recipe: Recipe, source: Path, target: Path, *, order: TrainOrder, calibration: Path
) -> Trained:
    """Write the trained fp32 model; what the recipe says of bits is left to the other passes.

    Raises:
        Refused: ``NotTrainable``, ``TrainingGraphDiffers``, ``NothingToPrune``; for a loader's
            student also ``LoaderFailed``, ``StudentDiffers``, ``ConversionFailed`` and
            ``ConversionDiffers``.
    """
    model, own = load(source), order.student
    net = onnx_net.read(model, foreign=own is not None)
    net = net if own is not None else flattened(net)
    course = _Course(recipe, net, _lessons(net, source, order), order.seconds)
    aiming = _Aiming(model, source, course.lessons.inputs, order.threads)
    first = take(course.lessons.inputs, slice(0, _COMPARED))
    if own is not None:
        course.teach(own, source, target)
        if recipe.pruning is None and not recipe.rounded:
            return Trained((), tuple(course.notes))
        model = load(target)
        course.go_on(flattened(onnx_net.read(model)), order.judged)
        _require_equal(TorchNet(course.net), target, first, "the student")
    else:
        _require_equal(TorchNet(net), source, first, "the model")
        if recipe.distillation is not None:
            course.distil(aiming)
    if recipe.structured:
        course.thin()
    elif recipe.pruning is not None:
        course.zero()
    if recipe.rounded:
        course.round(load_npz(calibration, limit=MAX_BYTES))
    save(onnx_net.write(course.net, model), target)
    _require_equal(TorchNet(course.net), target, first, "the trained model")
    return Trained(course.tensors, tuple(course.notes))


def _lessons(net: Net, source: Path, order: TrainOrder) -> fit.Lessons:
    arrays = load_npz(Path(order.rows), limit=MAX_BYTES)
    inputs = {name: arrays[INPUT_PREFIX + name] for name in net.inputs}
    answer = answer_of(net, order.judged)
    opened = Path.cwd() / "teacher.onnx"
    save(onnx_net.exposing(load(source), answer.tensor), opened)
    teacher = Model(opened, threads=1).run_rows(inputs, batch=_ANSWERING)[answer.tensor]
    if teacher.dtype != np.float32:
        raise Refused(
            "NotTrainable",
            f"output '{order.judged}' is {teacher.dtype}, and no fp32 scores stand before it: "
            "name the output with the scores in spec.validation.output",
        )
    return fit.Lessons(inputs, arrays.get(LABELS, np.zeros(0)), teacher, answer, order.task)


class _Course:
    """One net on its way through the recipe's parts."""

    def __init__(self, recipe: Recipe, net: Net, lessons: fit.Lessons, seconds: float) -> None:
        self.net, self.lessons = net, lessons
        self.notes: list[str] = [_rows_in_words(lessons)]
        self.tensors: tuple[TensorError, ...] = ()
        self._recipe, self._training = recipe, recipe.training or Training()
        self._end = time.monotonic() + seconds
        self._parts = sum((recipe.distillation is not None, recipe.pruning is not None,
                           recipe.rounded))  # fmt: skip

    def distil(self, aiming: "_Aiming") -> None:
        """Cut a student from the model, and try one lambda after the other."""
        wish = self._recipe.distillation
        assert wish is not None
        cut = shallow(self.net, float(parse_decimal(wish.depth)))
        worth, wanted, aimed = self._worth(cut.net), aim_of(wish), ""
        if wanted.target is None:
            thin = narrow(cut.net, wanted.width, worth)
        else:
            found = aim(aiming.groups(cut.net), wanted, partial(aiming.ratios, cut.net))
            thin, aimed = narrow_to(cut.net, found.sizes, worth), found.words(wanted.target)
        words = (*cut.words, *thin.words)
        if not words:
            raise Refused("NothingToPrune", f"no student can be cut from it: {_fixed(self.net)}")
        self.notes.append(f"student: {', '.join(words)}")
        self.notes += [aimed] if aimed else []
        taken = self._sweep(lambda: TorchNet(thin.net))
        self.net = thin.net.with_weights(taken.weights)

    def teach(self, order: StudentOrder, source: Path, target: Path) -> None:
        """Teach the user's own student, each lambda from the same beginning, and write it."""
        from slipway_optimizer.training import own_student

        student, tail = own_student.open_student(order, self.net, self.lessons)
        beginning = student.values
        self.notes.append(f"student: what {order.function} made, {student.size} weights")

        def anew() -> fit.Learner:
            student.restore(beginning)
            return student

        student.restore(self._sweep(anew).weights)
        own_student.write_student(student, tail, source, target, self.lessons.inputs)

    def go_on(self, net: Net, judged: str) -> None:
        """Turn to what a student's file holds."""
        self.net = net
        self.lessons = replace(self.lessons, answer=answer_of(net, judged))

    def _sweep(self, anew: Callable[[], fit.Learner]) -> Fitted:
        """One training for each lambda; what is taken."""
        wish, lessons = self._recipe.distillation, self.lessons
        assert wish is not None
        found = sweep(
            sweep_of(wish, labelled=len(lessons.labels), rows=lessons.rows, seconds=self._share()),
            lambda weight, seconds: self._fit(anew(), weight, seconds),
            time.monotonic,
        )
        self.notes += found.words
        return found.taken

    def thin(self) -> None:
        """Remove channels, then fine-tune."""
        pruning = self._recipe.pruning
        assert pruning is not None
        share = 1 - float(parse_decimal(pruning.value)) / 100
        cut = narrow(self.net, share, self._worth(self.net))
        if not cut.words:
            raise Refused("NothingToPrune", f"no block of 16 channels can go: {_fixed(self.net)}")
        self.notes.append(f"channels: {', '.join(cut.words)}")
        self._tuned(cut.net, {})

    def zero(self) -> None:
        """Zero the weights that are worth least, and train the others if that is wished."""
        pruning = self._recipe.pruning
        assert pruning is not None
        worth = {
            name: value
            for name, value in self._worth(self.net).items()
            if value.size >= LEAST_ELEMENTS and name in matrices(self.net)
        }
        masks = importance.masks(worth, pruning)
        before = self.net.weights
        zeroed = {name: before[name] * mask for name, mask in masks.items()}
        self.net = self.net.with_weights(zeroed)
        if self._recipe.training is not None:
            self._tuned(self.net, masks)
        self.tensors = tuple(error_of(n, before[n], self.net.weights[n]) for n in masks)

    def round(self, calibration: Arrays) -> None:
        """Train through the rounding that static QDQ will do."""
        recipe, net = self._recipe, TorchNet(self.net)
        kinds = recipe.operators or WEIGHTED
        ops = [op for op in self.net.ops if op.kind in kinds and op.name not in recipe.exclude]
        rounded = {name: None for op in ops for name in (*op.inputs[:2], *op.outputs)
                   if name not in self.net.weights}  # fmt: skip
        axes = matrices(self.net)
        read = {op.inputs[1] for op in ops} & set(axes)
        net.rounding = Rounding(
            ranges=ranges_of(net, calibration, rounded, batch=_ANSWERING),
            axes={name: axes[name] if recipe.per_channel else None for name in sorted(read)},
            limit=64 if recipe.reduce_range else 127,
        )
        rate = _ROUNDED_RATE * float(parse_decimal(self._training.learning_rate))
        fitted = self._fit(net, _WEIGHT, self._share(), rate=rate)
        self.net = self.net.with_weights(fitted.weights)
        self.notes.append(f"through the rounding: {fitted.words}")

    def _share(self) -> float:
        """Seconds for the part that comes now: what is left is divided among those to come."""
        share = (self._end - time.monotonic()) / max(1, self._parts)
        self._parts -= 1
        return share

    def _tuned(self, net: Net, masks: fit.Masks) -> None:
        fitted = self._fit(TorchNet(net), _WEIGHT, self._share(), masks=masks)
        self.net = net.with_weights(fitted.weights)
        self.notes.append(f"fine-tuned: {fitted.words}")

    def _fit(
        self, net: fit.Learner, weight: float, seconds: float, *, rate: float | None = None,
        masks: fit.Masks | None = None,
    ) -> Fitted:  # fmt: skip
        wished = float(parse_decimal(self._training.learning_rate)) if rate is None else rate
        epochs = self._training.epochs
        wishes = fit.Wishes(epochs, wished, weight, seconds, masks or {})
        return fit.fit(net, self.lessons, wishes)

    def _worth(self, net: Net) -> Arrays:
        """What each number of each trained weight is worth."""
        pruning = self._recipe.pruning
        module = TorchNet(net)
        ranking = Importance.MAGNITUDE if pruning is None else pruning.importance
        match ranking:
            case Importance.MAGNITUDE:
                return importance.magnitudes(module.values)
            case Importance.GRADIENT:
                return fit.gradients(module, self.lessons)
            case Importance.ENTROPY:
                axes = matrices(net)
                weights = {name: net.weights[name] for name in axes}
                return importance.by_entropy(weights, axes, self._entropies(net, module))

    def _entropies(self, net: Net, module: TorchNet) -> dict[str, Array]:
        """Of what each weight's operator answers, for each output channel."""
        rows = take(self.lessons.inputs, slice(0, _ENTROPY_ROWS))
        axes, found = matrices(net), {}
        for op in net.ops:
            if op.kind not in WEIGHTED or len(op.inputs) < 2 or op.inputs[1] not in axes:
                continue
            (made,) = answers(module, rows, op.outputs[:1], batch=_ANSWERING)
            channels = np.moveaxis(made, 1 if op.kind == "Conv" else -1, -1)
            flat = channels.reshape(-1, channels.shape[-1])
            step = max(1, flat.size // _BINNED)
            found[op.inputs[1]] = importance.entropy(flat[::step])
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Aiming:
    """Times students, untaught, in turn with the model: single rows."""

    model: onnx_net.Message
    source: Path
    inputs: Arrays
    threads: int

    def groups(self, net: Net) -> dict[str, int]:
        return {group.name: group.size for group in groups(net)[0]}

    def ratios(self, net: Net, choices: Sequence[Sizes]) -> list[float]:
        """Upper bounds: of a single choice, which may be kept, the greater one of two loads."""
        if len(choices) == 1:
            return [max(self._timed(net, choices)[0] for _ in range(2))]
        starts = range(0, len(choices), _ABREAST)
        return [
            ratio for start in starts
            for ratio in self._timed(net, choices[start : start + _ABREAST])
        ]  # fmt: skip

    def _timed(self, net: Net, choices: Sequence[Sizes]) -> list[float]:
        students = [self.source]
        for number, sizes in enumerate(choices):
            students.append(Path.cwd() / f"aimed{number}.onnx")
            thin = narrow_to(net, sizes, {})
            save(onnx_net.write(thin.net, self.model), students[-1])
        feeds = [take(self.inputs, slice(n, n + 1)) for n in range(_COMPARED)]
        watch = Stopwatch(_AIM_SECONDS * len(students))
        models = [Model(path, threads=self.threads) for path in students]
        return [found.upper for found in latencies(models, feeds, watch)[1:]]


def _require_equal(net: TorchNet, path: Path, rows: Arrays, what: str) -> None:
    """Both answer alike, one row at a time there and all rows at once here."""
    expected = Model(path, threads=1).run_rows(rows)
    made = answers(net, rows, expected, batch=_COMPARED)
    for (name, truth), ours in zip(expected.items(), made, strict=True):
        if truth.dtype.kind != "f":
            continue
        scale = max(1.0, float(np.abs(truth).max()))
        if not close(truth, ours, rtol=_TOLERANCE, atol=_TOLERANCE * scale):
            off = "has another shape" if truth.shape != ours.shape else (
                f"is off by {float(np.abs(truth - ours).max()):.2g}"
            )  # fmt: skip
            raise Refused(
                "TrainingGraphDiffers",
                f"output '{name}' of {what} {off} in PyTorch, at most {_TOLERANCE:g} of its scale "
                "is accepted: it cannot be trained here, so leave out what trains",
            )


def _fixed(net: Net) -> str:
    _, kept = groups(net)
    return "; ".join(kept[:4]) or "it has no layer of more than 16 channels that another one reads"


def _rows_in_words(lessons: fit.Lessons) -> str:
    division = lessons.division
    return (
        f"learnt from {len(division.teach)} rows, {len(lessons.labels)} of {lessons.rows} have "
        f"labels; {len(division.held)} others said when to stop"
    )
