"""docs/serving.md: every example is run as it stands there."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.contract import Env
from slipway_server.doors.table import DOORS
from tests.support import onnx_models
from tests.support.server import Server, serving

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "serving.md").read_text()
CONSOLE = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
EXAMPLES = [
    (command, "\n".join(lines))
    for block in CONSOLE
    for command, *lines in (part.splitlines() for part in block.split("$ ")[1:])
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(onnx_models.double())
    with serving(path) as running:
        yield running


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("command", "output"), EXAMPLES, ids=[case[0] for case in EXAMPLES])
def test_a_command_prints_what_the_page_says(server: Server, command: str, output: str) -> None:
    assert "curl localhost:8080/" in command
    here = command.replace("curl localhost:8080", f"curl -sS http://127.0.0.1:{server.http}")
    done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=True)
    assert done.stdout == output


@pytest.mark.parametrize("program", PYTHON, ids=["http", "grpc"])
def test_a_program_prints_what_the_page_says(server: Server, program: str) -> None:
    printed = re.findall(r"print\(.*\)  # (.*)", program)
    for port, found in ((8080, server.http), (9000, server.grpc)):
        program = program.replace(f"localhost:{port}", f"127.0.0.1:{found}")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == printed != []


def test_the_page_has_an_example_of_every_door() -> None:
    assert len(EXAMPLES) >= 10
    for door in DOORS:
        if door.form is None:
            continue
        first = door.infer[0].replace("{model}", "m")
        assert any(f"8080{first} " in command for command, _ in EXAMPLES), door.name
        assert f"| `{door.name}` |" in PAGE


def test_the_page_has_every_setting_of_a_server() -> None:
    others = {Env.REQUEST_FILE, Env.STORAGE_DIR, Env.WORK_DIR, Env.TERMINATION_LOG}
    for name in Env:
        assert (f"`{name}`" in PAGE) == (name not in others), name
