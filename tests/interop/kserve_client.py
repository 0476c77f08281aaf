"""KServe's own Python client against a server: ``kserve_client.py HTTP_PORT GRPC_PORT``.

Runs in an environment of its own, since kserve and the server pin other releases of protobuf. The
server serves ``double`` (y = 2 x) and ``text`` (t = s).
"""

import asyncio
import sys

import numpy as np
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    InferResponse,
    RESTConfig,
)

ROWS = np.array([[0.5, -1.25], [3.0, 4.0]], np.float32)


def request(*, binary: bool = False) -> InferRequest:
    """Two rows for ``double``."""
    tensor = InferInput("x", list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS, binary_data=binary)
    return InferRequest(model_name="double", infer_inputs=[tensor], request_id="7")


def check(answer: InferResponse) -> None:
    """The answer to ``request``."""
    (output,) = answer.outputs
    assert (answer.model_name, answer.id, output.name) == ("double", "7", "y"), answer
    np.testing.assert_array_equal(output.as_numpy().reshape(ROWS.shape), ROWS * 2)


async def rest(port: int) -> None:
    """Both protocols over HTTP."""
    url = f"http://127.0.0.1:{port}"
    v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await v2.is_server_live(url)
    assert await v2.is_server_ready(url)
    assert await v2.is_model_ready(url, "double")
    for binary in (False, True):
        check(await v2.infer(url, request(binary=binary), model_name="double"))
    words = InferInput("s", [2], "BYTES")
    words.set_data_from_numpy(np.array(["plain", "é"], object), binary_data=False)
    answer = await v2.infer(url, InferRequest("text", [words]), model_name="text")
    assert answer.outputs[0].data == ["plain", "é"], answer
    await v2.close()
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await v1.is_model_ready(url, "double")
    found = await v1.infer(url, {"instances": ROWS.tolist()}, model_name="double")
    assert found == {"predictions": (ROWS * 2).tolist()}, found
    await v1.close()


async def grpc(port: int) -> None:
    """The same over gRPC."""
    client = InferenceGRPCClient(url=f"127.0.0.1:{port}")
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("double")
    check(await client.infer(request(binary=True)))
    check(await client.infer(request(binary=False)))
    await client.close()


async def main() -> None:
    """Everything; an assertion says what differs."""
    await rest(int(sys.argv[1]))
    await grpc(int(sys.argv[2]))
    print("kserve's client: REST v2 (JSON and binary), REST v1 and gRPC agree")


asyncio.run(main())
