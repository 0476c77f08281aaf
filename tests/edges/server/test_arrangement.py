"""Threads and instances are learnt from the CPUs that there are, unless somebody sets them."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import onnx_models
from tests.support.server import Server, serving

CPUS = len(os.sched_getaffinity(0))


def learnt(server: Server) -> dict[str, Any]:
    parameters: dict[str, Any] = server.get("/v2/models/m")[1]["parameters"]
    return parameters


def many(server: Server) -> set[tuple[float, ...]]:
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: (n, server.infer([float(n), 1.0])), range(64))
        return {
            (n, *body["outputs"][0]["data"]) for n, (status, body, _) in answers if status == 200
        }


@pytest.mark.skipif(CPUS < 2, reason="one CPU leaves nothing to learn")
def test_a_model_that_takes_time_gets_every_cpu_by_threads_or_by_instances(
    tmp_path: Path,
) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx_models.heavy(3000))
    with serving(tmp_path / "m.onnx") as server:
        found = learnt(server)
        assert found["threads"] * found["instances"] == CPUS
        assert re.search(
            rf"threads={found['threads']} instances={found['instances']} ", server.log()
        )
        assert "threads_ms=" in server.log()
        assert many(server) == {(n, n, 1) for n in range(64)}


def test_what_somebody_sets_is_not_learnt(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx_models.heavy(3000))
    with serving(tmp_path / "m.onnx", arguments=["--threads", "1"]) as server:
        found = learnt(server)
        assert (found["threads"], found["instances"]) == (1, 1)
        assert "threads_ms=" not in server.log()


def test_a_model_that_takes_no_time_needs_one_thread(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(onnx_models.double())
    with serving(tmp_path / "m.onnx") as server:
        found = learnt(server)
        assert (found["threads"], found["instances"], found["inline"]) == (1, 1, True)
