"""However a cluster ends, none of its processes stays: the tree is a real one."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from slipway_local.cluster import RunningCluster
from tests.support import standin
from tests.support.manifests import container, deployment, pod, ref
from tests.support.waiting import until

PROGRAM = """
import asyncio, sys
from pathlib import Path
from slipway.interrupts import on_interrupt
from slipway_local.cluster import RunningCluster
from tests.support.manifests import container, pod

async def main():
    on_interrupt(asyncio.current_task().cancel)
    programs = {"standin": (sys.executable, sys.argv[2])}
    async with RunningCluster(Path(sys.argv[1]), images=frozenset(), programs=programs) as cluster:
        cluster.objects.create(pod("p", container("a", "standin", args=["family"]),
                                   container("b", "standin", args=["stubborn"])))
        print("started", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), standin.__file__],
        env={**os.environ, "PYTHONPATH": str(root), "STORY": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def wait_for_the_whole_tree(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Both containers, the child that left the group, the grandchild, and the warden."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = descendants(process)
        if len(found) >= 5 and any("sleep" in p.name() for p in found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"the tree did not grow: {descendants(process)}")


def gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=60)
    return alive


def close(process: subprocess.Popen[bytes]) -> bytes:
    _, errors = process.communicate(timeout=60)
    return errors


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_when_the_cluster_s_process_is_ended(
    tmp_path: Path, how: signal.Signals
) -> None:
    process = start(tmp_path)
    tree = wait_for_the_whole_tree(process)

    process.send_signal(how)

    errors = close(process)
    assert gone(tree) == []
    assert not (tmp_path / "pods").exists(), "volumes may hold credentials"
    assert how is signal.SIGKILL or b"CancelledError" in errors


def test_nothing_stays_when_ctrl_c_comes_at_any_moment(tmp_path: Path) -> None:
    """From before the first process to after the last."""
    for step in range(5):
        process = start(tmp_path / str(step))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(step * 0.03)
        tree = descendants(process)

        process.send_signal(signal.SIGINT)
        time.sleep(0.01 * (step % 3))
        process.send_signal(signal.SIGINT)  # an impatient second one, while it cleans up

        close(process)
        assert gone(tree) == [], f"step {step}"
        assert marked(str(tmp_path / str(step))) == []


def marked(story: str) -> list[int]:
    """Processes that carry this run's folder in their environment or command."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and (
                process.environ().get("STORY") == story
                or any(story in part for part in process.cmdline())
                or story in process.environ().get("HOME", "")
            ):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


async def test_leaving_the_cluster_ends_everything_and_frees_its_addresses(
    tmp_path: Path,
) -> None:
    programs = {"standin": (sys.executable, standin.__file__)}
    others = set(psutil.Process().children(recursive=True))  # of other tests' fixtures
    async with RunningCluster(tmp_path, images=frozenset(), programs=programs) as cluster:
        cluster.objects.create(pod("p", container("a", "standin", args=["family"])))
        await until(lambda: len(set(psutil.Process().children(recursive=True)) - others) >= 4)
        tree = list(set(psutil.Process().children(recursive=True)) - others)

    assert gone(tree) == []
    assert not (tmp_path / "pods").exists()


async def wait_with_a_broken_object(folder: Path) -> None:
    async with RunningCluster(folder, images=frozenset()) as cluster:
        cluster.objects.create(deployment(replicas=1))
        cluster.objects.set_status(ref("Deployment"), {"conditions": "not a list"})
        await asyncio.wait_for(cluster.failed(), 60)


async def test_a_bug_that_ends_the_controllers_is_told(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        await wait_with_a_broken_object(tmp_path)
