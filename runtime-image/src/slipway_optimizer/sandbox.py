"""Confines this process for ever: no new privileges, no network, no more memory than there is.

For children that open files nobody vouches for. Linux on x86-64 and arm64; elsewhere (a laptop)
only the memory limit holds, and ``confine`` says so.
"""

import ctypes
import platform
import resource
import struct
import sys
from typing import Final

from slipway_optimizer.hardware import memory_limit

_PR_SET_NO_NEW_PRIVS: Final = 38
_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1  # those that libraries started already, too
_ALLOW: Final = 0x7FFF0000
_ERRNO_EACCES: Final = 0x00050000 | 13
_ERRNO_ENOSYS: Final = 0x00050000 | 38
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_X32: Final = 0x40000000  # system calls of the x32 ABI, by which the numbers below could be evaded
_IO_URING_SETUP: Final = 425
# The kernel's name of the architecture, its number of seccomp, and of socket, ptrace and bpf.
_MACHINES: Final = {
    "x86_64": (0xC000003E, 317, (41, 101, 321)),
    "aarch64": (0xC00000B7, 277, (198, 117, 280)),
}


def confine() -> bool:
    """Confine this process and all that it starts.

    Returns:
        Whether the network is closed; ``False`` where the kernel cannot do that.
    """
    limit = memory_limit()
    if limit is not None:
        # Data, not address space: frameworks reserve addresses that they never touch.
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, soft))
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    architecture, seccomp, denied = machine
    program = _program(architecture, denied)
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    held = ctypes.create_string_buffer(header, len(header))
    code: int = libc.syscall(seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(held))
    return code == 0


def _program(architecture: int, denied: tuple[int, ...]) -> bytes:
    """The filter, as classic BPF: 8 bytes an instruction (code, jump if true, if false, value)."""
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _ERRNO_EACCES)]
    steps += [(_LOAD, 0, 0, 0), (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERRNO_ENOSYS)]
    for number in denied:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO_EACCES)]
    steps += [
        (_EQUAL, 0, 1, _IO_URING_SETUP),
        (_RETURN, 0, 0, _ERRNO_ENOSYS),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
