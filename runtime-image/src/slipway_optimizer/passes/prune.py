"""Magnitude pruning: small weights become zero. An owner file of onnx.

It makes what is stored smaller (a mask and the remaining values, see ``store_sparse``), not faster:
ONNX Runtime multiplies zeros like any other number.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.optimization import Pruning, PruningMethod, PruningScope
from slipway_optimizer.passes.weights import TensorError, error_of, large_weights

Floats = NDArray[np.float32]


def prune(model: onnx.ModelProto, pruning: Pruning) -> tuple[TensorError, ...]:
    """Set weights of 2 and more dimensions to zero, in place."""
    tensors = [(t, v) for t, v in large_weights(model) if v.ndim > 1]
    limits = thresholds([values for _, values in tensors], pruning)
    errors = []
    for (tensor, values), limit in zip(tensors, limits, strict=True):
        kept = np.where(np.abs(values) < limit, np.float32(0), values)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(kept, name))
        errors.append(error_of(name, values, kept))
    return tuple(errors)


def thresholds(tensors: list[Floats], pruning: Pruning) -> list[float]:
    """For each tensor, the magnitude below which a weight goes; never beyond the layer's cap."""
    if not tensors:
        return []
    value = float(parse_decimal(pruning.value))
    caps = [
        float(np.quantile(np.abs(t), float(parse_decimal(pruning.max_per_layer)))) for t in tensors
    ]
    if pruning.method is PruningMethod.THRESHOLD:
        wanted = [value] * len(tensors)
    elif pruning.scope is PruningScope.GLOBAL:
        everything = np.concatenate([np.abs(t).ravel() for t in tensors])
        wanted = [float(np.quantile(everything, value / 100))] * len(tensors)
    else:
        wanted = [float(np.quantile(np.abs(t), value / 100)) for t in tensors]
    return [min(pair) for pair in zip(wanted, caps, strict=True)]
