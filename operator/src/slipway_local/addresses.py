"""Loopback addresses: Linux answers on all of 127.0.0.0/8, so every pod can have its own.

A cluster takes a block of two networks, pods 127.<2n>.0.0/16 and services 127.<2n+1>.0.0/16, and
holds a socket in it, so that two clusters on one machine never share an address.
"""

import errno
import socket
from collections import deque
from typing import Final

from slipway.errors import Transient

_BLOCKS: Final = range(32, 127)
_GUARD_PORT: Final = 7946


class Addresses:
    """One cluster's block.

    Raises:
        Transient: every block is taken.
    """

    def __init__(self) -> None:
        self._guard, self._block = _take_block()
        self._services = iter(range(1, 2**16 - 1))
        self._fresh_pods = iter(range(1, 2**16 - 1))
        self._used_pods: deque[str] = deque()

    def service(self) -> str:
        """The next cluster IP; never used twice."""
        return _address(2 * self._block + 1, next(self._services))

    def pod(self) -> str:
        """A pod's address: fresh ones first, so that an old one is not mistaken for a new."""
        number = next(self._fresh_pods, None)
        return self._used_pods.popleft() if number is None else _address(2 * self._block, number)

    def free_pod(self, address: str) -> None:
        """Give a pod's address back."""
        self._used_pods.append(address)

    def low_port_works(self) -> bool:
        """Whether this process may listen on port 80."""
        with socket.socket() as probe:
            try:
                probe.bind((_address(2 * self._block + 1, 2**16 - 2), 80))
            except OSError:
                return False
        return True

    def close(self) -> None:
        """Give the block back."""
        self._guard.close()


def _take_block() -> tuple[socket.socket, int]:
    for block in _BLOCKS:
        guard = socket.socket()
        try:
            guard.bind((_address(2 * block, 2**16 - 2), _GUARD_PORT))
            guard.listen(1)
        except OSError as error:
            guard.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise Transient(
                    "127.0.0.0/8 is not usable as on Linux: local mode gives each pod a loopback "
                    "address of its own"
                ) from error
            continue
        return guard, block
    raise Transient(f"{len(_BLOCKS)} local clusters run on this machine already: end one of them")


def _address(network: int, number: int) -> str:
    return f"127.{network}.{number >> 8}.{number & 255}"
