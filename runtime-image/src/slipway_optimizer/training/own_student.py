"""The user's module as a student: it learns as it is, and is exported at the end. Owns torch.

Its code runs here, in the build's child, and only after ``sandbox.confine``.
"""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from slipway.api.v1alpha1.model import InputDatatype, ModelInput
from slipway_optimizer import graph
from slipway_optimizer.arrays import Arrays, take
from slipway_optimizer.convert import kinds
from slipway_optimizer.convert.compare import difference
from slipway_optimizer.convert.loader import Code
from slipway_optimizer.convert.torch_source import Opened, load_module, write
from slipway_optimizer.failures import Refused
from slipway_optimizer.passes.normalise import normalise
from slipway_optimizer.session import Model
from slipway_optimizer.training import onnx_net
from slipway_optimizer.training.fit import SEED, Lessons
from slipway_optimizer.training.interface import Argument, Call, behind, call_of, require_scores
from slipway_optimizer.training.net import Net
from slipway_optimizer.training.order import StudentOrder
from slipway_optimizer.training.torch_net import TorchNet, feed_of

Tensor = Any
_FIELD: Final = "distillation.loader"
_FIRST: Final = 8
_BATCHES: Final = (1, 3, 8)
_NAMED: Final = ("logits", "scores")
_KINDS: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class OwnStudent(torch.nn.Module):  # type: ignore[misc] # torch has no types here
    """A module under the names of the model's inputs and of its scores."""

    def __init__(self, module: Any, call: Call, answer: str) -> None:
        """Take it over; it is not changed."""
        super().__init__()
        self.module, self._call, self._answer = module, call, answer

    def forward(self, feed: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
        """The scores, under each wanted name."""
        if self._call.by_name:
            made = self.module(**{name: feed[name] for name in self._call.inputs})
        else:
            made = self.module(*(feed[name] for name in self._call.inputs))
        return dict.fromkeys(wanted, _tensor(made, self._answer))

    @property
    def size(self) -> int:
        """How many numbers its parameters hold."""
        return sum(value.numel() for value in self.module.parameters())

    @property
    def values(self) -> Arrays:
        """Parameters and buffers, for instance the averages of BatchNorm."""
        return {n: v.detach().numpy().copy() for n, v in self.module.state_dict().items()}

    def restore(self, values: Arrays) -> None:
        """Take them back."""
        self.module.load_state_dict({name: torch.from_numpy(v) for name, v in values.items()})


def open_student(order: StudentOrder, net: Net, lessons: Lessons) -> tuple[OwnStudent, Net]:
    """Run the loader; the student, and what stands behind its scores.

    Args:
        order: the loader.
        net: the model's.
        lessons: whose first rows the student has to answer.

    Raises:
        Refused: ``LoaderFailed``, ``StudentDiffers``.
    """
    tail = behind(net, lessons.answer.tensor)
    torch.manual_seed(SEED)
    given = kinds.named(kinds.sniff(Path(order.given)), Path.cwd()).path
    module = load_module(Code(Path(order.loader), order.function, _FIELD), given).float()
    if not any(value.requires_grad for value in module.parameters()):
        raise Refused("LoaderFailed", "the loader's module has no parameter that could be trained")
    call = call_of(_arguments(module), tuple(lessons.inputs))
    student = OwnStudent(module, call, lessons.answer.tensor).eval()
    assert lessons.teacher is not None
    first = slice(0, _FIRST)
    try:
        with torch.no_grad():
            made = student(feed_of(lessons.inputs, first), tail.inputs)[tail.inputs[0]].numpy()
    except Refused:
        raise
    except Exception as error:  # code of the user's raises anything
        words = str(error).strip().partition("\n")[0][:200]
        raise Refused(
            "StudentDiffers",
            f"the student cannot answer the model's rows ({type(error).__name__}: {words}): let "
            f"its forward take {_inputs_in_words(lessons.inputs)}",
        ) from error
    require_scores(made, lessons.teacher[first], tail)
    return student, tail


def write_student(student: OwnStudent, tail: Net, source: Path, target: Path, rows: Arrays) -> None:
    """Export it with the model's inputs and outputs, and hold the file to the module.

    Args:
        student: trained.
        tail: what stands behind its scores.
        source: the model, whose interface the file gets.
        target: the file.
        rows: what both answer.

    Raises:
        Refused: ``ConversionFailed``, ``ConversionDiffers``, ``StudentDiffers``.
    """
    model = graph.load(source)
    signature = graph.signature_of(model)
    inputs = tuple(
        ModelInput(name=t.name, datatype=InputDatatype(t.datatype), shape=t.shape)
        for t in signature.inputs
    )
    outputs = tuple(tensor.name for tensor in signature.outputs)
    whole = _Whole(student, TorchNet(tail), tuple(v.name for v in inputs), outputs).eval()
    raw = Path.cwd() / "student.raw.onnx"
    with torch.no_grad():
        write(Opened(whole, inputs, outputs=outputs), raw)
        graph.save(onnx_net.with_interface(graph.load(raw), model), raw)
        normalise(raw, target, take(rows, slice(0, _FIRST)))
        _require_equal(whole, target, rows)


class _Whole(torch.nn.Module):  # type: ignore[misc] # torch has no types here
    """Student and tail: the model's inputs in order to its outputs in order."""

    takes_any: Final = True

    def __init__(
        self, student: OwnStudent, tail: TorchNet, inputs: tuple[str, ...], outputs: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.student, self.tail, self.inputs, self.outputs = student, tail, inputs, outputs

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        scores = self.student(dict(zip(self.inputs, tensors, strict=True)), self.tail.net.inputs)
        made = self.tail(scores, self.outputs)
        return tuple(made[name] for name in self.outputs)


def _require_equal(whole: _Whole, target: Path, rows: Arrays) -> None:
    model = Model(target, threads=1)
    for size in _BATCHES:
        piece = take(rows, slice(0, size))
        answers = whole(*(torch.from_numpy(piece[name]) for name in whole.inputs))
        given = model.run(piece)
        for name, tensor in zip(whole.outputs, answers, strict=True):
            difference(tensor.numpy(), given[name], name=name, what="student")


def _arguments(module: Any) -> tuple[Argument, ...]:
    found = inspect.signature(module.forward).parameters.values()
    return tuple(Argument(p.name, p.default is p.empty) for p in found if p.kind in _KINDS)


def _tensor(made: Any, answer: str) -> Tensor:
    """The one tensor that is meant, of whatever a module returns.

    Raises:
        Refused: ``StudentDiffers``.
    """
    if isinstance(made, torch.Tensor):
        return made
    if isinstance(made, Mapping):
        named = [made[name] for name in (answer, *_NAMED) if name in made]
        made = named[:1] or list(made.values())
    if isinstance(made, tuple | list) and len(made) == 1 and isinstance(made[0], torch.Tensor):
        return made[0]
    raise Refused(
        "StudentDiffers",
        f"the student returns a {type(made).__name__} of several things: return the scores, one "
        f"tensor, or a dict that has them as '{_NAMED[0]}'",
    )


def _inputs_in_words(inputs: Arrays) -> str:
    return ", ".join(
        f"{name} ({np.dtype(value.dtype).name}, {['rows', *value.shape[1:]]})"
        for name, value in inputs.items()
    ).replace("'", "")
