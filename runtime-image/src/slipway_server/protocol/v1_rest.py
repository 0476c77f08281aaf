"""KServe's V1 protocol, which is TensorFlow Serving's REST API: rows or columns of JSON. Pure.

The protocols: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
and https://www.tensorflow.org/tfx/serving/api_rest
"""

from collections.abc import Sequence
from typing import Final

from slipway.errors import Invalid
from slipway_server.protocol import json_tensors, rows
from slipway_server.protocol.json_tensors import JsonReader, Keys, Node
from slipway_server.protocol.tensors import Array, InferRequest, Signature, TensorSpec, quoted

_KEYS: Final = ("instances", "inputs", "signature_name")
_TENSORFLOW: Final = {
    "BOOL": "DT_BOOL",
    "UINT8": "DT_UINT8",
    "UINT16": "DT_UINT16",
    "UINT32": "DT_UINT32",
    "UINT64": "DT_UINT64",
    "INT8": "DT_INT8",
    "INT16": "DT_INT16",
    "INT32": "DT_INT32",
    "INT64": "DT_INT64",
    "FP16": "DT_HALF",
    "BF16": "DT_BFLOAT16",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    "BYTES": "DT_STRING",
}


class PredictRequest(InferRequest):
    """A decoded request.

    Attributes:
        by_rows: ``instances`` were sent, so ``predictions`` are answered, else ``outputs``.
    """

    __slots__ = ("by_rows",)

    def __init__(self, feeds: dict[str, Array], *, by_rows: bool) -> None:
        super().__init__(feeds)
        self.by_rows = by_rows


class V1Rest:
    """Decodes requests and encodes answers of one model."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._reader = JsonReader()
        self._keys = Keys("the request", allowed=_KEYS)

    def decode(self, body: bytes) -> PredictRequest:
        """Read the body of ``:predict``. Any ``signature_name`` is the one that the model has.

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
        if not request.by_rows:
            return json_tensors.dump({"outputs": rows.columns_of(specs, arrays)})
        rows.check_rows(specs, arrays, next(iter(request.feeds.values())).shape[0])
        if len(specs) == 1:
            return json_tensors.dump({"predictions": rows.columns_of(specs, arrays)})
        return json_tensors.dump({"predictions": rows.rows_of(specs, arrays)})

    def _request(self, root: Node, _: None) -> PredictRequest:
        keys = self._keys.of(root)
        if ("instances" in keys) == ("inputs" in keys):
            raise Invalid("the request needs either instances or inputs")
        if "signature_name" in keys and not isinstance(root["signature_name"], str):
            raise Invalid(f"signature_name is {quoted(root['signature_name'])}: use a string")
        by_rows = "instances" in keys
        if by_rows:
            feeds = rows.by_row(self._signature, root["instances"])
        else:
            feeds = rows.by_column(self._signature, root["inputs"])
        rows.check(self._signature, feeds)
        return PredictRequest(feeds, by_rows=by_rows)


def metadata(signature: Signature) -> dict[str, object]:
    """The answer of ``/v1/models/{model}/metadata``: the JSON of ``GetModelMetadataResponse``."""
    identity = signature.identity
    serving = {
        "inputs": {spec.name: _tensor_info(spec) for spec in signature.inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in signature.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {
            "name": identity.name,
            "signature_name": "",
            "version": identity.version,
        },
        "metadata": {"signature_def": {"signature_def": {"serving_default": serving}}},
    }


def _tensor_info(spec: TensorSpec) -> dict[str, object]:
    return {
        "dtype": _TENSORFLOW[spec.datatype],
        "tensor_shape": {
            "dim": [{"size": str(size), "name": ""} for size in spec.shape],
            "unknown_rank": False,
        },
        "name": f"{spec.name}:0",
    }
