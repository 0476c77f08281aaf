import asyncio
from collections.abc import Hashable

import pytest

from slipway_server.batcher import Batcher, BatchPolicy
from slipway_server.dataplane import Dataplane
from slipway_server.doors.grpc_infer import InferMethod
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from slipway_server.protocol.tensors import Signature
from slipway_server.state import Identity, State
from slipway_server.transport.rpc import RpcRefused
from slipway_server.waiting import QueueLimits
from tests.support.tensors import FakeSession, double, rows


class Client:
    """Implements ``Caller``."""

    source: Hashable = None
    parent = ""

    def __init__(self) -> None:
        self.told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def answer(self, message: bytes) -> None:
        self.told.set_result(message)

    def refuse(self, code: str, text: str) -> None:
        self.told.set_exception(RpcRefused(code, text))


async def test_a_client_that_asks_too_early_is_told_so_and_answered_once_the_model_is_there() -> (
    None
):
    state = State([Identity("double", "r1")])
    (model,) = state.models
    method = InferMethod(state, "ModelInfer", clock=lambda: 0.0, observer=None)
    asked = pb.ModelInferRequest(model_name="double", raw_input_contents=[rows(1).tobytes()])
    asked.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    with pytest.raises(RpcRefused, match="'double' is not ready") as caught:
        method(asked.SerializeToString(), Client(), seconds=None)
    assert caught.value.code == "UNAVAILABLE"

    session = FakeSession(double)
    signature = Signature(model.identity, session.inputs, session.outputs)
    batcher = Batcher(session, BatchPolicy(inline=True), limits=QueueLimits())
    state.open(model, Dataplane(signature, batcher, timeout=1e12))
    client = Client()
    method(asked.SerializeToString(), client, seconds=None)
    answer = pb.ModelInferResponse.FromString(await client.told)
    assert answer.raw_output_contents == [rows(2).tobytes()]
