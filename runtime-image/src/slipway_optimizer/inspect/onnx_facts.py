"""ONNX: opset, tensors, operators, whether it can be batched and quantised."""

from collections import Counter
from pathlib import Path
from typing import Final

from slipway.artifacts.manifest import Tensor
from slipway_optimizer import graph
from slipway_optimizer.convert import adapt
from slipway_optimizer.failures import Refused
from slipway_optimizer.inspect.details import Details
from slipway_optimizer.tensors import DYNAMIC

_SMALL: Final = 0.2  # share of weights below which quantisation gains little
_CONTROL: Final = ("If", "Loop", "Scan")


def details(path: Path) -> Details:
    """Parse the file and its external data.

    Raises:
        Refused: as ``graph.load_with_data``.
    """
    model, outside = graph.load_with_data(path)
    operators = Counter(node.op_type for node in model.graph.node)
    facts = {"opset": str(graph.opset_of(model))}
    if model.producer_name:
        facts["made by"] = f"{model.producer_name} {model.producer_version}".strip()
    if outside:
        facts["external data"] = f"{outside} bytes"
    fixed = adapt.fixed_batch(model)
    scores = adapt.plain_scores(model)
    notes = [
        *([scores.note] if scores else []),
        *adapt.label_rows(model),
        *adapt.batch_first(model),
    ]
    control = [name for name in _CONTROL if name in operators]
    if control:
        notes.append(f"has control flow ({', '.join(control)}), which quantisers leave as it is")
    refusal, batch = "", ""
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    try:
        signature = graph.signature_of(model, any_batch=True)
        inputs, outputs = signature.inputs, signature.outputs
        batch = _batch(fixed, all(t.shape[0] == DYNAMIC for t in signature.inputs))
        if any(tensor.datatype == "BYTES" for tensor in signature.inputs):
            notes.append("takes text: set validation.dataset, text is not generated")
    except Refused as error:
        refusal = str(error)
    return Details(
        facts=facts,
        inputs=inputs,
        outputs=outputs,
        operators=dict(operators.most_common()),
        batch=batch,
        quantisation=_quantisation(graph.weight_shares(model), operators),
        notes=tuple(notes),
        refusal=refusal,
    )


def _batch(fixed: int | None, open_first: bool) -> str:  # noqa: FBT001 - two facts of one graph
    if fixed is not None:
        return f"fixed at {fixed}: opened by the conversion if answers stay equal"
    return "any" if open_first else "1, as one of its inputs has no open first dimension"


def _quantisation(shares: dict[str, float], operators: Counter[str]) -> str:
    if {"QuantizeLinear", "DequantizeLinear", "MatMulInteger", "QLinearConv"} & set(operators):
        return "it is quantised already"
    conv = shares.get("Conv", 0.0)
    matmul = sum(shares.get(name, 0.0) for name in ("MatMul", "Gemm"))
    lookup = shares.get("Gather", 0.0)
    parts = [
        f"{share:.0%} of its weights in {name}"
        for share, name in ((matmul, "MatMul and Gemm"), (conv, "Conv"), (lookup, "lookup tables"))
        if share >= 0.01
    ]
    if conv + matmul + lookup < _SMALL:
        return "little to gain: " + (", ".join(parts) or "no weights in Conv, MatMul or Gemm")
    hint = "; Conv needs rows to calibrate with (validation.dataset)" if conv >= _SMALL else ""
    return ", ".join(parts) + hint
