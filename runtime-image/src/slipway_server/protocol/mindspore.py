"""MindSpore Serving's REST API: rows of named inputs, rows of named outputs. Pure.

The documentation that this follows:
https://www.mindspore.cn/serving/docs/en/r2.0/serving_restful.html
"""

from collections.abc import Sequence
from typing import Final

from slipway.errors import Invalid
from slipway_server.protocol import json_tensors, rows
from slipway_server.protocol.json_tensors import JsonReader, Keys, Node
from slipway_server.protocol.tensors import Array, InferRequest, Signature

_KEYS: Final = Keys("the request", allowed=("instances",), needed=("instances",))


class MindSpore:
    """Decodes requests and encodes answers of one model."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._reader = JsonReader()
        self._by_row = all(spec.has_rows for spec in signature.inputs)

    def decode(self, body: bytes) -> InferRequest:
        """Read the body of a method.

        Raises:
            Invalid: whatever is wrong with it.
        """
        return self._reader.read(body, self._request, None)

    def encode(self, request: InferRequest, arrays: Sequence[Array]) -> bytes:
        """Write an object of outputs for each instance.

        Raises:
            Invalid: an output has no value for each instance.
        """
        specs = self._signature.outputs
        if not self._by_row:
            pairs = zip(specs, arrays, strict=True)
            values = {spec.name: json_tensors.nested(spec, array) for spec, array in pairs}
            return json_tensors.dump({"instances": [values]})
        rows.check_rows(specs, arrays, next(iter(request.feeds.values())).shape[0])
        return json_tensors.dump({"instances": rows.rows_of(specs, arrays)})

    def _request(self, root: Node, _: None) -> InferRequest:
        _KEYS.of(root)
        node = root["instances"]
        # The documentation's first example sends one instance without a list.
        given = (
            [node]
            if json_tensors.is_object(node)
            else list(json_tensors.items_of(node, "instances"))
        )
        if not given:
            raise Invalid("instances is empty: send at least one")
        feeds = rows.by_named_row(self._signature, given)
        if not self._by_row:
            if len(given) != 1:
                raise Invalid("the model takes no batches: send one instance a request")
            feeds = {name: array[0] for name, array in feeds.items()}
        rows.check(self._signature, feeds)
        return InferRequest(feeds)
