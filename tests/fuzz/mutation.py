"""Inputs made of well-formed ones by small harms: the same ones for the same seed."""

import random
from collections.abc import Sequence
from typing import Final

_WORDS: Final = (
    b'"', b"[", b"]", b"{", b"}", b",", b":", b"null", b"true", b"-1", b"0", b"1.5", b"1e999",
    b"18446744073709551616", b"2147483648", b"99999999999", b'"\\ud800"', b'"b64"', b"[]", b"{}",
    b"\xff", b"\x00", b"\r\n", b"\n", b"\r", b" ", b"\t", b"--a", b"Content-Length: 1\r\n",
)  # fmt: skip


def mutated(source: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A seed with 0 to 8 harms."""
    data = bytearray(source.choice(seeds))
    for _ in range(source.choice((0, 1, 1, 2, 3, 8))):
        _harm(source, data, seeds)
    return bytes(data)


def _harm(source: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    kind, place = source.randrange(7), source.randrange(len(data) + 1)
    if kind == 0:
        data[place : place + 1] = source.randbytes(1)
    elif kind == 1:
        data[place:place] = source.randbytes(source.randrange(1, 5))
    elif kind == 2:
        del data[place : place + source.randrange(1, 20)]
    elif kind == 3:
        other = source.randrange(len(data) + 1)
        data[place:place] = data[min(place, other) : max(place, other)]
    elif kind == 4:
        data[place:place] = source.choice(_WORDS)
    elif kind == 5:
        other_seed = source.choice(seeds)
        data[place:] = other_seed[source.randrange(len(other_seed) + 1) :]
    elif data:
        data[place % len(data)] ^= 1 << source.randrange(8)
