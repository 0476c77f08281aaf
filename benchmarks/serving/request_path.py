"""What a request costs inside the server: ``python -m benchmarks.serving.request_path``.

Requests go through connection, door, codec, batcher, model and back, without a socket; the best of
many rounds counts, so that a busy machine changes little. With N connections, N requests arrive in
one turn of the loop and share a run. The last column is the bare run of as many rows.
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.serving import models
from benchmarks.serving.__main__ import FOLDER
from benchmarks.serving.bodies import RPC, Body, body
from slipway_server import warmup
from slipway_server.batcher import Batcher
from slipway_server.dataplane import Dataplane
from slipway_server.doors.grpc import GrpcDoor
from slipway_server.doors.rest import RestDoor
from slipway_server.engine import OnnxSession
from slipway_server.protocol.tensors import Signature
from slipway_server.state import Identity, State
from slipway_server.transport.connection import Connection
from slipway_server.transport.exchange import HttpLimits
from slipway_server.transport.h2 import frames, hpack
from slipway_server.transport.h2.protocol import RpcConnection
from slipway_server.transport.h2.server import Http2Server
from slipway_server.transport.http import HttpServer
from slipway_server.transport.rpc import GrpcLimits, Methods
from slipway_server.waiting import QueueLimits

_MODEL: Final = "tiny"
_HELLO: Final = (
    frames.PREFACE + frames.settings({}) + frames.window_update(0, frames.MAX_WINDOW >> 1)
)
_Pair = tuple[Connection, "_HttpRequests"] | tuple[RpcConnection, "_Calls"]


class _Socket(asyncio.Transport):
    """A transport that counts answers."""

    written = 0

    def write(self, data: object) -> None:
        """Count."""
        del data
        _Socket.written += 1

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def writelines(self, parts: object) -> None:
        """Count as one."""
        del parts
        _Socket.written += 1

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def get_extra_info(self, name: str, default: object = None) -> None:
        """There is no socket."""


def _request(sent: Body) -> bytes:
    lines = [f"POST /v2/models/{_MODEL}/infer HTTP/1.1", "Host: 127.0.0.1:8080"]
    lines += [f"{name}: {value}" for name, value in sent.headers]
    head = "\r\n".join((*lines, f"Content-Length: {len(sent.data)}")) + "\r\n\r\n"
    return head.encode() + sent.data


class _HttpRequests:
    """The same request, again and again."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def next(self) -> bytes:
        """One of them."""
        return self._data


class _Calls:
    """The same call on one stream after the other."""

    def __init__(self, sent: Body) -> None:
        fields = {
            ":method": "POST", ":scheme": "http", ":authority": "127.0.0.1:9000", ":path": RPC,
            "user-agent": "request-path", **dict(sent.headers),
        }  # fmt: skip
        self._block = hpack.encode([(name.encode(), fields[name].encode()) for name in fields])
        self._data = sent.data
        self._stream = -1

    def next(self) -> bytes:
        """One of them."""
        self._stream += 2
        number = self._stream
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, number, self._block)
        return head + frames.frame(frames.DATA, frames.END_STREAM, number, self._data)


def best(act: Callable[[], object], rounds: int) -> float:
    """Microseconds of the fastest of so many calls."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        found.append(time.perf_counter() - start)
    return min(found) * 1e6


async def measure(path: Path, rounds: int) -> None:
    """Print a line for each protocol and number of connections."""
    session = OnnxSession(path, threads=1)
    rows = warmup.rows_that_run(session, [], clock=time.perf_counter)
    policy = warmup.learn(session, rows, time.perf_counter)
    state = State([Identity(_MODEL, "1")])
    (model,) = state.models
    door = RestDoor(state, clock=time.monotonic)
    server = HttpServer(door.handle, door.refuse, limits=HttpLimits(connection_age=1e6))
    rpc_door = GrpcDoor(state, clock=time.monotonic)
    methods = Methods(rpc_door.methods(), deferred=rpc_door.deferred())
    rpc_server = Http2Server(lambda: methods, GrpcLimits(connection_age=1e6))
    signature = Signature(model.identity, session.inputs, session.outputs)
    batcher = Batcher(session, policy, limits=QueueLimits(), metrics=model.metrics.runs)
    door.open(model, signature)
    model.plane = Dataplane(signature, batcher, timeout=60.0)
    print(f"{'protocol':9} {'connections':>11} {'us a request':>13} {'bare run, us a row':>19}")
    loop = asyncio.get_running_loop()
    for kind in ("json", "binary", "grpc"):
        sent = body(kind, _MODEL, models.feeds(_MODEL))
        for count in (1, 8, 32):
            pairs: list[_Pair] = []
            for _ in range(count):
                if kind == "grpc":
                    pairs.append((rpc_server.accept(loop), _Calls(sent)))
                else:
                    pairs.append((Connection(server, loop), _HttpRequests(_request(sent))))
            spent = await _requests(pairs, rounds) / count
            joined = warmup.joined(rows, count)
            bare = best(lambda joined=joined: session.run(joined), rounds) / count  # type: ignore[misc] # a default binds the loop's value
            print(f"{kind:9} {count:11} {spent:13.1f} {bare:19.1f}")


async def _requests(pairs: "list[_Pair]", rounds: int) -> float:
    """Microseconds from the first byte to the last answer, at best."""
    for connection, requests in pairs:
        connection.connection_made(_Socket())
        if isinstance(requests, _Calls):
            connection.data_received(_HELLO)
    await asyncio.sleep(0)
    found = []
    for _ in range(rounds):
        before, start = _Socket.written, time.perf_counter()
        for connection, requests in pairs:
            connection.data_received(requests.next())
        while _Socket.written < before + len(pairs):  # noqa: ASYNC110 - turns of the loop, no time
            await asyncio.sleep(0)
        found.append(time.perf_counter() - start)
    return min(found) * 1e6


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2000, help="default: %(default)s")
    options = parser.parse_args()
    path = models.write(FOLDER, [_MODEL])[_MODEL]
    uvloop.run(measure(path, options.rounds))


if __name__ == "__main__":
    main()
