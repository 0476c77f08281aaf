"""Models that batching could harm: under load, each request gets the answer that it gets alone."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tests.support import onnx_models
from tests.support.server import Server, serving

Rows = np.ndarray[Any, Any]
BATCHED = {"double": onnx_models.double(), "shares": onnx_models.shares()}
ALONE = {
    "running": onnx_models.running_sum(),
    "stateful": onnx_models.stateful(),
    "total": onnx_models.total(),
    "fixed": onnx_models.double((2, 2)),
    "normalised": onnx_models.normalised(),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    for name, data in (BATCHED | ALONE).items():
        (folder / f"{name}.onnx").write_bytes(data)
    models = {name: folder / f"{name}.onnx" for name in BATCHED | ALONE}
    with serving(models=models) as running:
        yield running


def expected(name: str, feeds: dict[str, Rows]) -> dict[str, Rows]:
    """What the model answers, by numpy."""
    x = feeds["x"]
    if name in ("double", "fixed"):
        return {"y": x * 2}
    if name == "shares":
        return {"y": x / x.sum(axis=1, keepdims=True)}
    if name == "running":
        return {"y": x.cumsum(axis=0)}
    if name == "stateful":
        y = x + feeds["h"][0]
        return {"y": y, "h2": y[None]}
    return {"y": x.sum()} if name == "total" else {"y": x / x.sum()}


def made(name: str, source: random.Random) -> dict[str, Rows]:
    """A request of random rows, and of random width where the model lets it."""
    rows = 2 if name == "fixed" else source.randrange(1, 5)
    width = source.randrange(1, 6) if name == "shares" else 2
    values = np.array([source.random() + 0.1 for _ in range(rows * width)], np.float32)
    feeds: dict[str, Rows] = {"x": values.reshape(rows, width)}
    if name == "stateful":
        feeds["h"] = feeds["x"][None] * 3
    return feeds


@pytest.mark.parametrize("name", BATCHED | ALONE)
def test_answers_under_load_are_those_that_each_gets_alone(server: Server, name: str) -> None:
    def ask(seed: int) -> str:
        feeds = made(name, random.Random(seed))
        inputs = [
            {"name": key, "shape": list(rows.shape), "datatype": "FP32", "data": rows.tolist()}
            for key, rows in feeds.items()
        ]
        status, body, _ = server.post(f"/v2/models/{name}/infer", {"inputs": inputs})
        if status != 200:
            return str(body)
        for output in body["outputs"]:
            found = np.array(output["data"], np.float32).reshape(output["shape"])
            wanted = expected(name, feeds)[output["name"]]
            if found.shape != wanted.shape or not np.allclose(found, wanted, rtol=1e-4):
                return f"{output}, not {wanted}"
        return ""

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, range(120))) == {""}


@pytest.mark.parametrize("name", BATCHED | ALONE)
def test_what_was_learnt_is_shown(server: Server, name: str) -> None:
    parameters = server.get(f"/v2/models/{name}")[1]["parameters"]
    assert parameters.keys() == {"max_batch_rows", "threads", "instances", "inline", "row_ms"}
    assert (parameters["max_batch_rows"] > 1) == (name in BATCHED)
    assert 0 < parameters["row_ms"] < 1000
    assert f"model={name} " in server.log()
