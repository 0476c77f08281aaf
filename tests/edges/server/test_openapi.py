"""The OpenAPI document against the real server, by schemathesis and by answers that we know."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support import onnx_models
from tests.support.server import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "double.onnx").write_bytes(onnx_models.double())
    (folder / "text.onnx").write_bytes(onnx_models.text())
    models = {name: folder / f"{name}.onnx" for name in ("double", "text")}
    with serving(models=models) as running:
        yield running
        assert "Traceback" not in running.log()


def test_schemathesis_finds_nothing(server: Server, tmp_path: Path) -> None:
    """Not asked: that every body of the right form is accepted, as no schema tells that three
    numbers are no tensor of shape [2, 2].
    """
    command = [
        sys.executable, "-m", "schemathesis.cli", "run",
        f"http://127.0.0.1:{server.http}/openapi.json",
        "--phases=examples,coverage,fuzzing", "--max-examples=4", "--seed=1", "--no-color",
        "--exclude-checks=positive_data_acceptance",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 24" in done.stdout
    found = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) == int(found[2]) > 400


GOOD: dict[str, Any] = {
    "/v2/models/{model}/infer": {
        "id": "7",
        "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}],
    },
    "/v1/models/{model}:predict": {"instances": [[1, 2]]},
    "/v1/models/{model}/versions/{version}:predict": {"inputs": [[1, 2]]},
    "/predictions/{model}": [[1, 2]],
    "/model/{model}:predict": {"instances": [{"x": [1, 2]}]},
}


@pytest.mark.parametrize("path", GOOD)
def test_good_answers_are_as_described(server: Server, path: str) -> None:
    _, document, _ = server.get("/openapi.json")
    operation = document["paths"][path]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(GOOD[path], body)
    status, answer, _ = server.post(path.format(model="double", version="1"), GOOD[path])
    assert status == 200
    content = operation["responses"]["200"]["content"]
    jsonschema.validate(answer, content["application/json"]["schema"])
    status, answer, _ = server.post(path.format(model="double", version="1"), {"wrong": 1})
    assert status == 400
    jsonschema.validate(
        answer, operation["responses"]["default"]["content"]["application/json"]["schema"]
    )


def test_what_can_be_read_is_as_described(server: Server) -> None:
    _, document, _ = server.get("/openapi.json")
    seen = 0
    for path, item in document["paths"].items():
        if "get" not in item or path == "/metrics":
            continue
        status, answer, _ = server.get(path.format(model="double", version="1"))
        assert status == 200
        content = item["get"]["responses"]["200"]["content"]
        jsonschema.validate(answer, content["application/json"]["schema"])
        seen += 1
    assert seen == 13
