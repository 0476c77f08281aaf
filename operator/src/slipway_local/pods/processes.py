"""Containers as processes of this machine: the kubelet's engine behind ``slipway local``.

Not a sandbox: a pod sees this machine's files and network. It keeps what the operator relies on:
an address, volumes and environment of its own, signals, exit codes, termination messages, logs.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from slipway.contract import TERMINATION_MESSAGE_LIMIT
from slipway.errors import Invalid, Transient
from slipway_local.addresses import Addresses
from slipway_local.pods import launcher, meter, warden
from slipway_local.pods.environment import RUN_MARK, Room, environment
from slipway_local.pods.httpprobe import check
from slipway_local.pods.kubelet import Kubelet
from slipway_local.pods.runtime import Exit, ImageMissing, Run, Usage
from slipway_operator.plan.objects import Object

_MODULES: Final = ("slipway_server", "slipway_optimizer")
_METER_SECONDS: Final = 1.0  # usage is a rate over at least this time
_END_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Process:
    """One run. ``exit`` is set when it was reaped."""

    popen: subprocess.Popen[bytes]
    room: Room
    message_from_log: Path | None
    exit: Exit | None = None


@dataclass(slots=True)
class _Pod:
    address: str
    runs: dict[str, _Process] = field(default_factory=dict)
    reading: tuple[float, meter.Reading] | None = None
    usage: Usage | None = None


class ProcessContainers:
    """Implements ``Engine``.

    Args:
        run_dir: folder for volumes (removed at the end) and logs (kept).
        addresses: where pods' addresses come from.
        images: those that hold Slipway's programs.
        programs: other images, each with the command that stands for it.
    """

    def __init__(
        self,
        run_dir: Path,
        addresses: Addresses,
        *,
        images: frozenset[str],
        programs: Mapping[str, tuple[str, ...]],
    ) -> None:
        self.wake: Callable[[], None] = lambda: None
        self._folder = run_dir.resolve() / "pods"
        self._logs = run_dir.resolve() / "logs"
        self._addresses = addresses
        self._images = images
        self._programs = programs
        self._mark = uuid.uuid4().hex
        self._warden: subprocess.Popen[bytes] | None = None
        self._pods: dict[str, _Pod] = {}
        self._probes: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Make the folders and start the warden."""
        for folder in (self._folder, self._logs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._warden = subprocess.Popen(
            [sys.executable, "-I", "-S", warden.__file__, self._entry, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            start_new_session=True,
        )

    @property
    def _entry(self) -> str:
        return f"{RUN_MARK}={self._mark}"

    def address(self, pod: Object) -> str:
        """A loopback address of its own."""
        found = self._pods.setdefault(pod["metadata"]["uid"], _Pod(self._addresses.pod()))
        return found.address

    def start(self, pod: Object, container: Object, run: Run) -> None:
        """Start a process.

        Raises:
            ImageMissing: not one of the images.
            Invalid: a command, mount or variable that cannot be had here.
            Transient: the machine has no room for it now.
        """
        command = self._command(container)
        uid, name = pod["metadata"]["uid"], container["name"]
        room = Room(self._folder / uid / "containers" / name, self._folder / uid / "volumes")
        variables = environment(pod, container, room=room, mounts=run.mounts, host=os.environ)
        try:
            _furnish(room, run)
            with self._open_log(pod, name) as log:
                popen = subprocess.Popen(
                    [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=variables | {RUN_MARK: self._mark},
                    cwd=room.home,
                    start_new_session=True,
                )
        except OSError as error:
            raise Transient(f"container '{name}' cannot start now: {error.strerror}") from error
        falls_back = container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        log_path = self._log_path(pod, name) if falls_back else None
        self._pods[uid].runs[name] = _Process(popen, room, log_path)
        _when_ended(popen.pid, self._woken)

    def poll(self, pod: Object, container: str) -> Exit | None:
        """How it ended."""
        process = self._pods[pod["metadata"]["uid"]].runs[container]
        if process.exit is None and _has_ended(process.popen.pid):
            _kill_group(process.popen.pid)  # its id is still taken: nobody else's group
            code = process.popen.wait()
            code = code if code >= 0 else 128 - code
            process.exit = Exit(code, _message(process, code))
        return process.exit

    def stop(self, pod: Object, container: str, *, force: bool) -> None:
        """SIGTERM to the process, or SIGKILL to its group."""
        process = self._pods[pod["metadata"]["uid"]].runs[container]
        if process.exit is not None:
            return
        if force:
            _kill_group(process.popen.pid)
        else:
            process.popen.send_signal(signal.SIGTERM)

    def probe(
        self, pod: Object, container: str, action: Object, report: Callable[[bool], None]
    ) -> None:
        """Ask in a task of its own."""

        async def ask() -> None:
            report(await check(pod["status"]["podIP"], action))

        task = asyncio.get_running_loop().create_task(ask())
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    def release(self, pod: Object) -> None:
        """Remove its volumes and end what is left of it."""
        uid = pod["metadata"]["uid"]
        found = self._pods.pop(uid, None)
        if found is None:
            return
        for process in found.runs.values():
            if process.exit is None:
                _kill_group(process.popen.pid)
                process.popen.wait()
        shutil.rmtree(self._folder / uid, ignore_errors=True)
        self._addresses.free_pod(found.address)

    def usage(self, pod: Object) -> Usage | None:
        """The rate since the last look, or since the one before when that was just now."""
        found = self._pods.get(pod["metadata"]["uid"])
        if found is None:
            return None
        now = time.monotonic()
        if found.reading is not None and now - found.reading[0] < _METER_SECONDS:
            return found.usage
        alive = [p.popen.pid for p in found.runs.values() if p.exit is None]
        reading = (now, meter.read(alive))
        if found.reading is not None:
            found.usage = meter.usage_between(found.reading, reading)
        found.reading = reading
        return found.usage

    def logs(self, pod: Object, container: str) -> str | None:
        """What it wrote."""
        try:
            return self._log_path(pod, container).read_text(errors="replace")
        except FileNotFoundError:
            return None

    async def close(self) -> None:
        """End everything, by force, and remove the volumes."""
        for task in tuple(self._probes):
            task.cancel()
        running = [p for pod in self._pods.values() for p in pod.runs.values() if p.exit is None]
        for process in running:
            _kill_group(process.popen.pid)
        for process in running:
            process.popen.wait()
        self._pods.clear()
        if self._warden is not None and self._warden.stdin is not None:
            self._warden.stdin.close()  # it ends what had left its group, and itself
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._warden.wait, _END_SECONDS)

    # -- inside ------------------------------------------------------------------------------

    def _command(self, container: Object) -> list[str]:
        image = container["image"]
        if image in self._programs:
            return [*self._programs[image], *(container.get("args") or [])]
        if image not in self._images:
            raise ImageMissing(
                f"image '{image}' does not exist: local mode has {', '.join(sorted(self._images))}"
            )
        command = [*(container.get("command") or []), *(container.get("args") or [])]
        if command[:2] != ["python", "-m"] or command[2:3] not in ([m] for m in _MODULES):
            raise Invalid(
                f"command '{' '.join(command)[:120]}' cannot run here: local mode starts "
                f"python -m {' or '.join(_MODULES)}"
            )
        return [sys.executable, *command[1:]]

    def _log_path(self, pod: Object, container: str) -> Path:
        meta = pod["metadata"]
        return self._logs / f"{meta['namespace']}_{meta['name']}" / f"{container}.log"

    def _open_log(self, pod: Object, container: str) -> IO[bytes]:
        path = self._log_path(pod, container)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        return path.open("ab")

    def _woken(self) -> None:
        self.wake()


class ProcessPods(Kubelet):
    """Pods whose containers are processes of this machine.

    Args:
        run_dir: folder for volumes (removed at the end) and logs (kept).
        addresses: where pods' addresses come from.
        images: those that hold Slipway's programs.
        programs: other images, each with the command that stands for it.
        backoff: seconds that a second restart waits; doubles up to 5 min.
    """

    def __init__(
        self,
        run_dir: Path,
        addresses: Addresses,
        *,
        images: frozenset[str],
        programs: Mapping[str, tuple[str, ...]] | None = None,
        backoff: float = 10.0,
    ) -> None:
        containers = ProcessContainers(run_dir, addresses, images=images, programs=programs or {})
        super().__init__(containers, backoff=backoff)


def _furnish(room: Room, run: Run) -> None:
    """Make a container's folders and files; secrets are readable by their owner alone."""
    shutil.rmtree(room.own, ignore_errors=True)
    for folder in (room.home, room.storage):
        folder.mkdir(parents=True, mode=0o700)
    room.termination_log.touch(mode=0o600)
    for mount in run.mounts:
        place = room.place(mount)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in (mount.files or {}).items():
            if Path(name).name != name:
                raise Invalid(f"file name '{name[:80]}' in volume '{mount.volume}' has a folder")
            target = place / name
            target.touch(mode=0o600)
            target.write_bytes(content)
            target.chmod(0o400)


def _when_ended(pid: int, act: Callable[[], None]) -> None:
    """Call ``act`` once the process ended, if a loop runs here; else polling finds out."""
    try:
        loop = asyncio.get_running_loop()
        watched = os.pidfd_open(pid)
    except (RuntimeError, OSError):
        return

    def ended() -> None:
        loop.remove_reader(watched)
        os.close(watched)
        act()

    loop.add_reader(watched, ended)


def _has_ended(pid: int) -> bool:
    """Whether it ended, without reaping it."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _message(process: _Process, code: int) -> str:
    """What it left in its termination log, or the end of its log where asked for on failure."""
    try:
        with process.room.termination_log.open("rb") as file:
            data = file.read(TERMINATION_MESSAGE_LIMIT)
    except OSError:
        data = b""
    if not data and code and process.message_from_log is not None:
        data = process.message_from_log.read_bytes()[-TERMINATION_MESSAGE_LIMIT // 2 :]
    return data.decode(errors="replace")
