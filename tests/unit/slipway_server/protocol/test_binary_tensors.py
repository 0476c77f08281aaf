import struct

import numpy as np
import pytest

from slipway.errors import Invalid
from slipway_server.protocol.binary_tensors import read_tensor, write_tensor
from slipway_server.protocol.tensors import TensorSpec

TEXTS = TensorSpec("s", "BYTES", (-1,))


def packed(*items: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def test_numbers_are_read_in_place() -> None:
    data = np.arange(4, dtype="<f4").tobytes()
    array = read_tensor(TensorSpec("x", "FP32", (-1,)), memoryview(data), [4], count=4)
    assert array.tolist() == [0, 1, 2, 3]
    assert not array.flags.owndata


def test_an_odd_address_is_copied_to_an_even_one() -> None:
    data = b"x" + np.arange(4, dtype="<f8").tobytes()
    array = read_tensor(TensorSpec("x", "FP64", (-1,)), memoryview(data)[1:], [4], count=4)
    assert array.flags.aligned
    assert array.tolist() == [0, 1, 2, 3]


def test_strings_are_length_prefixed() -> None:
    array = read_tensor(TEXTS, memoryview(packed(b"", b"a", "é".encode())), [3], count=3)
    assert array.tolist() == ["", "a", "é"]
    assert write_tensor(array) == packed(b"", b"a", "é".encode())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too few for 2 strings"),
        (packed(b"a"), "too few for 2 strings"),
        (packed(b"abcd"), "ends before its string 1"),
        (packed(b"a", b"b")[:-1], "string 1 is longer than the data"),
        (packed(b"a", b"b") + b"c", "1 bytes after its 2 strings"),
        (struct.pack("<I", 0xFFFFFFFF) + b"aaaa", "string 0 is longer than the data"),
        (packed(b"a", b"\xff"), "string 1 is not UTF-8"),
    ],
)
def test_lying_lengths_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        read_tensor(TEXTS, memoryview(data), [2], count=2)


def test_a_boolean_is_0_or_1() -> None:
    with pytest.raises(Invalid, match="not 0 or 1"):
        read_tensor(TensorSpec("b", "BOOL", (-1,)), memoryview(b"\0\2"), [2], count=2)
