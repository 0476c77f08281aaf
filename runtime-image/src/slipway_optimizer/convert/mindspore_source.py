"""MindSpore checkpoints by a loader. Owner file of mindspore."""

import contextlib
from pathlib import Path
from typing import Any

import mindspore
import numpy as np

from slipway_optimizer import graph
from slipway_optimizer.arrays import Array, Arrays
from slipway_optimizer.convert import inputs
from slipway_optimizer.convert.compare import hold_to_source
from slipway_optimizer.convert.kinds import Kind, Sniffed
from slipway_optimizer.convert.loader import call_loader
from slipway_optimizer.convert.order import Conversion, ConvertOrder
from slipway_optimizer.failures import Refused


def convert(found: Sniffed, target: Path, order: ConvertOrder) -> Conversion:
    """Write the ONNX equivalent of a checkpoint. MindSpore freezes the batch: it is opened later.

    Raises:
        Refused: ``LoaderNeeded``, ``LoaderFailed``, ``InputsUnknown``, ``ConversionFailed``,
            ``ConversionDiffers``.
    """
    if order.code is None:
        kind = "MindIR, which MindSpore cannot export to ONNX"
        if found.kind is not Kind.MINDIR:
            kind = "checkpoint, which holds weights and no model"
        raise Refused(
            "LoaderNeeded",
            f"the file is a MindSpore {kind}: upload the checkpoint, and set spec.model.loader to "
            "code that makes the network and loads it",
        )
    network = call_loader(order.code, found.path)
    if not isinstance(network, mindspore.nn.Cell):
        raise Refused(
            "LoaderFailed",
            f"the loader's {order.loader_function} returned a {type(network).__name__}: it must "
            "return a mindspore.nn.Cell",
        )
    network.set_train(False)
    asked = inputs.known(order, inputs.required_arguments(network.construct))
    given = [inputs.example(value, batch=1, open_size=16) for value in asked]
    _export(network, given, target)
    model = graph.load(target)
    names = [value.name for value in model.graph.input]
    outputs = [value.name for value in model.graph.output]

    def ask(rows: Arrays) -> Arrays:
        answer = network(*(mindspore.Tensor(rows[name]) for name in names))
        return dict(zip(outputs, _arrays(answer), strict=True))

    figures = hold_to_source(target, ask, dataset=order.dataset, what="network")
    return Conversion(figures)


def _export(network: Any, given: list[Array], target: Path) -> None:
    tensors = [mindspore.Tensor(array) for array in given]
    try:
        with contextlib.suppress(FileExistsError):
            target.parent.mkdir(parents=True)
        mindspore.export(network, *tensors, file_name=str(target), file_format="ONNX")
    except Exception as error:  # its compilers raise anything
        text = (str(error).strip().splitlines() or [""])[0][:200]
        raise Refused(
            "ConversionFailed",
            f"MindSpore cannot export the network to ONNX ({text}): use operators that its ONNX "
            "exporter knows",
        ) from error


def _arrays(answer: Any) -> list[Array]:
    if isinstance(answer, mindspore.Tensor):
        return [np.asarray(answer.asnumpy())]
    return [array for value in answer for array in _arrays(value)]
