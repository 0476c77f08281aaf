"""Which nodes a quantised model can least afford. An owner file of onnx.

A calibrated model is built once; then single nodes are put back to what they were by rewiring it,
which costs a load and a few rows instead of another calibration.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from slipway.api.v1alpha1.optimization import QuantizationMode
from slipway_optimizer.arrays import Array, Arrays, rows_of, take
from slipway_optimizer.metrics import sqnr_db
from slipway_optimizer.passes.float_results import keep_results
from slipway_optimizer.passes.quantize_dynamic import OPERATORS as PRODUCTS
from slipway_optimizer.passes.quantize_dynamic import quantize_dynamic
from slipway_optimizer.passes.quantize_static import OPERATORS, StaticOptions, quantize_static
from slipway_optimizer.passes.unused import drop_unused
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.session import Model, seconds_by_node

_CONVERSIONS: Final = ("QuantizeLinear", "DequantizeLinear")
_MOST_GROUPS: Final = 60
_RANK_ROWS: Final = 4
_LEAST_SECONDS: Final = 1e-6
_WORST_DB: Final = -99.0
_BEST_DB: Final = 200.0
_Reached = tuple[tuple[str, ...], float]  # nodes left in fp32, and the SQNR then


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        output: the judged one.
        target_db: SQNR of the output that is wanted.
        seconds: for all of it; ranking may use half.
    """

    recipe: Recipe
    output: str
    target_db: float
    seconds: float
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Found:
    """Nodes with the SQNR that each alone costs, the worst first, and the fewest to leave alone.

    Attributes:
        exclude: empty when no half of the nodes reaches the target.
        reached_db: with those left in fp32.
    """

    ranking: tuple[tuple[str, float], ...]
    exclude: tuple[str, ...]
    reached_db: float


def find(source: Path, scratch: Path, rows: Arrays, question: Question) -> Found:
    """Rank the quantised nodes, then bisect over how many of the first stay in fp32.

    First come the worst, and in a second try those whose noise is most for the time that they take
    in fp32. What reaches the target at the least time is found.
    """
    search = _Search(source, scratch, rows, question)
    ranking = search.rank()
    seconds = seconds_by_node(source, take(rows, slice(0, 1)), scratch)
    orders = dict.fromkeys([tuple(name for name, _ in ranking), by_worth(ranking, seconds)])
    exclude, reached = cheapest([search.bisect(order) for order in orders], seconds)
    return Found(ranking, exclude, reached)


def cheapest(tries: Sequence[_Reached], seconds: Mapping[str, float]) -> _Reached:
    """Of the nodes to leave in fp32 that reach the target, those that take the least time."""
    return min(
        (each for each in tries if each[0]),
        key=lambda each: sum(seconds.get(name, 0.0) for name in each[0]),
        default=((), _WORST_DB),
    )


def by_worth(
    ranking: tuple[tuple[str, float], ...], seconds: Mapping[str, float]
) -> tuple[str, ...]:
    """Nodes by the noise that each makes for a second of fp32, the most first.

    Args:
        ranking: nodes with the SQNR that each alone costs.
        seconds: of a run of each in fp32.
    """

    def worth(pair: tuple[str, float]) -> float:
        name, decibels = pair
        return 10 ** (-decibels / 10) / max(seconds.get(name, 0.0), _LEAST_SECONDS)

    return tuple(name for name, _ in sorted(ranking, key=worth, reverse=True))


class _Search:
    def __init__(self, source: Path, scratch: Path, rows: Arrays, question: Question) -> None:
        self._source, self._scratch, self._rows, self._asked = source, scratch, rows, question
        self._ends = question.clock() + question.seconds
        self._fp32 = onnx.load_model(source)
        self._probe = self._build_probe()
        self._truth = self._answer(source, rows)
        self._few_truth = self._truth[:_RANK_ROWS]

    def _build_probe(self) -> onnx.ModelProto:
        recipe = self._asked.recipe
        dynamic = recipe.quantization is QuantizationMode.DYNAMIC
        options = StaticOptions(
            per_channel=recipe.per_channel,
            reduce_range=recipe.reduce_range,
            calibration=recipe.calibration,
            operators=PRODUCTS if dynamic else recipe.operators or OPERATORS,
            exclude=recipe.exclude,
        )
        path = self._scratch / "probe.onnx"
        quantize_static(self._source, path, self._rows, options)
        return onnx.load_model(path)

    def rank(self) -> tuple[tuple[str, float], ...]:
        """The worst first; nodes that the time did not suffice for come last."""
        nodes = quantised_nodes(self._probe)
        size = -(-len(nodes) // _MOST_GROUPS)
        groups = [nodes[start : start + size] for start in range(0, len(nodes), size or 1)]
        half = self._ends - self._asked.seconds / 2
        few = take(self._rows, slice(0, _RANK_ROWS))
        found: dict[str, float] = {}
        for group in groups:
            distance = _BEST_DB
            if self._asked.clock() < half:
                others = frozenset(nodes) - set(group)
                distance = self._distance(restore(self._probe, self._fp32, others), few)
            found.update(dict.fromkeys(group, distance))
        return tuple(sorted(found.items(), key=lambda pair: pair[1]))

    def bisect(self, order: tuple[str, ...]) -> _Reached:
        """The fewest of the first nodes without which the target is reached."""
        low, high = 0, len(order) // 2 + 1
        best: _Reached = ((), _WORST_DB)
        while high - low > 1 and self._asked.clock() < self._ends:
            middle = (low + high) // 2
            exclude = order[:middle]
            reached = self._without(exclude)
            if reached >= self._asked.target_db:
                best, high = (exclude, reached), middle
            else:
                low = middle
        return best

    def _without(self, exclude: tuple[str, ...]) -> float:
        recipe = self._asked.recipe
        if recipe.quantization is not QuantizationMode.DYNAMIC:
            return self._distance(restore(self._probe, self._fp32, frozenset(exclude)), self._rows)
        path = self._scratch / "dynamic.onnx"
        quantize_dynamic(
            self._source,
            path,
            per_channel=recipe.per_channel,
            reduce_range=recipe.reduce_range,
            exclude=(*recipe.exclude, *exclude),
        )
        return _finite(sqnr_db(self._truth, self._answer(path, self._rows)))

    def _distance(self, model: onnx.ModelProto, rows: Arrays) -> float:
        path = self._scratch / "attempt.onnx"
        onnx.save_model(model, path)
        truth = self._truth if rows_of(rows) == len(self._truth) else self._few_truth
        return _finite(sqnr_db(truth, self._answer(path, rows)))

    def _answer(self, path: Path, rows: Arrays) -> Array:
        return Model(path, threads=1).run_rows(rows)[self._asked.output]


def quantised_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the operators that read dequantised values, in the graph's order."""
    made = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in OPERATORS and any(name in made for name in node.input)
    ]


def restore(
    quantised: onnx.ModelProto, original: onnx.ModelProto, names: frozenset[str]
) -> onnx.ModelProto:
    """A copy in which these nodes read fp32 values and weights again: as a build without them."""
    model = onnx.ModelProto()
    model.CopyFrom(quantised)
    made_by = {output: node for node in model.graph.node for output in node.output}
    before = {node.name: node for node in original.graph.node}
    weights = {tensor.name: tensor for tensor in original.graph.initializer}
    held = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.name not in names or node.name not in before:
            continue
        for place, name in enumerate(node.input):
            source = before[node.name].input[place]
            if source in weights:
                # What dequantises a bias goes by the bias's own name.
                back = source if source not in made_by else f"{source}/fp32"
                if back not in held:
                    model.graph.initializer.add().CopyFrom(weights[source])
                    model.graph.initializer[-1].name = back
                    held.add(back)
                node.input[place] = back
            else:
                node.input[place] = _undequantised(name, made_by)
    _free_results(model.graph, names, made_by)
    drop_unused(model.graph)
    keep_results(model, original)
    return model


def _free_results(
    graph: onnx.GraphProto, names: frozenset[str], made_by: dict[str, onnx.NodeProto]
) -> None:
    """What is not quantised reads fp32 results as they are: a build rounds none of these."""
    results = {name for node in graph.node if node.name in names for name in node.output}
    for node in graph.node:
        if node.op_type in _CONVERSIONS or (node.op_type in OPERATORS and node.name not in names):
            continue
        for place, name in enumerate(node.input):
            value = _undequantised(name, made_by)
            if value in results:
                node.input[place] = value


def _undequantised(name: str, made_by: dict[str, onnx.NodeProto]) -> str:
    """The value before a pair of QuantizeLinear and DequantizeLinear, if it comes from one."""
    last = made_by.get(name)
    if last is None or last.op_type != "DequantizeLinear":
        return name
    first = made_by.get(last.input[0])
    if first is None or first.op_type != "QuantizeLinear":
        return name
    value: str = first.input[0]
    return value


def _finite(distance: float) -> float:
    return max(_WORST_DB, min(_BEST_DB, distance))
