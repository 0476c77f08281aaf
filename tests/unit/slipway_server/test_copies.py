"""A binary tensor on its way from the socket to the model: memory is what copies cost."""

import asyncio
import json
import time
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from slipway_server.batcher import Batcher, BatchPolicy
from slipway_server.dataplane import Dataplane
from slipway_server.doors.rest import RestDoor
from slipway_server.protocol import raw_contents, v2_grpc
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from slipway_server.protocol.tensors import Array, Signature, TensorSpec
from slipway_server.protocol.v2_grpc import V2Grpc
from slipway_server.state import Identity, State
from slipway_server.transport.exchange import HttpLimits
from slipway_server.transport.h2.messages import MessageReader, prefixed
from slipway_server.waiting import QueueLimits
from tests.support.connections import Owner, opened
from tests.support.load import http_request
from tests.support.tensors import FakeSession

COUNT = 1 << 20
VALUES = np.arange(COUNT, dtype=np.float32)
SPECS = (TensorSpec("x", "FP32", (-1, COUNT)),)
IDENTITY = Identity("m", "1")


def pieces(stream: bytes, size: int) -> list[bytes]:
    return [stream[place : place + size] for place in range(0, len(stream), size)]


async def memory_until(run: Callable[["Model"], Any]) -> float:
    """What a request takes until the model runs, at most, in sizes of its tensor."""
    model = Model()
    tracemalloc.start()
    try:
        run(model)
        await model.ran.wait()
        return tracemalloc.get_traced_memory()[1] / VALUES.nbytes
    finally:
        tracemalloc.stop()


class Model:
    """A session that looks at what it is given."""

    def __init__(self) -> None:
        self.ran = asyncio.Event()
        self.session = FakeSession(self._run, inputs=SPECS)
        policy = BatchPolicy(inline=True)
        batcher = Batcher(self.session, policy, limits=QueueLimits())
        self.signature = Signature(IDENTITY, SPECS, self.session.outputs)
        self.plane = Dataplane(self.signature, batcher, timeout=30)

    def _run(self, feeds: Mapping[str, Array]) -> list[Array]:
        assert feeds["x"].flags.aligned
        assert feeds["x"][0, ::4099].tolist() == VALUES[::4099].tolist()
        self.ran.set()
        return [np.zeros((1, 2), np.float32)]


@pytest.mark.parametrize("name_size", [1, 2, 3, 4])
@pytest.mark.parametrize("received", [16_384, 262_144])
async def test_over_http(received: int, name_size: int) -> None:
    tensor = {
        "name": "x",
        "shape": [1, COUNT],
        "datatype": "FP32",
        "parameters": {"binary_data_size": VALUES.nbytes},
    }
    head = json.dumps({"id": "i" * name_size, "inputs": [tensor]}).encode()
    path = "/v2/models/m/infer"
    stream = pieces(http_request(path, head + VALUES.tobytes(), json_length=len(head)), received)

    def run(model: Model) -> None:
        state = State([IDENTITY])
        door = RestDoor(state, clock=time.monotonic)
        door.open(state.models[0], model.signature)
        state.open(state.models[0], model.plane)
        owner = Owner()
        owner.limits, owner.handle = HttpLimits(), door.handle
        connection, _ = opened(owner)
        for piece in stream:
            connection.data_received(piece)

    assert await memory_until(run) < 1.3


async def test_over_grpc() -> None:
    request = pb.ModelInferRequest(model_name="m", raw_input_contents=[VALUES.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=[1, COUNT])
    stream = pieces(b"".join(prefixed(request.SerializeToString())), 16_384)

    def run(model: Model) -> None:
        reader = MessageReader(64 << 20, b"identity", raw_contents.padding)
        (message,) = (one for piece in stream for one in reader.feed(piece))
        asked = V2Grpc(model.signature).decode(v2_grpc.parse(message))
        model.plane.infer(asked, time.monotonic(), lambda _: None)

    assert await memory_until(run) < 1.3
