"""The loop: E[L(f, y)] + lambda E|f - g|^2 over labelled and unlabelled rows. Owner file of torch.

f is what is trained and g the teacher's scores, which ONNX Runtime computed before. The second
part is divided by the variance of g, so that one lambda means the same for every model.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from slipway.api.v1alpha1.validation import Task
from slipway_optimizer.arrays import Array, Arrays
from slipway_optimizer.training.net import Answer
from slipway_optimizer.training.schedule import (
    Course,
    Division,
    Fitted,
    Standing,
    divide,
    is_telling,
    learning_rate,
)
from slipway_optimizer.training.torch_net import TorchNet, feed_of

Tensor = Any
Masks = Mapping[str, NDArray[np.bool_]]
SEED: Final = 20_231
_BATCH: Final = 64
_HELD_BATCH: Final = 256
_LONGEST_NORM: Final = 5.0


class Learner(Protocol):
    """What is trained: a module that computes tensors by their names in the graph."""

    def __call__(self, feed: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
        """Compute the wanted tensors."""
        ...

    def parameters(self) -> Iterator[Tensor]:
        """All that the gradient moves."""
        ...

    def train(self) -> Any:
        """Learn from here on, with BatchNorm and dropout as they are for that."""
        ...

    def eval(self) -> Any:
        """Answer from here on."""
        ...

    @property
    def values(self) -> Arrays:
        """Its whole state, copied."""
        ...

    def restore(self, values: Arrays) -> None:
        """Take a state back."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """What is taught.

    Attributes:
        inputs: of all rows, the labelled ones first.
        labels: of the first rows; empty without labels.
        teacher: the teacher's scores of all rows; ``None`` for labels alone.
        answer: the tensor that is taught.
    """

    inputs: Arrays
    labels: Array
    teacher: Array | None
    answer: Answer
    task: Task

    @property
    def rows(self) -> int:
        """How many."""
        return len(next(iter(self.inputs.values())))

    @property
    def division(self) -> Division:
        """Which rows teach and which are held out: the same ones for every model."""
        return divide(len(self.labels), self.rows - len(self.labels), seed=SEED)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to train.

    Attributes:
        weight: of the teacher against the labels, lambda.
        seconds: at most, for all epochs together.
        masks: weights that stay zero where their mask says so.
    """

    epochs: int
    rate: float
    weight: float
    seconds: float
    masks: Masks = field(default_factory=dict)


def fit(net: Learner, lessons: Lessons, wishes: Wishes) -> Fitted:
    """Train; the net is left with the best weights, which may be those it came with."""
    torch.manual_seed(SEED)
    shuffled = np.random.default_rng(SEED)
    teach = lessons.division.teach
    loss = _Loss(lessons, wishes.weight)
    optimiser = torch.optim.Adam(
        [value for value in net.parameters() if value.requires_grad], lr=wishes.rate
    )
    each = -(-len(teach) // _BATCH)
    _mask(net, wishes.masks)
    start, best, step = standing_of(net, lessons, wishes.weight), net.values, 0
    course = Course(0, (start, 0))
    began = time.monotonic()
    while True:
        spent = time.monotonic() - began
        time_of = {
            "seconds_left": wishes.seconds - spent,
            "seconds_each": spent / max(1, course.epochs),
        }
        ending = course.ended(wishes.epochs, **time_of)
        if ending is not None:
            break
        steps = each * course.horizon(wishes.epochs, **time_of)
        net.train()
        for batch in np.array_split(shuffled.permutation(teach), each):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(wishes.rate, step, steps)
            _learn(net, loss, optimiser, batch)
            _mask(net, wishes.masks)
            step += 1
        course = course.after(standing_of(net, lessons, wishes.weight))
        if course.is_best:
            best = net.values
    net.restore(best)
    return Fitted(best, course.best[0], course.epochs, ending)


def gradients(net: TorchNet, lessons: Lessons) -> Arrays:
    """Mean of |w dL/dw| over batches, for each number of each weight.

    The first-order Taylor criterion of Molchanov et al., Pruning Convolutional Neural Networks
    (2017): what the loss would change by if the number were zero.
    """
    loss = _Loss(lessons, 1.0)
    sums: Arrays = {name: np.zeros_like(value) for name, value in net.values.items()}
    teach = lessons.division.teach
    for batch in np.array_split(teach, -(-len(teach) // _BATCH)):
        net.zero_grad()
        made = net(feed_of(lessons.inputs, batch), [lessons.answer.tensor])
        loss.of(made[lessons.answer.tensor], batch).backward()
        for name in sums:
            parameter = net.parameter(name)
            if parameter.grad is not None:
                sums[name] += (parameter.detach() * parameter.grad).abs().numpy()
    return sums


def standing_of(net: Learner, lessons: Lessons, weight: float) -> Standing:
    """How good it is on the rows held out; it no longer learns afterwards."""
    net.eval()
    held, loss = lessons.division.held, _Loss(lessons, weight)
    scores, total = [], 0.0
    with torch.no_grad():
        for batch in np.array_split(held, max(1, -(-len(held) // _HELD_BATCH))):
            made = net(feed_of(lessons.inputs, batch), [lessons.answer.tensor])
            f = made[lessons.answer.tensor]
            total += float(loss.of(f, batch)) * len(batch) / len(held)
            scores += _scores(f.numpy(), batch, lessons)
    flat = np.concatenate(scores) if scores else np.zeros(0)
    return Standing(float(flat.mean()) if is_telling(len(flat)) else None, total)


def _scores(f: Array, batch: NDArray[np.int64], lessons: Lessons) -> list[Array]:
    """Rows with labels by these, the others by the teacher's answers."""
    known = batch < len(lessons.labels)
    parts = []
    if known.any():
        labels = lessons.labels[batch[known]]
        parts.append(_right(f[known], labels, lessons))
    if lessons.teacher is not None and not known.all():
        wanted = lessons.teacher[batch[~known]]
        if lessons.task is not Task.REGRESSION:
            wanted = _classes(wanted, lessons)
        parts.append(_right(f[~known], wanted, lessons))
    return parts


def _right(f: Array, wanted: Array, lessons: Lessons) -> Array:
    if lessons.task is Task.REGRESSION:
        rows: Array = -np.abs(f.reshape(wanted.shape) - wanted).reshape(len(f), -1).mean(1)
        return rows
    right: Array = _classes(f, lessons).reshape(wanted.shape) == wanted
    means: Array = right.reshape(len(right), -1).mean(1)
    return means


def _classes(f: Array, lessons: Lessons) -> Array:
    if f.ndim > 1 and f.shape[-1] > 1:
        best: Array = f.argmax(-1)
        return best
    above: Array = f > (0.0 if lessons.answer.sigmoid else 0.5)
    return above


def _variance(teacher: Array | None) -> float:
    return 1.0 if teacher is None else max(float(teacher.var()), 1e-12)


class _Loss:
    def __init__(self, lessons: Lessons, weight: float) -> None:
        self.lessons, self._weight = lessons, weight
        self._variance = _variance(lessons.teacher)
        labels = lessons.labels
        self._spread = max(float(np.var(labels)), 1e-12) if len(labels) else 1.0

    def of(self, f: Tensor, batch: NDArray[np.int64]) -> Tensor:
        """Of the answers to a batch of row numbers."""
        lessons = self.lessons
        total = f.new_zeros(())
        known = batch < len(lessons.labels)
        if known.any():
            total = total + self._labelled(f[torch.from_numpy(known)], lessons.labels[batch[known]])
        if lessons.teacher is not None:
            distance = functional.mse_loss(f, torch.from_numpy(lessons.teacher[batch]))
            # Without labels there is nothing to weigh against.
            weight = self._weight if len(lessons.labels) else 1.0
            total = total + weight * distance / self._variance
        return total

    def _labelled(self, f: Tensor, labels: Array) -> Tensor:
        if self.lessons.task is Task.REGRESSION:
            wanted = torch.from_numpy(labels.astype(np.float32)).reshape(f.shape)
            return functional.mse_loss(f, wanted) / self._spread
        if f.ndim > 1 and f.shape[-1] > 1:
            wanted = torch.from_numpy(labels.astype(np.int64)).reshape(-1)
            return functional.cross_entropy(f.reshape(-1, f.shape[-1]), wanted)
        wanted = torch.from_numpy(labels.astype(np.float32)).reshape(f.shape)
        if self.lessons.answer.sigmoid:
            return functional.binary_cross_entropy_with_logits(f, wanted)
        return functional.mse_loss(f, wanted)


def _learn(net: Learner, loss: _Loss, optimiser: Any, batch: NDArray[np.int64]) -> None:
    optimiser.zero_grad()
    made = net(feed_of(loss.lessons.inputs, batch), [loss.lessons.answer.tensor])
    loss.of(made[loss.lessons.answer.tensor], batch).backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), _LONGEST_NORM)
    optimiser.step()


def _mask(net: Learner, masks: Masks) -> None:
    if not masks:
        return
    assert isinstance(net, TorchNet)  # weights have names of the graph there alone
    with torch.no_grad():
        for name, mask in masks.items():
            net.parameter(name).mul_(torch.from_numpy(mask))
