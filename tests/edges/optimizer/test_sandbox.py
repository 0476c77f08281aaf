"""What a confined process can no longer do, shown by one."""

import subprocess
import sys

import pytest

CONFINED = """
import resource, sys, threading
from slipway_optimizer import sandbox
early = threading.Event(); answers = []
def from_a_thread_that_was_there_before():
    early.wait()
    try:
        import socket; socket.socket(); answers.append("open")
    except OSError as error: answers.append(f"closed {error.errno}")
thread = threading.Thread(target=from_a_thread_that_was_there_before); thread.start()
print(sandbox.confine())
early.set(); thread.join(); print(answers[0])
import subprocess
code = "import socket; socket.create_server(('127.0.0.1', 0))"
print(subprocess.run([sys.executable, "-c", code], capture_output=True).returncode)
print(resource.getrlimit(resource.RLIMIT_DATA)[0] > 0)
print(open("/proc/self/status").read().split("NoNewPrivs:")[1].split()[0])
open("/dev/null").read(); print(sum(range(10)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
def test_a_confined_process_works_but_has_no_network_nor_have_its_children_and_threads() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CONFINED], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    assert ended.stdout.split("\n")[:6] == ["True", "closed 13", "1", "True", "1", "45"]


def test_more_memory_than_the_limit_is_a_memory_error() -> None:
    code = (
        "import slipway_optimizer.sandbox as s; s.memory_limit = lambda: 200 << 20; s.confine()\n"
        "try: held = bytearray(400 << 20)\nexcept MemoryError: print('refused')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "refused\n"
