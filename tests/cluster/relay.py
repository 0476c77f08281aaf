"""Lets programs outside reach the API server inside.

A listening socket stays in the network where it was made: `up` makes it outside and hands it to
this program inside, which joins each connection with a new one to the API server.
"""

import asyncio
import contextlib
import socket
import sys


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _serve(listener: socket.socket, port: int) -> None:
    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(inner_writer):
                await asyncio.gather(_pour(reader, inner_writer), _pour(inner_reader, writer))

    server = await asyncio.start_server(join, sock=listener)
    await server.serve_forever()


def main() -> None:
    """Serves the socket of the given descriptor until the cluster ends."""
    descriptor, port = int(sys.argv[1]), int(sys.argv[2])
    asyncio.run(_serve(socket.socket(fileno=descriptor), port))


if __name__ == "__main__":
    main()
