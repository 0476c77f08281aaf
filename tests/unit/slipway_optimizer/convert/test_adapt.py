"""What a converter wrote is put into operators that ONNX has."""

import math
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from slipway_optimizer.convert import adapt
from slipway_optimizer.session import Model
from tests.support.small_models import classifier, model_of, save


def test_erfc_becomes_one_minus_erf_wherever_it_stands(tmp_path: Path) -> None:
    model = model_of(
        [
            helper.make_node("Relu", ["x"], ["a"], "relu"),
            helper.make_node("Erfc", ["a"], ["b"], "first"),
            helper.make_node("Erfc", ["b"], ["y"], "second"),
        ],
        inputs={"x": (TensorProto.FLOAT, ["N", 3])},
        outputs={"y": (TensorProto.FLOAT, ["N", 3])},
    )
    path = save(tmp_path / "m.onnx", model)
    adapt.without_erfc(path)
    rows = np.array([[-1.0, 0.5, 2.0]], np.float32)
    expected = [[math.erfc(math.erfc(max(x, 0.0))) for x in rows[0].tolist()]]
    np.testing.assert_allclose(Model(path, threads=1).run({"x": rows})["y"], expected, atol=1e-6)


def test_a_file_without_it_is_not_touched(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", classifier())
    before = path.read_bytes()
    adapt.without_erfc(path)
    assert path.read_bytes() == before
