"""Takes away what a rewrite left without readers, and puts the rest in order."""

from collections.abc import Iterator

import onnx


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and initialisers whose results nobody reads any more."""
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output) or _has_body(node):
            kept.append(node)
            wanted.update(node.input)
            wanted.update(_read_by_bodies(node))
    held = [tensor for tensor in graph.initializer if tensor.name in wanted]
    infos = [value for value in graph.value_info if value.name in wanted]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.value_info.extend(infos)
    graph.node.extend(reversed(kept))
    graph.initializer.extend(held)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put each node behind those that it reads, also from graphs inside it, else as they stand.

    ONNX Runtime's quantisers forget what such graphs read.
    """
    makers = {name: n for n, node in enumerate(graph.node) for name in node.output if name}
    needs = [
        {makers[name] for name in (*node.input, *_read_by_bodies(node)) if name in makers} - {n}
        for n, node in enumerate(graph.node)
    ]
    ready, order, done = list(range(len(needs)))[::-1], [], set[int]()
    while ready:
        if ready[-1] in done:
            ready.pop()
        elif missing := sorted(needs[ready[-1]] - done, reverse=True):
            ready += missing
        else:
            done.add(ready[-1])
            order.append(graph.node[ready.pop()])
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in order]
    del graph.node[:]
    graph.node.extend(nodes)


def _has_body(node: onnx.NodeProto) -> bool:
    return any(a.HasField("g") or a.graphs for a in node.attribute)


def _read_by_bodies(node: onnx.NodeProto) -> Iterator[str]:
    """Names that graphs inside a node read: they may come from outside."""
    for attribute in node.attribute:
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from (value.name for value in body.output)
            for inner in body.node:
                yield from inner.input
                yield from _read_by_bodies(inner)
