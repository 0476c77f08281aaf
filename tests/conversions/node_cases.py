"""ONNX's own cases of single operators through a target's table. Runs in its environment.

Prints what came of them: how many passed, were refused, and the names of the rest.
"""

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import numpy_helper
from onnx.backend.test import loader

from slipway.artifacts.manifest import Tensor
from slipway_optimizer.export import host, program, walk
from slipway_optimizer.failures import Refused
from slipway_optimizer.tensors import Signature

HOST = ("Pad", "Resize", "Upsample", "Range", "OneHot")  # their further inputs are known numbers


def target() -> tuple[dict[str, Any], Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """Operators, to a tensor, its sizes, and back."""
    if sys.argv[1] == "torch":
        from slipway_optimizer.export import torch_operators, torch_values

        def back(value: Any) -> Any:
            return value.detach().numpy()

        return torch_operators.OPERATORS, torch_values.tensor, lambda v: v.shape, back
    from slipway_optimizer.export import tensorflow_operators, tensorflow_values

    operators = tensorflow_operators.TFLITE_OPERATORS
    return operators, tensorflow_values.tensor, tensorflow_values.shape_of, lambda v: v.numpy()


def outcome(case: Any, tools: Any) -> str:
    """passed, refused, or what is wrong."""
    operators, tensor, shape_of, back = tools
    graph = case.model.graph
    try:
        node = program._node(graph.node[0], 0)
        held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        first = Tensor(name=graph.output[0].name, datatype="FP32", shape=())
        read = program.Program((node,), held, Signature((), (first,)), {})
        for inputs, expected in case.data_sets:
            arrays = [np.asarray(value) for value in (*inputs, expected[0])]
            if any(a.dtype.kind not in "fiub" for a in arrays):
                return "skipped"
            names = [value.name for value in graph.input]
            given = dict(zip(names, arrays, strict=False))
            for name, array in given.items():
                large = array.size > host.MOST or node.operator not in HOST
                if name == node.inputs[0] or (large and array.dtype.kind == "f"):
                    given[name] = tensor(array)
            answer = back(tensor(walk.run(read, given, operators, shape_of)[first.name]))
            if (answer.shape, answer.dtype) != (arrays[-1].shape, arrays[-1].dtype):
                return "wrong shape"
            if not np.allclose(answer, arrays[-1], rtol=1e-3, atol=1e-5, equal_nan=True):
                return "wrong"
    except Refused:
        return "refused"
    except Exception as error:  # noqa: BLE001 - each case's end is counted
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:80]}"
    return "passed"


def main() -> None:
    warnings.simplefilter("ignore")
    tools = target()
    found: dict[str, str] = {}
    for case in loader.load_model_tests(kind="node"):
        nodes = case.model.graph.node if case.model else []
        if len(nodes) == 1 and nodes[0].op_type in tools[0] and case.data_sets:
            found[case.name] = outcome(case, tools)
    counts = {word: list(found.values()).count(word) for word in ("passed", "refused", "skipped")}
    rest = {name: text for name, text in found.items() if text not in counts}
    print("RESULT", json.dumps({**counts, "rest": rest}))


main()
