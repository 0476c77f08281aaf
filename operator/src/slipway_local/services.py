"""Services as loopback proxies: each new connection goes to the next ready pod.

As with kube-proxy, connections are split and not requests: an open one stays where it is.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from slipway_local.controllers.service import Endpoint, endpoints
from slipway_local.objects import Objects
from slipway_operator.plan.objects import Object, Ref, ref_of

_log = logging.getLogger(__name__)
_CONNECT_SECONDS: Final = 2.0
_RESET: Final = struct.pack("ii", 1, 0)  # linger for no time: RST instead of FIN
_LOW_PORTS_MOVE_BY: Final = 8000
_LOWEST_FREE_PORT: Final = 1024


class _Half(asyncio.Protocol):
    """One side of a proxied connection: what it reads, the other side writes."""

    def __init__(
        self, opened: Callable[["_Half"], None], closed: Callable[["_Half"], None]
    ) -> None:
        self.peer: _Half | None = None
        self.transport: asyncio.Transport | None = None
        self._has_ended = False  # nothing more comes from this side
        self._opened = opened
        self._closed = closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()  # until both sides stand
        self._opened(self)

    def join(self, peer: "_Half") -> None:
        """Let both sides flow."""
        self.peer, peer.peer = peer, self
        for half in (self, peer):
            if half.transport is not None:
                half.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        self._has_ended = True
        if self.peer is None or self.peer.transport is None:
            return False
        if self.peer._has_ended:  # noqa: SLF001 - the same class
            self.peer.transport.close()  # after what it still has to write
            return False
        with suppress(OSError, RuntimeError):
            self.peer.transport.write_eof()
        return True  # the other direction goes on

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._closed(self)
        if self.peer is not None and self.peer.transport is not None:
            if error is None:
                self.peer.transport.close()
            else:
                self.peer.abort()

    def abort(self) -> None:
        """End it now, and let the other end see a reset: this is no orderly end."""
        if self.transport is None:
            return
        found = self.transport.get_extra_info("socket")
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


class PortProxy:
    """One Service port.

    Attributes:
        targets: who gets new connections, from now on.
    """

    def __init__(self) -> None:
        self.targets: tuple[Endpoint, ...] = ()
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._halves: set[_Half] = set()
        self._dials: set[asyncio.Task[None]] = set()

    async def open(self, address: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Half(self._accepted, self._halves.discard), address, port, backlog=1024
        )

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._dials):
            task.cancel()
        for half in tuple(self._halves):
            half.abort()
        await asyncio.sleep(0)

    def _accepted(self, front: _Half) -> None:
        self._halves.add(front)
        task = asyncio.get_running_loop().create_task(self._dial(front))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, front: _Half) -> None:
        """Connect to the next target, or to the one after it when that one refuses."""
        loop = asyncio.get_running_loop()
        targets = self.targets
        start, self._turn = self._turn, self._turn + 1
        for offset in range(len(targets)):
            target = targets[(start + offset) % len(targets)]
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CONNECT_SECONDS):
                    _, back = await loop.create_connection(
                        lambda: _Half(self._halves.add, self._halves.discard),
                        target.address,
                        target.port,
                    )
                if front in self._halves:
                    front.join(back)
                else:  # the client left meanwhile
                    back.abort()
                return
        front.abort()


class ServiceProxies:
    """All Service ports of a cluster.

    Args:
        low_ports: whether ports below 1024 can be listened on; if not, 8000 is added to them.
    """

    def __init__(self, *, low_ports: bool) -> None:
        self._low_ports = low_ports
        self._open: dict[tuple[str, int], PortProxy] = {}
        self._refused: set[tuple[str, int]] = set()

    def listen_port(self, port: int) -> int:
        """Where a Service's port is listened on."""
        return port if self._low_ports or port >= _LOWEST_FREE_PORT else port + _LOW_PORTS_MOVE_BY

    async def sync(self, objects: Objects) -> None:
        """Open, retarget and close proxies as the objects say."""
        wanted: dict[tuple[str, int], tuple[Endpoint, ...]] = {}
        for service in objects.select("Service"):
            address = service["spec"].get("clusterIP", "None")
            if address == "None":
                continue
            for port in service["spec"]["ports"]:
                targets = endpoints(objects, service, port)
                wanted[(address, self.listen_port(port["port"]))] = targets
        for key in [key for key in self._open if key not in wanted]:
            await self._open.pop(key).close()
        for key, targets in wanted.items():
            if key in self._open or await self._listen(key):
                self._open[key].targets = targets
        for service in objects.select("Service"):
            self._report(objects, service)

    async def _listen(self, key: tuple[str, int]) -> bool:
        proxy = PortProxy()
        try:
            await proxy.open(*key)
        except OSError as error:
            if key not in self._refused:
                _log.warning("cannot listen on %s:%s: %s", *key, error.strerror)
            self._refused.add(key)  # shown in the Service's status, and tried again
            return False
        self._refused.discard(key)
        self._open[key] = proxy
        return True

    async def close(self) -> None:
        """End them all."""
        for proxy in self._open.values():
            await proxy.close()
        self._open.clear()

    def _report(self, objects: Objects, service: Object) -> None:
        address = service["spec"].get("clusterIP", "None")
        if address == "None":
            return
        ports = []
        for port in service["spec"]["ports"]:
            number = self.listen_port(port["port"])
            entry = {"port": number, "protocol": port["protocol"]}
            if (address, number) in self._refused:
                entry["error"] = "CannotListen"
            ports.append(entry)
        status = {"loadBalancer": {"ingress": [{"ip": address, "ports": ports}]}}
        objects.set_status(ref_of(service), status)


def url_of(objects: Objects, ref: Ref) -> str:
    """``http://address:port`` of a Service's first port, once it is listened on.

    Raises:
        NotFound: no such Service.
    """
    service = objects.get(ref)
    ingress = ((service["status"].get("loadBalancer") or {}).get("ingress") or [None])[0]
    return f"http://{ingress['ip']}:{ingress['ports'][0]['port']}" if ingress else ""
