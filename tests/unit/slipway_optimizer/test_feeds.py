"""Generated feeds."""

import numpy as np
import pytest

from slipway.artifacts.manifest import Tensor
from slipway_optimizer.failures import Refused
from slipway_optimizer.feeds import generate
from slipway_optimizer.tensors import Signature


def signature(*inputs: tuple[str, tuple[int, ...]]) -> Signature:
    tensors = tuple(
        Tensor(name=f"i{n}", datatype=kind, shape=shape) for n, (kind, shape) in enumerate(inputs)
    )
    return Signature(tensors, ())


def test_open_dimensions_get_the_size_and_rows_come_first() -> None:
    feeds = generate(
        signature(("FP32", (-1, -1, 3)), ("INT64", (1, -1)), ("BOOL", (-1,))), rows=6, open_size=16
    )
    assert {name: (a.shape, a.dtype.name) for name, a in feeds.items()} == {
        "i0": ((6, 16, 3), "float32"),
        "i1": ((6, 16), "int64"),
        "i2": ((6,), "bool"),
    }
    assert set(np.unique(feeds["i1"])) == {0, 1}


def test_the_same_feeds_every_time() -> None:
    first, second = (generate(signature(("FP32", (-1, 9))), rows=4, open_size=1) for _ in "ab")
    assert first["i0"].tolist() == second["i0"].tolist()


def test_text_cannot_be_generated() -> None:
    with pytest.raises(Refused, match=r"'i0' takes text.*set validation\.dataset"):
        generate(signature(("BYTES", (-1,))), rows=1, open_size=1)
