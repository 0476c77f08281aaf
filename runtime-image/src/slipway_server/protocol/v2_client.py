"""The client's side of Open Inference Protocol v2 over REST with binary tensors. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from slipway.errors import Invalid
from slipway_server.protocol import binary_tensors
from slipway_server.protocol.tensors import BF16, DTYPES, Array, TensorSpec

LENGTH_HEADER: Final = "Inference-Header-Content-Length"


def encode_request(inputs: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> tuple[bytes, int]:
    """A body that asks for all outputs as binary, and the length of its JSON part."""
    tensors, raw = [], []
    for spec in inputs:
        array = feeds[spec.name]
        data = binary_tensors.write_tensor(array)
        raw.append(data)
        tensors.append(
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(data)},
            }
        )
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    return b"".join((head, *raw)), len(head)


def decode_response(body: bytes, json_length: int | None) -> dict[str, Array]:
    """Outputs by name; BF16 as FP32.

    Raises:
        Invalid: it is no such answer.
    """
    try:
        return _outputs(body, len(body) if json_length is None else json_length)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Invalid(f"the answer is not of the Open Inference Protocol v2: {error!r}") from error


def _outputs(body: bytes, json_length: int) -> dict[str, Array]:
    outputs: dict[str, Array] = {}
    offset = json_length
    for node in json.loads(body[:json_length])["outputs"]:
        spec = TensorSpec(node["name"], node["datatype"], tuple(node["shape"]))
        size = node.get("parameters", {}).get("binary_data_size")
        if size is None:
            outputs[spec.name] = _from_list(spec, node["data"])
            continue
        data = memoryview(body)[offset : offset + size]
        count = int(np.prod(spec.shape, dtype=np.int64))
        array = binary_tensors.read_tensor(spec, data, spec.shape, count=count)
        outputs[spec.name] = spec.numbers(array)
        offset += size
    return outputs


def _from_list(spec: TensorSpec, data: list[Any]) -> Array:
    dtype = np.dtype(np.float32) if spec.datatype == BF16 else DTYPES[spec.datatype]
    return np.array(data, dtype).reshape(spec.shape)
