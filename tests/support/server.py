"""The real inference server as a process, and small ways to talk to it."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.tasks import ServingRequest
from tests.support import compiled

_START_SECONDS = 60


@dataclass(slots=True)
class Server:
    """A running server; ``http`` and ``grpc`` are its ports."""

    process: "subprocess.Popen[bytes]"
    log_file: Path
    http: int = 0
    grpc: int = 0

    def log(self) -> str:
        """What it wrote so far."""
        return self.log_file.read_text()

    def get(self, path: str) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON (or text) and headers of a GET."""
        return self.request("GET", path)

    def post(self, path: str, value: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON and headers of a POST of JSON."""
        return self.request("POST", path, json.dumps(value).encode())

    def infer(self, *rows: list[float], name: str = "m") -> tuple[int, Any, Mapping[str, str]]:
        """An inference request with FP32 rows for input ``x``."""
        tensor = {"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": rows}
        return self.post(f"/v2/models/{name}/infer", {"inputs": [tensor]})

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON (or text) and headers of a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            data = answer.read()
            given = {name.lower(): value for name, value in answer.getheaders()}
            is_json = given.get("content-type") == "application/json"
            return answer.status, json.loads(data) if is_json and data else data.decode(), given
        finally:
            connection.close()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        from prometheus_client.parser import text_string_to_metric_families

        text = self.get("/metrics")[1]
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextlib.contextmanager
def serving(
    target: Path | None = None,
    *,
    name: str = "m",
    models: Mapping[str, Path] | None = None,
    arguments: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    wait: bool = True,
) -> Iterator[Server]:
    """A server of ``target``, of ``models``, or of a pod's request that ``env`` names.

    Args:
        target: a folder or a model file.
        name: of the model.
        models: folders or model files by name.
        arguments: further ones of the command.
        env: further variables.
        wait: whether to return only when it is ready.
    """
    command = [sys.executable, "-m", "slipway_server", "serve"]
    if target is not None:
        command += [str(target), "--name", name]
    command += [f"--model={name}={path}" for name, path in (models or {}).items()]
    if target is not None or models:
        command += ["--http-port", "0", "--grpc-port", "0"]
    command += arguments
    with tempfile.TemporaryDirectory(prefix="slipway-server-") as scratch:
        log = Path(scratch, "log")
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=file, cwd=scratch,
                env=os.environ | compiled.environment() | dict(env or {}),
            )  # fmt: skip
        server = Server(process, log)
        try:
            if wait:
                wait_ready(server)
            yield server
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(timeout=60)


def wait_ready(server: Server) -> None:
    """Wait for the line that says ready, and read the ports from it."""
    _wait_line(server, r" ready .* http=(\d+) grpc=(\d+)")


def wait_listening(server: Server) -> None:
    """Wait until the HTTP door is open, which is before the model is ready."""
    _wait_line(server, r" listening http=(\d+)()")


def wait_logged(server: Server, pattern: str) -> None:
    """Wait until the log holds a line like this."""
    _wait_line(server, pattern, sets_ports=False)


def _wait_line(server: Server, pattern: str, *, sets_ports: bool = True) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        found = re.search(pattern, server.log())
        if found:
            if sets_ports:
                server.http, server.grpc = int(found[1]), int(found[2] or 0)
            return
        if server.process.poll() is not None:
            raise AssertionError(f"the server ended: {server.log()}")
        time.sleep(0.01)
    raise AssertionError(f"the server did not get so far: {server.log()}")


def pod_env(
    request: ServingRequest, folder: Path, *, storage: Path | None = None
) -> dict[str, str]:
    """The environment of a pod: request file, work folder, termination log, any free ports."""
    (folder / "request.json").write_text(request.model_dump_json())
    return {
        "SLIPWAY_REQUEST_FILE": str(folder / "request.json"),
        "SLIPWAY_STORAGE_DIR": str(storage or folder / "no-storage"),
        "SLIPWAY_WORK_DIR": str(folder / "work"),
        "SLIPWAY_TERMINATION_LOG": str(folder / "termination-log"),
        "SLIPWAY_BIND_ADDRESS": "127.0.0.1",
        "SLIPWAY_HTTP_PORT": "0",
        "SLIPWAY_GRPC_PORT": "0",
        "SLIPWAY_DRAIN_SECONDS": "0",
    }
