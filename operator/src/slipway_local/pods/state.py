"""What the kubelet remembers of a pod: containers, their runs and their probes. No I/O."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from slipway_local.pods.runtime import Exit
from slipway_operator.plan.objects import Object

_LONGEST_BACKOFF: Final = 300.0  # seconds
_FORGIVEN_AFTER: Final = 600.0  # a run of that many seconds resets the backoff


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not started, and why."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """Runs."""

    since: datetime


@dataclass(frozen=True, slots=True)
class Terminated:
    """Ended."""

    exit: Exit
    since: datetime
    at: datetime


State = Waiting | Running | Terminated


@dataclass(slots=True)
class Probe:
    """One probe of a running container.

    Attributes:
        passing: the verdict so far; a liveness probe starts as passing, the others as not.
        failed: whether ``failureThreshold`` was reached since the last success.
        pending: whether an answer is awaited.
        answers: what came in since the last look.
    """

    spec: Object
    due: datetime
    passing: bool = False
    failed: bool = False
    pending: bool = False
    answers: list[bool] = field(default_factory=list)
    _streak: int = 0  # consecutive equal answers; failures are negative

    def is_due(self, now: datetime) -> bool:
        """Whether to ask now."""
        return not self.pending and now >= self.due

    def asked(self, now: datetime) -> None:
        """Note that the question is on its way."""
        self.pending = True
        self.due = now + timedelta(seconds=self.spec["periodSeconds"])

    def digest(self) -> None:
        """Count the answers in."""
        for ok in self.answers:
            self.pending = False
            if ok:
                self._streak = max(0, self._streak) + 1
                if self._streak >= self.spec["successThreshold"]:
                    self.passing, self.failed = True, False
            else:
                self._streak = min(0, self._streak) - 1
                if -self._streak >= self.spec["failureThreshold"]:
                    self.passing, self.failed = False, True
        self.answers.clear()


@dataclass(slots=True)
class Container:
    """One container of a pod.

    Attributes:
        runs: how often it was started.
        backoff: seconds that the next restart waits, counted from the end of the last run.
        retry_at: when a start that failed is tried again.
        stop_at: when to ask it to end, kill_at: when to force it; None while it may run.
    """

    spec: Object
    is_init: bool
    state: State = Waiting("ContainerCreating")
    last: Terminated | None = None
    runs: int = 0
    backoff: float = 0.0
    retry_at: datetime | None = None
    stop_at: datetime | None = None
    kill_at: datetime | None = None
    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None

    @property
    def name(self) -> str:
        """Its name."""
        found: str = self.spec["name"]
        return found

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return isinstance(self.state, Running)

    @property
    def is_started(self) -> bool:
        """Whether it runs and its startup probe, if any, has passed."""
        return self.is_running and (self.startup is None or self.startup.passing)

    @property
    def is_ready(self) -> bool:
        """Whether it takes traffic; an init container is ready once it succeeded."""
        if self.is_init:
            return isinstance(self.state, Terminated) and self.state.exit.code == 0
        return self.is_started and (self.readiness is None or self.readiness.passing)

    def started(self, now: datetime, first_backoff: float) -> None:
        """Note a start."""
        if self.runs:
            self.backoff = min(_LONGEST_BACKOFF, self.backoff * 2 or first_backoff)
        self.runs += 1
        self.state = Running(now)
        self.retry_at = self.stop_at = self.kill_at = None
        self.startup, self.readiness, self.liveness = (
            Probe(spec, now + timedelta(seconds=spec.get("initialDelaySeconds", 0)))
            if (spec := self.spec.get(f"{kind}Probe"))
            else None
            for kind in ("startup", "readiness", "liveness")
        )
        if self.liveness is not None:
            self.liveness.passing = True

    def ended(self, how: Exit, now: datetime) -> None:
        """Note an end."""
        since = self.state.since if isinstance(self.state, Running) else now
        self.state = Terminated(how, since, now)
        if (now - since).total_seconds() >= _FORGIVEN_AFTER:
            self.backoff = 0.0

    def refused(self, waiting: Waiting, now: datetime, first_backoff: float) -> None:
        """Note a start that could not be made; it is tried again later and later."""
        self.state = waiting
        self.backoff = min(_LONGEST_BACKOFF, self.backoff * 2 or first_backoff)
        self.retry_at = now + timedelta(seconds=self.backoff)

    def restart_at(self) -> datetime | None:
        """When an ended run may be followed by the next."""
        if isinstance(self.state, Terminated):
            return self.state.at + timedelta(seconds=self.backoff)
        return self.retry_at

    def end(self, now: datetime, *, grace: float, delay: float = 0.0) -> None:
        """Begin to end it, once: SIGTERM after ``delay``, SIGKILL after ``grace`` seconds."""
        if self.kill_at is None:
            self.stop_at = now + timedelta(seconds=delay)
            self.kill_at = now + timedelta(seconds=grace)


@dataclass(slots=True)
class PodState:
    """One pod.

    Attributes:
        was_ending: whether its deletion was seen.
        is_over: whether its deletion is done: nothing of it runs or will.
    """

    address: str
    started: datetime
    restart_policy: str
    containers: list[Container]
    was_ending: bool = False
    is_over: bool = False

    @property
    def init(self) -> list[Container]:
        """Init containers, in order."""
        return [c for c in self.containers if c.is_init]

    @property
    def main(self) -> list[Container]:
        """The others."""
        return [c for c in self.containers if not c.is_init]

    @property
    def is_initialized(self) -> bool:
        """Whether every init container succeeded."""
        return all(c.is_ready for c in self.init)

    def will_restart(self, container: Container) -> bool:
        """Whether an ended container is started again."""
        if self.is_over or not isinstance(container.state, Terminated):
            return False
        failed = container.state.exit.code != 0
        if self.restart_policy == "Always":
            return failed or not container.is_init
        return failed and self.restart_policy == "OnFailure"

    def close(self, now: datetime) -> None:
        """End the pod's story: nothing starts any more, and what never ran counts as failed."""
        self.is_over = True
        for container in self.containers:
            if not isinstance(container.state, Terminated):
                container.state = Terminated(Exit(137, "the pod was deleted first"), now, now)

    def phase(self) -> str:
        """Pending, Running, Succeeded or Failed."""
        if any(
            isinstance(c.state, Terminated) and c.state.exit.code and not self.will_restart(c)
            for c in self.init
        ):
            return "Failed"
        ended = [c for c in self.main if isinstance(c.state, Terminated)]
        if len(ended) == len(self.main) and not any(map(self.will_restart, ended)):
            failed = any(isinstance(c.state, Terminated) and c.state.exit.code for c in ended)
            return "Failed" if failed else "Succeeded"
        return "Running" if any(c.runs for c in self.main) else "Pending"


def new_pod(pod: Object, address: str, now: datetime) -> PodState:
    """The state of a pod of which nothing runs yet."""
    spec = pod["spec"]
    containers = [Container(c, is_init=True) for c in spec.get("initContainers") or []]
    containers += [Container(c, is_init=False) for c in spec["containers"]]
    if spec.get("initContainers"):
        for container in containers[1:]:
            container.state = Waiting("PodInitializing")
    return PodState(address, now, spec["restartPolicy"], containers)
