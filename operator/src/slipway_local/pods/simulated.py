"""Simulated containers: each does what a script says, in the cluster's own time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from slipway_local.clock import Clock
from slipway_local.pods.kubelet import Kubelet
from slipway_local.pods.runtime import Exit, ImageMissing, Run, Usage
from slipway_operator.plan.objects import Object, Ref, ref_of

OK: Final = Exit(0)


@dataclass(frozen=True, slots=True)
class Script:
    """What a container does.

    Attributes:
        seconds: how long it runs; None: until it is stopped.
        exit: how it then ends.
        ready_after: seconds from its start until probes succeed.
        stop_seconds: how long it takes to obey SIGTERM.
    """

    seconds: float | None = None
    exit: Exit = OK
    ready_after: float = 1.0
    stop_seconds: float = 0.0


Behaviour = Callable[[Object, str, int], Script]
"""(pod, container name, attempt) -> what it does."""


@dataclass(frozen=True, slots=True)
class _Simulated:
    script: Script
    started: datetime
    ends: Exit | None = None  # decided from outside: a crash, a signal
    ends_at: datetime | None = None


class SimulatedContainers:
    """An ``Engine`` without processes."""

    def __init__(
        self, clock: Clock, behaviour: Behaviour, images: frozenset[str] | None = None
    ) -> None:
        self.wake: Callable[[], None] = lambda: None
        self._clock = clock
        self._behaviour = behaviour
        self._images = images
        self._runs: dict[tuple[str, str], _Simulated] = {}
        self._unready: set[Ref] = set()
        self._usage: dict[Ref, Usage] = {}
        self._made = 0

    def open(self) -> None:
        """Nothing to do."""

    def address(self, pod: Object) -> str:
        """The next address of 10.0.0.0/16."""
        self._made += 1
        return f"10.0.{self._made >> 8}.{self._made & 255}"

    def start(self, pod: Object, container: Object, run: Run) -> None:
        """Begin the script.

        Raises:
            ImageMissing: the image is not in the given set.
        """
        image = container["image"]
        if self._images is not None and image not in self._images:
            raise ImageMissing(f"image '{image}' does not exist here")
        script = self._behaviour(pod, container["name"], run.attempt)
        self._runs[_key(pod, container["name"])] = _Simulated(script, self._clock.now())

    def poll(self, pod: Object, container: str) -> Exit | None:
        """How it ended."""
        run = self._runs[_key(pod, container)]
        now = self._clock.now()
        if run.ends is not None and run.ends_at is not None and now >= run.ends_at:
            return run.ends
        age = (now - run.started).total_seconds()
        if run.script.seconds is not None and age >= run.script.seconds:
            return run.script.exit
        return None

    def stop(self, pod: Object, container: str, *, force: bool) -> None:
        """SIGTERM ends it after ``stop_seconds`` with 0, SIGKILL at once with 137."""
        key, now = _key(pod, container), self._clock.now()
        run = self._runs[key]
        if force:
            self._runs[key] = replace(run, ends=Exit(137), ends_at=now)
        elif run.ends is None:
            end = now + timedelta(seconds=run.script.stop_seconds)
            self._runs[key] = replace(run, ends=Exit(0), ends_at=end)

    def probe(
        self, pod: Object, container: str, action: Object, report: Callable[[bool], None]
    ) -> None:
        """Succeeds from ``ready_after`` on, unless the pod was made unready."""
        run = self._runs[_key(pod, container)]
        age = (self._clock.now() - run.started).total_seconds()
        report(age >= run.script.ready_after and ref_of(pod) not in self._unready)

    def release(self, pod: Object) -> None:
        """Forget its runs."""
        uid = pod["metadata"]["uid"]
        self._runs = {key: run for key, run in self._runs.items() if key[0] != uid}

    def usage(self, pod: Object) -> Usage | None:
        """What was set."""
        return self._usage.get(ref_of(pod))

    def logs(self, pod: Object, container: str) -> str | None:
        """Nothing is written."""
        return ""

    async def close(self) -> None:
        """Forget everything."""
        self._runs.clear()

    def crash(self, pod: Object, container: str, how: Exit) -> None:
        """End a container now."""
        key = _key(pod, container)
        self._runs[key] = replace(self._runs[key], ends=how, ends_at=self._clock.now())

    def set_ready(self, pod: Ref, *, ready: bool) -> None:
        """Let a pod's probes fail or succeed."""
        (self._unready.discard if ready else self._unready.add)(pod)

    def set_usage(self, pod: Ref, usage: Usage | None) -> None:
        """What a pod uses from now on; None: nobody knows."""
        if usage is None:
            self._usage.pop(pod, None)
        else:
            self._usage[pod] = usage


class SimulatedPods(Kubelet):
    """Pods whose containers follow scripts, and that a test can crash.

    Args:
        clock: the cluster's own.
        behaviour: what each container does; absent: runs for ever, ready after one second.
        images: those that exist; None: all.
    """

    def __init__(
        self,
        clock: Clock,
        behaviour: Behaviour | None = None,
        *,
        images: frozenset[str] | None = None,
        backoff: float = 10.0,
    ) -> None:
        self.containers = SimulatedContainers(clock, behaviour or _serves, images)
        super().__init__(self.containers, backoff=backoff)

    def crash(self, pod: Ref, container: str = "", *, code: int = 137, message: str = "") -> None:
        """End a container (the pod's first when none is named); seen at the next step."""
        found = self._names[pod]
        name = container or found["spec"]["containers"][0]["name"]
        self.containers.crash(found, name, Exit(code, message))

    def set_ready(self, pod: Ref, *, ready: bool) -> None:
        """Let a pod's probes fail or succeed."""
        self.containers.set_ready(pod, ready=ready)

    def set_usage(self, pod: Ref, usage: Usage | None) -> None:
        """What a pod uses from now on."""
        self.containers.set_usage(pod, usage)


def _serves(pod: Object, container: str, attempt: int) -> Script:
    return Script()


def _key(pod: Object, container: str) -> tuple[str, str]:
    return pod["metadata"]["uid"], container
