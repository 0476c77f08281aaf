"""What a model takes, where its file does not say it: from the spec, else from the data set."""

import inspect
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from slipway.api.v1alpha1.model import InputDatatype, ModelInput
from slipway.errors import Invalid
from slipway_optimizer import feeds
from slipway_optimizer.arrays import Array, load_npz
from slipway_optimizer.convert.order import ConvertOrder
from slipway_optimizer.datasets import EXPECTED_PREFIX, MAX_BYTES
from slipway_optimizer.failures import Refused
from slipway_optimizer.tensors import DYNAMIC, FLOATS, NUMPY_OF

_DATATYPES: Final = {NUMPY_OF[datatype]: datatype for datatype in InputDatatype}


def known(order: ConvertOrder, arguments: tuple[str, ...]) -> tuple[ModelInput, ...]:
    """Inputs in the order of the model's arguments.

    Args:
        order: its ``inputs`` count as they are written.
        arguments: names of the arguments; the data set's arrays of these names tell the rest.

    Raises:
        Refused: ``InputsUnknown``.
    """
    if order.inputs:
        return order.inputs
    arrays = _arrays(order)
    named = tuple(name for name in arguments if name in arrays)
    if arguments and named == arguments:
        return tuple(_described(name, arrays[name]) for name in named)
    there = f" (its arguments are {', '.join(arguments)})" if arguments else ""
    raise Refused(
        "InputsUnknown",
        f"the file does not say the shapes of the model's inputs{there}: set spec.model.inputs, or "
        "a data set whose arrays have the arguments' names",
    )


def _arrays(order: ConvertOrder) -> dict[str, Array]:
    if order.dataset is None:
        return {}
    try:
        held = load_npz(order.dataset, limit=MAX_BYTES)
    except Invalid:
        return {}  # the data set is refused with its reason where it is loaded
    return {name: array for name, array in held.items() if not name.startswith(EXPECTED_PREFIX)}


def _described(name: str, array: Array) -> ModelInput:
    datatype = _DATATYPES.get(array.dtype, "FP32")
    if array.dtype == np.float64:  # what numpy makes of any list; models are of float32
        datatype = "FP32"
    return ModelInput(
        name=name, datatype=InputDatatype(datatype), shape=(DYNAMIC, *array.shape[1:])
    )


def required_arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the positional parameters without defaults."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = inspect.signature(function).parameters.values()
    return tuple(p.name for p in found if p.kind in kinds and p.default is p.empty)


def sizes(values: tuple[ModelInput, ...]) -> tuple[int, ...]:
    """Sizes to try for dimensions that are open inside."""
    inside = any(DYNAMIC in value.shape[1:] for value in values)
    return feeds.OPEN_SIZES if inside else feeds.OPEN_SIZES[:1]


def batch_axis(value: ModelInput, among: tuple[ModelInput, ...]) -> int:
    """Where the batch is: first, or where a state has its one open dimension, as [2, -1, 128].

    Args:
        value: an input.
        among: all of them; one that begins with an open batch shows that there is one.
    """
    first = value.shape[0]
    state = first != DYNAMIC and first > 1 and value.shape.count(DYNAMIC) == 1
    batched = any(other.shape[0] == DYNAMIC for other in among)
    return value.shape.index(DYNAMIC) if state and batched else 0


def example(value: ModelInput, *, batch: int, open_size: int, axis: int = 0) -> Array:
    """An array to trace with: numbers as of a scaled picture, or zeros and ones.

    Args:
        value: what it stands for.
        batch: rows.
        open_size: of other open dimensions.
        axis: of the rows.
    """
    shape = [open_size if size == DYNAMIC else size for size in value.shape]
    if value.shape[axis] == DYNAMIC:
        shape[axis] = batch
    random = np.random.default_rng(0)
    if value.datatype in FLOATS:
        floats: Array = random.random(shape).astype(NUMPY_OF[value.datatype])
        return floats
    whole: Array = random.integers(0, 2, size=shape).astype(NUMPY_OF[value.datatype])
    return whole
