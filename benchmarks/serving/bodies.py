"""Requests of each protocol for a model of the comparison, and what an answer must hold."""

import json
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.serving.models import Feeds

RPC: Final = "/inference.GRPCInferenceService/ModelInfer"
_DATATYPES: Final = {"float32": "FP32", "int64": "INT64"}


@dataclass(frozen=True, slots=True)
class Body:
    """What is posted, and with which headers."""

    data: bytes
    headers: tuple[tuple[str, str], ...]


def body(kind: str, model: str, feeds: Feeds) -> Body:
    """The request: ``json``, ``binary`` (both Open Inference Protocol v2 REST) or ``grpc``."""
    if kind == "grpc":
        return _rpc(model, feeds)
    raw = kind == "binary"
    inputs: list[dict[str, Any]] = []
    for name, array in feeds.items():
        tensor: dict[str, Any] = {
            "name": name, "shape": list(array.shape), "datatype": _DATATYPES[str(array.dtype)],
        }  # fmt: skip
        if raw:
            tensor["parameters"] = {"binary_data_size": array.nbytes}
        else:
            tensor["data"] = array.ravel().tolist()
        inputs.append(tensor)
    request: dict[str, Any] = {"inputs": inputs}
    if not raw:
        text = json.dumps(request, separators=(",", ":")).encode()
        return Body(text, (("content-type", "application/json"),))
    request["parameters"] = {"binary_data_output": True}
    text = json.dumps(request, separators=(",", ":")).encode()
    headers = (
        ("content-type", "application/octet-stream"),
        ("inference-header-content-length", str(len(text))),
    )
    return Body(text + b"".join(array.tobytes() for array in feeds.values()), headers)


def numbers(kind: str, answer: bytes, header_length: str | None) -> npt.NDArray[np.float32]:
    """All values of the first output of an answer, flat."""
    if kind == "grpc":
        from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb

        message = pb.ModelInferResponse.FromString(answer)
        if message.raw_output_contents:
            return np.frombuffer(message.raw_output_contents[0], np.float32)
        return np.array(message.outputs[0].contents.fp32_contents, np.float32)
    if header_length and len(answer) > int(header_length):
        return np.frombuffer(answer[int(header_length) :], np.float32)
    return np.array(json.loads(answer)["outputs"][0]["data"], np.float32).ravel()


def _rpc(model: str, feeds: Feeds) -> Body:
    from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb

    message = pb.ModelInferRequest(model_name=model)
    for name, array in feeds.items():
        message.inputs.add(name=name, datatype=_DATATYPES[str(array.dtype)], shape=array.shape)
        message.raw_input_contents.append(array.tobytes())
    data = message.SerializeToString()
    headers = (("content-type", "application/grpc"), ("te", "trailers"))
    return Body(b"\0" + struct.pack(">I", len(data)) + data, headers)
