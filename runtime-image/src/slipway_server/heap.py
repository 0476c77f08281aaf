"""What the C library does with freed memory: the heap of requests, tensors and ONNX Runtime.

By default it gives memory back to the kernel whenever a few hundred KB at its end are free, so each
large request pays hundreds of page faults for what the one before it gave back. And it gives back
nothing that lies below something still in use, which is most of what loading a model leaves.
"""

import contextlib
import ctypes
from typing import Final

# <malloc.h> of glibc; see mallopt(3).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_LARGEST_MMAP_THRESHOLD: Final = 32 << 20
_KEPT_BYTES: Final = 128 << 20  # what eight requests of 3 MB of JSON take at their peak
_KEPT_SHARE: Final = 8  # of the container's memory, one in so many bytes


def give_back() -> None:
    """Give all freed memory back to the kernel. Does nothing where the C library is not glibc."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed(most: int) -> None:
    """Keep what is freed from now on, up to a bound, instead of giving it back at once.

    Does nothing where the C library is not glibc.

    Args:
        most: bytes that are kept at the end of the heap.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, most)
        mallopt(_MMAP_THRESHOLD, min(_LARGEST_MMAP_THRESHOLD, most))


def kept_bytes(memory_limit: int | None) -> int:
    """How much freed memory is worth keeping.

    Args:
        memory_limit: of the container, in bytes; ``None`` when there is none.
    """
    return _KEPT_BYTES if memory_limit is None else min(_KEPT_BYTES, memory_limit // _KEPT_SHARE)
