"""Models whose weights lie beside the file: mapped, answering first, made fast then."""

import threading
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from slipway_server.engine import OnnxSession
from tests.support.server import serving, wait_logged

WIDTH = 5_900  # 139 MB of weights


def with_weights_beside(folder: Path, width: int) -> Path:
    """y = x W, with W in ``model.onnx.data``."""
    weights = np.random.default_rng(0).standard_normal((width, width)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", width])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = folder / "model.onnx"
    onnx.save(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="model.onnx.data",
    )
    return path


def test_packing_changes_no_answer_also_beside_runs(tmp_path: Path) -> None:
    path = with_weights_beside(tmp_path, 256)
    session = OnnxSession(path, threads=1, packed=False)
    feeds = {"x": np.random.default_rng(1).standard_normal((3, 256)).astype(np.float32)}
    (expected,) = OnnxSession(path, threads=1).run(feeds)
    answers = [session.run(feeds)[0]]
    packing = threading.Thread(target=session.pack)
    packing.start()
    while packing.is_alive():
        answers.append(session.run(feeds)[0])
    packing.join()
    answers.append(session.run(feeds)[0])
    for answer in answers:
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)


def test_a_large_model_answers_before_its_weights_are_packed(tmp_path: Path) -> None:
    path = with_weights_beside(tmp_path, WIDTH)
    with serving(path) as server:
        row = [1.0] * WIDTH
        status, first, _ = server.infer(row)
        wait_logged(server, r"ready model=m .*\n(.*\n)*.*weights packed pack_ms=\d+")
        again, packed, _ = server.infer(row)
    assert (status, again) == (200, 200)
    one, other = (np.array(answer["outputs"][0]["data"]) for answer in (first, packed))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
