"""KServe's V1 protocol (TensorFlow Serving's REST predict): rows or columns of JSON. Pure.

The protocol: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from slipway.errors import Invalid
from slipway_server.protocol import json_tensors
from slipway_server.protocol.json_tensors import JsonReader, Keys, Node
from slipway_server.protocol.tensors import Array, InferRequest, Signature, quoted

_KEYS: Final = ("instances", "inputs", "signature_name")


@dataclass(slots=True)
class PredictRequest(InferRequest):
    """A decoded request.

    Attributes:
        by_rows: ``instances`` were sent, so ``predictions`` are answered, else ``outputs``.
    """

    by_rows: bool = True


class V1Rest:
    """Decodes requests and encodes answers of one model."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._reader = JsonReader()
        self._keys = Keys("the request", allowed=_KEYS)

    def decode(self, body: bytes) -> PredictRequest:
        """Read the body of ``:predict``.

        Raises:
            Invalid: whatever is wrong with it.
        """
        return self._reader.read(body, self._request, None)

    def encode(self, request: PredictRequest, arrays: Sequence[Array]) -> bytes:
        """Write ``predictions`` (a value per row) or ``outputs`` (a value per output).

        Raises:
            Invalid: rows were asked of an output that has none.
        """
        specs = self._signature.outputs
        names = [spec.name for spec in specs]
        values = [json_tensors.nested(*pair) for pair in zip(specs, arrays, strict=True)]
        if not request.by_rows:
            columns = values[0] if len(values) == 1 else dict(zip(names, values, strict=True))
            return json_tensors.dump({"outputs": columns})
        rows = next(iter(request.feeds.values())).shape[0]
        for name, array in zip(names, arrays, strict=True):
            if array.ndim == 0 or array.shape[0] != rows:
                raise Invalid(
                    f"output '{name}' of shape {list(array.shape)} has no value for each of the "
                    f"{rows} instances: send inputs instead of instances"
                )
        if len(values) == 1:
            return json_tensors.dump({"predictions": values[0]})
        predictions = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        return json_tensors.dump({"predictions": predictions})

    def _request(self, root: Node, _: None) -> PredictRequest:
        keys = self._keys.of(root)
        if ("instances" in keys) == ("inputs" in keys):
            raise Invalid("the request needs either instances or inputs")
        by_rows = "instances" in keys
        feeds = self._rows(root["instances"]) if by_rows else self._columns(root["inputs"])
        for name, array in feeds.items():
            self._signature.input(name).check_shape(array.shape)
        self._signature.check_complete(feeds)
        return PredictRequest(feeds, by_rows=by_rows)

    def _columns(self, node: Node) -> dict[str, Array]:
        inputs = self._signature.inputs
        if not json_tensors.is_object(node) and len(inputs) == 1:
            return {inputs[0].name: json_tensors.read_nested(inputs[0], node)}
        feeds = {}
        for name in json_tensors.keys_of(node, "inputs"):
            feeds[name] = json_tensors.read_nested(self._signature.input(name), node[name])
        return feeds

    def _rows(self, node: Node) -> dict[str, Array]:
        inputs = self._signature.inputs
        rows = list(json_tensors.items_of(node, "instances"))
        if not rows:
            raise Invalid("instances is empty: send at least one row")
        named = json_tensors.is_object(rows[0]) and list(rows[0].keys()) != ["b64"]
        if not named and len(inputs) == 1:
            return {inputs[0].name: json_tensors.read_nested(inputs[0], node)}
        columns: dict[str, list[Array]] = {spec.name: [] for spec in inputs}
        for row in rows:
            keys = json_tensors.keys_of(row, "a row of instances")
            if set(keys) != set(columns):
                raise Invalid(
                    f"a row of instances has the keys {quoted(keys)}, but the model takes "
                    f"{quoted(list(columns))}"
                )
            for name in keys:
                spec = self._signature.input(name)
                columns[name].append(json_tensors.read_nested(spec, row[name]))
        return {name: _stacked(name, values) for name, values in columns.items()}


def _stacked(name: str, values: list[Array]) -> Array:
    if any(value.shape != values[0].shape for value in values):
        raise Invalid(f"the rows of instances differ in the shape of '{name}'")
    return np.stack(values)
