"""PyTorch models of every kind. Owner file of torch, safetensors and transformers.

Modules are exported by ``torch.onnx`` (dynamo first, the older exporter where that fails), without
external data, with the batch open, and compared with the module itself. TorchScript goes the other
way round: the older exporter, and where that fails, by way of an exported program.
"""

import contextlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from slipway.api.v1alpha1.model import ModelInput
from slipway_optimizer import graph
from slipway_optimizer.arrays import Array, Arrays
from slipway_optimizer.convert import adapt, inputs
from slipway_optimizer.convert.compare import hold_to_source
from slipway_optimizer.convert.kinds import Kind, Sniffed
from slipway_optimizer.convert.loader import Code, call_loader
from slipway_optimizer.convert.order import Conversion, ConvertOrder
from slipway_optimizer.failures import Refused

_OPSET: Final = 18
_WHAT: Final = "module"
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A module in evaluation mode, and what it takes.

    Attributes:
        module: called with tensors in the order of ``inputs``.
        scripted: TorchScript, which only the older exporter reads as it is.
        outputs: names, where the module gives them.
    """

    module: Any
    inputs: tuple[ModelInput, ...]
    scripted: bool = False
    outputs: tuple[str, ...] = ()

    def axis(self, value: ModelInput) -> int:
        """Of an input's rows."""
        return inputs.batch_axis(value, self.inputs)


def convert(found: Sniffed, target: Path, order: ConvertOrder) -> Conversion:
    """Write the ONNX equivalent of a PyTorch model.

    Raises:
        Refused: ``LoaderNeeded``, ``LoaderFailed``, ``InputsUnknown``, ``SourceCorrupt``,
            ``ConversionFailed``, ``ConversionDiffers``.
    """
    torch.set_grad_enabled(False)
    if found.kind is Kind.PT2 and order.loader is None:
        return _exported_program(found, target, order)
    opened = _open(found, order)
    write(opened, target)
    return _held(target, opened.module, tuple(value.name for value in opened.inputs), order)


def _exported_program(found: Sniffed, target: Path, order: ConvertOrder) -> Conversion:
    try:
        program = torch.export.load(found.path)
    except Exception as error:  # what its readers happen to raise
        raise Refused(
            "SourceCorrupt",
            f"the .pt2 is not readable by torch {torch.__version__}: export it again with "
            "torch.export.save of a version that is not newer",
        ) from error
    with _failing("torch.onnx"):
        _quietly(
            lambda: torch.onnx.export(
                program, (), target, dynamo=True, external_data=False, verbose=False
            )
        )
    asked, _ = _name(target)
    return _held(target, program.module(check_guards=False), asked, order)


def _held(target: Path, module: Any, asked: tuple[str, ...], order: ConvertOrder) -> Conversion:
    """The batch first everywhere, as it is served, and the answers held to the module's."""
    model = graph.load(target)
    axes, given = adapt.batch_axes(model), [value.name for value in model.graph.output]
    notes = adapt.batch_first(model)
    if notes:
        graph.save(model, target)

    def ask(rows: Arrays) -> Arrays:
        tensors = [torch.from_numpy(rows[name]).movedim(0, axes.get(name, 0)) for name in asked]
        answers = dict(zip(given, _arrays(module(*tensors)), strict=True))
        return {name: np.moveaxis(a, axes.get(name, 0), 0) for name, a in answers.items()}

    figures = hold_to_source(target, ask, dataset=order.dataset, what=_WHAT)
    return Conversion(figures, notes=tuple(notes))


def _open(found: Sniffed, order: ConvertOrder) -> Opened:
    if order.code is not None:
        module = load_module(order.code, found.path)
        return _with_inputs(module, order, _arguments(module))
    match found.kind:
        case Kind.TORCHSCRIPT:
            module = _scripted(found.path)
            return _with_inputs(module, order, _arguments(module), scripted=True)
        case Kind.HUGGING_FACE:
            from slipway_optimizer.convert import hugging_face

            model, asked, outputs = hugging_face.open_model(found.path, order)
            return Opened(model.eval(), asked, outputs=outputs)
        case Kind.TORCH_MODULE:
            module = _unpickled(found.path)
            return _with_inputs(module, order, _arguments(module))
        case _:
            raise Refused(
                "LoaderNeeded",
                f"the file is a {found.kind}: it holds weights and no model, so set "
                "spec.model.loader to code that makes the model, or save it with torch.export.save",
            )


def load_module(code: Code, model: Path) -> Any:
    """The module that a loader makes of a file or folder.

    Raises:
        Refused: ``LoaderFailed``.
    """
    module = call_loader(code, model)
    if not isinstance(module, torch.nn.Module):
        raise Refused(
            "LoaderFailed",
            f"the loader's {code.function} returned a {type(module).__name__}: it must return a "
            "torch.nn.Module",
        )
    return module


def _scripted(path: Path) -> Any:
    try:
        return torch.jit.load(path, map_location="cpu").eval()
    except Exception as error:
        raise Refused(
            "SourceCorrupt",
            f"the TorchScript file is not readable by torch {torch.__version__}: save it again "
            "with torch.export.save",
        ) from error


def _unpickled(path: Path) -> Any:
    """Run a pickle: ``recognised`` made sure that the user allowed it."""
    try:
        module = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # a pickle raises anything
        text = str(error).partition("\n")[0][:160]
        raise Refused(
            "SourceCorrupt",
            f"the pickled module cannot be opened ({type(error).__name__}: {text}): its classes "
            "are not in this image, so save it with torch.export.save, or set spec.model.loader",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise Refused(
            "LoaderNeeded",
            f"the pickle holds a {type(module).__name__}, no torch.nn.Module: set "
            "spec.model.loader to code that makes the model",
        )
    return module.eval()


def _with_inputs(
    module: Any, order: ConvertOrder, names: tuple[str, ...], *, scripted: bool = False
) -> Opened:
    return Opened(module.eval(), inputs.known(order, names), scripted=scripted)


def _arguments(module: Any) -> tuple[str, ...]:
    """Names of the arguments that must be given."""
    schema = getattr(getattr(module, "forward", None), "schema", None)
    if schema is not None:
        return tuple(a.name for a in schema.arguments[1:] if not a.has_default_value())
    return inputs.required_arguments(module.forward)


def write(opened: Opened, target: Path) -> tuple[str, ...]:
    """Export; the names of the outputs.

    Raises:
        Refused: ``ConversionFailed``.
    """
    attempts: list[Callable[[tuple[Any, ...]], None]] = []
    if not opened.scripted:
        attempts.append(lambda given: _dynamo(opened, given, target))
    attempts.append(lambda given: _script(opened, given, target))
    if opened.scripted:
        attempts.append(lambda given: _dynamo(_program(opened, given), given, target))
    failure: Exception | None = None
    for attempt in attempts:
        for size in inputs.sizes(opened.inputs):
            given = tuple(
                torch.from_numpy(
                    inputs.example(value, batch=2, open_size=size, axis=opened.axis(value))
                )
                for value in opened.inputs
            )
            try:
                _quietly(lambda attempt=attempt, given=given: attempt(given))  # type: ignore[misc] # bound now
                return _name(target, opened.outputs or _keys(opened, given))[1]
            except Exception as error:  # noqa: BLE001 - exporters raise anything; the next one may do
                failure = failure or error
    hint = (
        "save it with torch.export.save instead of torch.jit"
        if opened.scripted
        else "export it with torch.onnx yourself, and serve that file"
    )
    raise Refused(
        "ConversionFailed", f"torch.onnx cannot export the module ({_words(failure)}): {hint}"
    ) from failure


def _program(opened: Opened, given: tuple[Any, ...]) -> Opened:
    """TorchScript as a module that can be exported: it knows answers in a dict.

    The converter is torch's own, but not public, and specialises what it cannot follow: whoever
    calls this holds the answers to the module's.
    """
    from torch._export.converter import TS2EPConverter

    program = TS2EPConverter(opened.module, given).convert()
    return replace(opened, module=program.module(check_guards=False))


def _keys(opened: Opened, given: tuple[Any, ...]) -> tuple[str, ...]:
    """The keys of what TorchScript answers, if that is a dict of tensors."""
    answer = opened.module(*given) if opened.scripted else None
    if not isinstance(answer, dict):
        return ()
    return tuple(str(key) for key, value in answer.items() if isinstance(value, torch.Tensor))


def _dynamo(opened: Opened, given: tuple[Any, ...], target: Path) -> None:
    dims = tuple(
        {axis: torch.export.Dim.AUTO for axis, size in enumerate(value.shape) if size == -1}
        for value in opened.inputs
    )
    torch.onnx.export(
        opened.module,
        given,
        target,
        dynamo=True,
        external_data=False,
        verbose=False,
        opset_version=_OPSET,
        input_names=[value.name for value in opened.inputs],
        dynamic_shapes=(dims,) if _takes_any(opened.module) else dims,
    )


def _takes_any(module: Any) -> bool:
    """Whether ``forward`` is ``(*tensors)``, as of our own wrappers."""
    return bool(getattr(module, "takes_any", False))


def _script(opened: Opened, given: tuple[Any, ...], target: Path) -> None:
    names = [value.name for value in opened.inputs]
    axes = {
        value.name: {axis: "batch" if axis == opened.axis(value) else f"{value.name}_{axis}"
                     for axis, size in enumerate(value.shape) if size == -1}
        for value in opened.inputs
    }  # fmt: skip
    rows = _output_axes(opened, given)
    outputs = [f"output_{number}" for number in range(len(rows))]
    torch.onnx.export(
        opened.module,
        given,
        target,
        dynamo=False,
        opset_version=_OPSET,
        input_names=names,
        output_names=outputs,
        dynamic_axes=axes | {n: {axis: "batch"} for n, axis in zip(outputs, rows, strict=True)},
    )


def _output_axes(opened: Opened, given: tuple[Any, ...]) -> list[int]:
    """Where each output has its rows: first, or where it grows with every input's."""
    once = [array.shape for array in _arrays(opened.module(*given))]
    places = [opened.axis(value) for value in opened.inputs]
    if not any(places):
        return [0] * len(once)
    more = [torch.cat([v, v], axis) for v, axis in zip(given, places, strict=True)]
    twice = [array.shape for array in _arrays(opened.module(*more))]
    return [
        next((axis for axis, (a, b) in enumerate(zip(one, two, strict=True)) if b == 2 * a), 0)
        for one, two in zip(once, twice, strict=True)
    ]


def _name(target: Path, outputs: Sequence[str] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the batch and the outputs their names; the names of inputs and outputs."""
    model = graph.load(target)
    adapt.name_batch(model)
    given = [value.name for value in model.graph.output]
    if outputs and len(outputs) == len(given):
        adapt.rename(model, dict(zip(given, outputs, strict=True)))
    graph.save(model, target)
    names = tuple(value.name for value in model.graph.output)
    return tuple(value.name for value in model.graph.input), names


def _arrays(answer: Any) -> list[Array]:
    """Every tensor of what a module returned, in order."""
    if isinstance(answer, torch.Tensor):
        return [answer.detach().numpy()]
    if isinstance(answer, dict):
        return [array for value in answer.values() for array in _arrays(value)]
    if isinstance(answer, tuple | list):
        return [array for value in answer for array in _arrays(value)]
    return []


def _quietly(work: Callable[[], Any]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        work()


@contextlib.contextmanager
def _failing(what: str) -> Any:
    try:
        yield
    except Exception as error:
        raise Refused(
            "ConversionFailed",
            f"{what} cannot export the program ({_words(error)}): export it with torch.onnx "
            "yourself, and serve that file",
        ) from error


def _words(error: BaseException | None) -> str:
    """The first line of what began it: exporters wrap it in pages of advice."""
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
