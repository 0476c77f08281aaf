"""A balancer of connections, and clients behind it that retry nothing that a server has seen."""

import asyncio
import contextlib

import grpc

from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from tests.support.waiting import until

BODY = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'
HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % len(BODY)


class Balancer:
    """Forwards connections as kube-proxy does: new ones to the target, old ones stay."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self._servers.append(server)
        self.port = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take no more."""
        for server in self._servers:
            server.close()
        await asyncio.gather(*self._tasks)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(_pipe(reader, forth), _pipe(back, writer))
        for end in (forth, writer):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()
        self._tasks.discard(task)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class Clients:
    """Clients behind balancers: HTTP kept or not, and gRPC. No client retries.

    gRPC's own transparent retries are of calls that no server has seen: its client tells its
    threads of a GOAWAY in its own time, and a call that one of them opens meanwhile never leaves.
    """

    def __init__(self, http_port: int, grpc_port: int, *, transparent: bool = True) -> None:
        """Begin.

        Args:
            http_port: where HTTP is asked for.
            grpc_port: where gRPC is asked for.
            transparent: whether gRPC's transparent retries are on, as they are unless a user
                turns them off.
        """
        self.answered = {"http": 0, "kept": 0, "grpc": 0}
        self.failures: list[str] = []
        self._stop = asyncio.Event()
        self._transparent = transparent
        self._tasks = [
            *(asyncio.create_task(self._http(http_port, kept=bool(n % 2))) for n in range(6)),
            *(asyncio.create_task(self._grpc(grpc_port)) for _ in range(3)),
        ]

    async def answers(self, count: int) -> None:
        """Wait until each kind has so many more, or one failed."""
        before = dict(self.answered)
        await until(
            lambda: (
                self.failures or all(self.answered[kind] >= before[kind] + count for kind in before)
            )
        )

    async def stop(self) -> None:
        """End them."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _http(self, port: int, *, kept: bool) -> None:
        request = HEAD + (b"\r\n" if kept else b"Connection: close\r\n\r\n") + BODY
        while not self._stop.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                goes_on = True
                while goes_on and not self._stop.is_set():
                    writer.write(request)
                    goes_on = await self._http_answer(reader, "kept" if kept else "http")
                    await asyncio.sleep(0.002)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(f"HTTP kept={kept}: {error!r}")
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _http_answer(self, reader: asyncio.StreamReader, kind: str) -> bool:
        """Whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r")[0]))
        if head.startswith(b"http/1.1 200"):
            self.answered[kind] += 1
        else:
            self.failures.append(head.decode())
        return b"connection: close" not in head

    async def _grpc(self, port: int) -> None:
        request = pb.ModelInferRequest(model_name="m", raw_input_contents=[bytes(8)])
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        message = request.SerializeToString()
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", int(self._transparent)),
        ]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer"
            )
            while not self._stop.is_set():
                try:
                    await call(message, timeout=60)
                    self.answered["grpc"] += 1
                except grpc.aio.AioRpcError as error:
                    self.failures.append(f"gRPC: {error.code()} {error.details()}")
