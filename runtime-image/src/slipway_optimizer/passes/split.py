"""Pipeline stages of a model: files that, run one after the other, answer as the whole does.

An owner file of onnx.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import onnx

from slipway_optimizer.arrays import Arrays, take
from slipway_optimizer.failures import Refused
from slipway_optimizer.metrics import close
from slipway_optimizer.session import Model, seconds_by_node
from slipway_optimizer.stages import Cut, Step, balance, cuts


@dataclass(frozen=True, slots=True)
class StageFile:
    """One stage.

    Attributes:
        share: of the whole model's measured time.
    """

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    share: float


def split(source: Path, folder: Path, rows: Arrays, count: int) -> tuple[StageFile, ...]:
    """Write ``stage-1.onnx`` to ``stage-<count>.onnx`` and compare the chain with the whole.

    Raises:
        Refused: ``SplitImpossible``, or ``SplitDiffers`` with the output that changed.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load_model(source))
    costs = seconds_by_node(source, take(rows, slice(0, 1)), folder)
    steps = _steps(model, costs)
    given = frozenset(v.name for v in model.graph.input) - _held(model)
    wanted = frozenset(v.name for v in model.graph.output)
    typed = {v.name for v in model.graph.value_info if v.type.tensor_type.elem_type}
    places = [c for c in cuts(steps, given=given, wanted=wanted) if set(c.tensors) <= typed]
    chosen = balance(steps, places, count)
    if chosen is None:
        raise Refused(
            "SplitImpossible",
            f"the model has {len(places)} places at which at most two tensors cross, too few for "
            f"{count} stages: ask for fewer",
        )
    stages = _write(model, chosen, steps, folder)
    _require_equal(source, stages, rows)
    return stages


def _held(model: onnx.ModelProto) -> frozenset[str]:
    return frozenset(tensor.name for tensor in model.graph.initializer)


def _steps(model: onnx.ModelProto, costs: dict[str, float]) -> list[Step]:
    held = _held(model)
    return [
        Step(
            tuple(name for name in _reads(node) if name and name not in held),
            tuple(name for name in node.output if name),
            costs.get(node.name, 0.0),
        )
        for node in model.graph.node
    ]


def _reads(node: onnx.NodeProto) -> list[str]:
    """Its inputs, and what its bodies read from outside."""
    names = list(node.input)
    for attribute in node.attribute:
        bodies = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
        for body in bodies:
            names += [name for inner in body.node for name in _reads(inner)]
            names += [value.name for value in body.output]
    return names


def _write(
    model: onnx.ModelProto, chosen: tuple[Cut, ...], steps: list[Step], folder: Path
) -> tuple[StageFile, ...]:
    total = sum(step.cost for step in steps) or 1.0
    given = [v.name for v in model.graph.input if v.name not in _held(model)]
    wanted = [v.name for v in model.graph.output]
    ends = [0, *(cut.place for cut in chosen), len(steps)]
    borders = [given, *(list(cut.tensors) for cut in chosen), wanted]
    stages = []
    for number, (start, end) in enumerate(itertools.pairwise(ends)):
        part = _part(model, (start, end), (borders[number], borders[number + 1]))
        path = folder / f"stage-{number + 1}.onnx"
        onnx.save_model(part, path)
        share = sum(step.cost for step in steps[start:end]) / total
        inputs, outputs = tuple(borders[number]), tuple(borders[number + 1])
        stages.append(StageFile(path, inputs, outputs, share))
    return tuple(stages)


def _part(
    model: onnx.ModelProto, nodes: tuple[int, int], borders: tuple[list[str], list[str]]
) -> onnx.ModelProto:
    graph = model.graph
    values = {v.name: v for v in (*graph.value_info, *graph.input, *graph.output)}
    some = graph.node[nodes[0] : nodes[1]]
    read = {name for node in some for name in _reads(node)}
    part = onnx.helper.make_graph(
        some,
        f"{graph.name}-part",
        [values[name] for name in borders[0]],
        [values[name] for name in borders[1]],
        [tensor for tensor in graph.initializer if tensor.name in read],
    )
    made = onnx.helper.make_model(part, opset_imports=model.opset_import)
    made.ir_version = model.ir_version
    made.functions.extend(model.functions)
    return made


def _require_equal(source: Path, stages: tuple[StageFile, ...], rows: Arrays) -> None:
    whole = Model(source, threads=1)
    parts = [Model(stage.path, threads=1) for stage in stages]
    for row in range(len(next(iter(rows.values())))):
        feed = take(rows, slice(row, row + 1))
        expected, passed = whole.run(feed), feed
        for part in parts:
            passed = part.run(passed)
        for name, value in expected.items():
            if not close(value, passed[name], rtol=1e-5, atol=1e-6):
                raise Refused("SplitDiffers", f"output '{name}' of the chain is not the whole's")
