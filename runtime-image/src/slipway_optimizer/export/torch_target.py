"""Writes a ``.pt2`` (``torch.export``): a module that walks the ONNX program, traced once.

Inputs are positional, in the model's order; the answer is a dictionary by output name.
"""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

from slipway_optimizer.arrays import Arrays, rows_of, take
from slipway_optimizer.export import walk
from slipway_optimizer.export.program import Program
from slipway_optimizer.export.torch_operators import OPERATORS
from slipway_optimizer.export.torch_values import tensor
from slipway_optimizer.failures import Refused
from slipway_optimizer.tensors import DYNAMIC

_TRACED_ROWS: Final = 2  # of one row, torch.export would make a fixed size


class _Walker(torch.nn.Module):  # type: ignore[misc] # torch is not in the check's environment
    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program, self._places = program, {}
        for number, (name, array) in enumerate(walk.held_by_target(program).items()):
            plain = f"{re.sub(r'[^A-Za-z0-9_]', '_', name)}_{number}"
            value = torch.from_numpy(array.copy())
            if value.is_floating_point():
                self.register_parameter(plain, torch.nn.Parameter(value, requires_grad=False))
            else:
                self.register_buffer(plain, value)
            self._places[name] = plain

    def forward(self, *arguments: Any) -> dict[str, Any]:
        names = [asked.name for asked in self._program.signature.inputs]
        given = dict(zip(names, arguments, strict=True))
        held = {name: getattr(self, plain) for name, plain in self._places.items()}
        found = walk.run(self._program, given | held, OPERATORS, lambda value: value.shape)
        return {name: tensor(value) for name, value in found.items()}


def write(program: Program, target: Path, rows: Arrays) -> tuple[str, ...]:
    """Trace the program and save it.

    Args:
        program: what is exported.
        target: the ``.pt2``.
        rows: it is traced with the first of them.

    Returns:
        Notes for people.

    Raises:
        Refused: ``ExportUnsupported``, ``ExportFailed``.
    """
    torch.set_grad_enabled(False)
    module = _Walker(program).eval()
    _name_arguments(module, program)
    try:
        traced = _trace(module, program, rows)
        notes: tuple[str, ...] = ()
    except Refused:
        raise
    except Exception as error:
        if not any(DYNAMIC in asked.shape for asked in program.signature.inputs):
            raise _failed(error) from error
        try:
            traced = torch.export.export(module, _tensors(program, take(rows, slice(0, 1))))
        except Exception as second:
            raise _failed(second) from second
        notes = (f"pt2: sizes fixed to those of one row ({_words(error)})",)
    torch.export.save(traced, target)
    return notes


def _name_arguments(module: _Walker, program: Program) -> None:
    """Let the program's placeholders be called as the model's inputs are."""
    names = [re.sub(r"\W", "_", asked.name) for asked in program.signature.inputs]
    if len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
        names = [f"input_{number}" for number in range(len(names))]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD

    def forward(*arguments: Any) -> dict[str, Any]:
        return _Walker.forward(module, *arguments)

    parameters = [inspect.Parameter(name, kind) for name in names]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    module.forward = forward  # type: ignore[method-assign]


def _trace(module: _Walker, program: Program, rows: Arrays) -> Any:
    shapes = tuple(
        {
            axis: torch.export.Dim.AUTO if axis else torch.export.Dim("batch", min=1)
            for axis, size in enumerate(asked.shape)
            if size == DYNAMIC
        }
        for asked in program.signature.inputs
    )
    some = take(rows, slice(0, min(_TRACED_ROWS, rows_of(rows))))
    return torch.export.export(module, _tensors(program, some), dynamic_shapes=shapes)


def _tensors(program: Program, rows: Arrays) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(rows[asked.name]) for asked in program.signature.inputs)


def asker(path: Path, program: Program) -> Callable[[Arrays], Arrays]:
    """Answers of the file as it was written."""
    module = torch.export.load(path).module()

    def ask(rows: Arrays) -> Arrays:
        found = module(*_tensors(program, rows))
        return {name: value.detach().numpy() for name, value in found.items()}

    return ask


def _failed(error: Exception) -> Refused:
    return Refused(
        "ExportFailed",
        f"torch.export cannot trace the model ({_words(error)}): leave PT2 out of "
        "spec.optimization.exports",
    )


def _words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:160]
