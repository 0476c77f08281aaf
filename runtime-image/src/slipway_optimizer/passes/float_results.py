"""Leaves results of INT8 products in fp32 where nobody reads them as INT8. An owner file of onnx.

The quantiser rounds every result to 8 bits. ONNX Runtime's INT8 MatMul and Gemm can return fp32 as
well, which saves both conversions and a rounding (docs/decisions/0025). Its Conv cannot.
"""

from typing import Final

import onnx

from slipway_optimizer.outside import messages

_PRODUCTS: Final = ("Gemm", "MatMul")
_CUTTING: Final = ("Clip", "Relu")
_INT8_READERS: Final = ("Conv", "Gemm", "MatMul")


def keep_results(model: onnx.ModelProto, source: onnx.ModelProto) -> int:
    """Remove pairs of QuantizeLinear and DequantizeLinear whose result is only read as fp32.

    Args:
        model: as a static quantiser wrote it; it is changed.
        source: what it quantised. It leaves out a Relu or Clip where the range of the pair behind
            it does the same: there the pair stays.

    Returns:
        How many pairs went.
    """
    graph = _Graph(model.graph)
    cut = {node.output[0] for node in source.graph.node if node.op_type in _CUTTING}
    gone: dict[str, str] = {}  # the result of the pair -> that of the product
    for last in model.graph.node:
        product = graph.product_before(last)
        if product is None or not cut.isdisjoint((product.output[0], last.output[0])):
            continue
        if not any(map(graph.stays_int8, graph.readers(last.output[0]))):
            gone[last.output[0]] = product.output[0]
    _remove(model.graph, gone, graph)
    return len(gone)


class _Graph:
    """Who makes and who reads each tensor."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.makers = {output: node for node in graph.node for output in node.output}
        self.wanted = {value.name for value in graph.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for message in messages(graph):  # graphs inside nodes read what lies outside
            if isinstance(message, onnx.NodeProto):
                for name in message.input:
                    self._readers.setdefault(name, []).append(message)
            elif isinstance(message, onnx.GraphProto):
                self.wanted.update(value.name for value in message.output)

    def readers(self, name: str) -> list[onnx.NodeProto]:
        return self._readers.get(name, [])

    def product_before(self, last: onnx.NodeProto) -> onnx.NodeProto | None:
        """The INT8 product whose result this node gives back, if nobody else reads between them."""
        first = self._maker(last.input[0]) if last.op_type == "DequantizeLinear" else None
        if first is None or first.op_type != "QuantizeLinear":
            return None
        product = self._maker(first.input[0])
        if product is None or product.op_type not in _PRODUCTS:
            return None
        given = [self._maker(name) for name in product.input[:2]]
        if not all(maker is not None and maker.op_type == "DequantizeLinear" for maker in given):
            return None
        between = (first.input[0], first.output[0])
        alone = all(len(self.readers(n)) == 1 and n not in self.wanted for n in between)
        return product if alone else None

    def stays_int8(self, node: onnx.NodeProto) -> bool:
        """Whether it computes in INT8, or hands on as INT8 what it reads."""
        if node.op_type in _INT8_READERS:
            return True
        after = [reader for name in node.output for reader in self.readers(name)]
        return bool(after) and all(reader.op_type == "QuantizeLinear" for reader in after)

    def _maker(self, name: str) -> onnx.NodeProto | None:
        return self.makers.get(name)


def _remove(graph: onnx.GraphProto, gone: dict[str, str], before: _Graph) -> None:
    """Let products make what the pairs gave back, and drop the pairs with their scales."""
    dead: set[str] = set(gone)
    for back in gone:
        dead.add(before.makers[back].input[0])
    left = [node for node in graph.node if not dead.intersection(node.output)]
    names = {product: back for back, product in gone.items()}
    lost = {name for node in graph.node if dead.intersection(node.output) for name in node.input}
    for node in left:
        if node.output[0] in names:
            node.output[0] = names[node.output[0]]
    lost -= {name for node in left for name in node.input}
    held = [tensor for tensor in graph.initializer if tensor.name not in lost]
    infos = [value for value in graph.value_info if value.name not in lost | dead]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(left)
    graph.initializer.extend(held)
    graph.value_info.extend(infos)
