"""Pools fp32 results before they are cut off, where INT8 begins behind. An owner file of onnx.

ONNX Runtime moves the conversion to INT8 from behind a MaxPool to before it, and then computes the
pool in a slow layout: a convolution that was left in fp32 made a network of INT8 slower than fp32
as a whole. It does not move one over Relu or Clip, which it drops where the range of INT8 cuts off
the same (docs/decisions/0025). The larger of two values, cut off, is the larger of the cut ones.
"""

from collections import Counter
from typing import Final

import onnx

from slipway_optimizer.outside import messages

_CUTTING: Final = ("Clip", "Relu")


def pool_first(model: onnx.ModelProto) -> int:
    """Let ``MaxPool`` and ``Relu`` or ``Clip`` change places between fp32 ``Conv`` and INT8.

    Args:
        model: as a static quantiser wrote it; it is changed.

    Returns:
        How many changed places.
    """
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    reads = _reads(graph)
    pairs = []
    for pool in graph.node:
        cutting = makers.get(pool.input[0]) if pool.op_type == "MaxPool" else None
        if (
            cutting is not None
            and cutting.op_type in _CUTTING
            and len(pool.output) == 1
            and reads[cutting.output[0]] == reads[cutting.input[0]] == 1
            and _is_fp32_convolution(makers.get(cutting.input[0]), makers)
            and _only_quantised(pool.output[0], reads, graph)
        ):
            pairs.append((cutting, pool))
    for cutting, pool in pairs:
        _change_places(graph, cutting, pool)
    return len(pairs)


def _reads(graph: onnx.GraphProto) -> Counter[str]:
    """How often each tensor is read, also by graphs inside nodes and as an output."""
    reads: Counter[str] = Counter()
    for message in messages(graph):
        if isinstance(message, onnx.NodeProto):
            reads.update(message.input)
        elif isinstance(message, onnx.GraphProto):
            reads.update(value.name for value in message.output)
    return reads


def _is_fp32_convolution(node: onnx.NodeProto | None, makers: dict[str, onnx.NodeProto]) -> bool:
    if node is None or node.op_type != "Conv":
        return False
    weights = makers.get(node.input[1])
    return weights is None or weights.op_type != "DequantizeLinear"


def _only_quantised(name: str, reads: Counter[str], graph: onnx.GraphProto) -> bool:
    first = sum(n.op_type == "QuantizeLinear" and n.input[0] == name for n in graph.node)
    return 0 < first == reads[name]


def _change_places(graph: onnx.GraphProto, cutting: onnx.NodeProto, pool: onnx.NodeProto) -> None:
    before, result = cutting.input[0], pool.output[0]
    lost, pooled = cutting.output[0], f"{result}/pooled"
    pool.input[0], pool.output[0] = before, pooled
    cutting.input[0], cutting.output[0] = pooled, result
    nodes = list(graph.node)
    here, there = nodes.index(cutting), nodes.index(pool)
    nodes[here], nodes[there] = pool, cutting
    infos = [value for value in graph.value_info if value.name != lost]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.value_info.extend(infos)
