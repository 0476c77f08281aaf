"""One prediction over each protocol, with what any client would use."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import grpc
import numpy as np

from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb

Row = np.ndarray[Any, np.dtype[np.int32]]


def v2_body(row: Row) -> dict[str, object]:
    """An Open Inference Protocol v2 request for one row of int32 [2048]."""
    tensor = {
        "name": "bytes",
        "shape": [1, row.size],
        "datatype": "INT32",
        "data": row.reshape(-1).tolist(),
    }
    return {"inputs": [tensor]}


async def over_rest(url: str, model: str, row: Row) -> tuple[int, str]:
    """(class with the greatest probability, revision that answered)."""

    def ask() -> tuple[int, str]:
        request = Request(  # noqa: S310 - the address is our own
            f"{url}/v2/models/{model}/infer",
            json.dumps(v2_body(row)).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            data = json.load(answer)["outputs"][0]["data"]
            return int(np.argmax(data)), answer.headers["slipway-revision"]

    return await asyncio.to_thread(ask)


async def over_grpc(url: str, model: str, row: Row) -> int:
    """Class with the greatest probability."""
    host = urlsplit(url).hostname
    request = pb.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="bytes", datatype="INT32", shape=[1, row.size])
    del tensor
    request.raw_input_contents.append(row.astype("<i4").tobytes())
    async with grpc.aio.insecure_channel(f"{host}:9000") as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        answer = await call(request, timeout=10)
    return int(np.argmax(np.frombuffer(answer.raw_output_contents[0], "<f4")))
