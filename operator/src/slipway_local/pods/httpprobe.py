"""Probes over the network: one GET, or one connection."""

import asyncio
from contextlib import suppress

from slipway_operator.plan.objects import Object

_HEAD_LIMIT = 4096


async def check(address: str, probe: Object) -> bool:
    """Whether the probe succeeds in its time: a status of 200 to 399, or an open port."""
    with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        async with asyncio.timeout(probe["timeoutSeconds"]):
            if "httpGet" in probe:
                return await _get(address, probe["httpGet"])
            if "tcpSocket" in probe:
                return await _connect(address, probe["tcpSocket"]["port"])
    return False


async def _get(address: str, action: Object) -> bool:
    reader, writer = await asyncio.open_connection(address, action["port"], limit=_HEAD_LIMIT)
    try:
        writer.write(
            f"GET {action['path']} HTTP/1.1\r\nHost: {address}:{action['port']}\r\n"
            "User-Agent: kube-probe/local\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
        )
        version, status, *_ = (await reader.readline()).split()
        return version.startswith(b"HTTP/") and 200 <= int(status) < 400
    finally:
        writer.transport.abort()


async def _connect(address: str, port: int) -> bool:
    _, writer = await asyncio.open_connection(address, port)
    writer.transport.abort()
    return True
