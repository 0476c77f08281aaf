"""The Huffman code of HPACK (RFC 7541, appendix B). Pure.

The code is canonical: it follows from the lengths of its 257 codes, and those are the table here.
"""

from functools import cache
from typing import Final

# The length of each symbol's code, a digit of base 36 each; the last one is the end of the string.
_LENGTHS: Final = (
    "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca"
    "d67777777777777777777777878djde6f56565666577666567655677777fbeds"
    "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn"
    "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu"
)
_END: Final = 256
_NOTHING: Final = -1
_MAX_PADDING: Final = 7


class HuffmanError(ValueError):
    """The bytes are no string in this code."""


def decode(data: bytes) -> bytes:
    """The string that ``data`` encodes.

    Raises:
        HuffmanError: the end symbol inside, or padding that is too long or not all ones.
    """
    table, endings = _table()
    out = bytearray()
    node = 0
    for byte in data:
        node, symbol = table[node << 4 | byte >> 4]
        if symbol >= 0:
            out.append(symbol)
        node, symbol = table[node << 4 | byte & 15]
        if symbol >= 0:
            out.append(symbol)
    if node not in endings:
        raise HuffmanError("a Huffman string ends in the middle of a symbol")
    return bytes(out)


@cache
def _table() -> tuple[list[tuple[int, int]], frozenset[int]]:
    """A machine that reads four bits at a step, and the nodes where a string may end.

    No code is shorter than five bits, so a step yields one symbol at most. The end symbol leads to
    a node that nothing leaves and where nothing may end.
    """
    children = _tree()
    dead = len(children)
    table = [
        _step(children, node, nibble, dead) for node in range(dead) for nibble in range(16)
    ] + [(dead, _NOTHING)] * 16
    node, endings = 0, [0]
    for _ in range(_MAX_PADDING):
        node = children[node][1]
        endings.append(node)
    return table, frozenset(endings)


def _step(children: list[list[int]], node: int, nibble: int, dead: int) -> tuple[int, int]:
    """Where four bits lead: the next node, and the symbol on the way or ``_NOTHING``."""
    symbol = _NOTHING
    for shift in (3, 2, 1, 0):
        node = children[node][nibble >> shift & 1]
        if node < 0:
            symbol, node = ~node, 0
            if symbol == _END:
                return dead, _NOTHING
    return node, symbol


def _tree() -> list[list[int]]:
    """The children of each inner node; ``~symbol`` is a leaf."""
    lengths = [int(digit, 36) for digit in _LENGTHS]
    children: list[list[int]] = [[0, 0]]
    code, previous = 0, 0
    for symbol in sorted(range(len(lengths)), key=lambda symbol: (lengths[symbol], symbol)):
        length = lengths[symbol]
        code <<= length - previous
        previous = length
        node = 0
        for shift in range(length - 1, 0, -1):
            bit = code >> shift & 1
            if not children[node][bit]:
                children.append([0, 0])
                children[node][bit] = len(children) - 1
            node = children[node][bit]
        children[node][code & 1] = ~symbol
        code += 1
    return children
