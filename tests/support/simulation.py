"""The operator over the in-process cluster in virtual time: a 30 minute rollout in a moment."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from slipway.api.v1alpha1.resource import parse_status
from slipway.api.v1alpha1.status import Status
from slipway.contract import Component, Label
from slipway.errors import SlipwayError
from slipway.tasks import JobReport, ReplayReport, StepFailure, format_report
from slipway_local.clock import VirtualClock
from slipway_local.cluster import LocalCluster
from slipway_local.pods.runtime import Exit
from slipway_local.pods.simulated import Script, SimulatedPods
from slipway_operator.control.reconcile import Reconciler
from slipway_operator.kube.cluster import Cluster
from slipway_operator.kube.kinds import WATCHED
from slipway_operator.kube.store import Key, Store
from slipway_operator.plan.objects import Object, Ref, labels
from slipway_operator.plan.observed import Window
from tests.support.builders import config, job_report, replay_report
from tests.support.faults import Dropped, FaultyCluster

TICK_SECONDS = 1.0
GOOD = Window(requests=500, errors=0, p95_ms=10.0)
BAD = Window(requests=500, errors=100, p95_ms=10.0)

Report = JobReport | StepFailure
Optimize = Callable[[Object], Report]
Traffic = Callable[[str, bool], Window | None]  # (revision, whether it is the canary)


@dataclass(slots=True)
class FakeWindows:
    """Requests as the test says, from the moment that somebody asks for them."""

    traffic: Traffic
    status: Callable[[], Status]

    def view(self, key: Key, since: datetime | None) -> Mapping[str, Window]:
        if since is None:
            return {}
        status = self.status()
        found = {}
        for pointer, is_canary in ((status.stable, False), (status.canary, True)):
            window = self.traffic(pointer.revision, is_canary) if pointer else None
            if pointer is not None and window is not None:
                found[pointer.revision] = window
        return found

    def forget(self, key: Key) -> None:
        """Nothing is kept."""


@dataclass(slots=True)
class Simulation:
    """One ModelDeployment on a simulated cluster.

    Attributes:
        optimize: what the optimization Job of a pod reports.
        traffic: the requests that revisions get during a rollout.
        story: phases and events in order, each once.
        canary_overlap: revisions that were seen with pods at the same time.
    """

    resource: dict[str, Any]
    optimize: Optimize = lambda pod: job_report()
    replay: Callable[[Object], ReplayReport] = lambda pod: replay_report()
    traffic: Traffic = lambda revision, is_canary: GOOD
    serve: Callable[[Object], Script] = lambda pod: Script()
    story: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    clock: VirtualClock = field(default_factory=VirtualClock)
    cluster: LocalCluster = field(init=False)
    invariants: list[Callable[["Simulation"], None]] = field(default_factory=list)
    _operator: Reconciler | None = None
    _store: Store | None = None
    _events: int = 0

    def __post_init__(self) -> None:
        self.cluster = LocalCluster(self.clock, SimulatedPods(self.clock, self._behave))
        self.cluster.objects.create(self.resource)

    @property
    def ref(self) -> Ref:
        meta = self.resource["metadata"]
        return Ref("ModelDeployment", meta["namespace"], meta["name"])

    @property
    def operator(self) -> Reconciler:
        """The operator that runs now."""
        assert self._operator is not None
        return self._operator

    @property
    def live(self) -> Object:
        return self.cluster.objects.get(self.ref)

    @property
    def status(self) -> Status:
        return parse_status(self.live)

    def objects(self, kind: str) -> list[Object]:
        return list(self.cluster.objects.select(kind, None, ""))

    def annotate(self, **notes: str) -> None:
        patch = {"metadata": {"annotations": {f"slipway.dev/{k}": v for k, v in notes.items()}}}
        self.cluster.objects.patch(self.ref, patch, "")

    def change(self, **spec: Any) -> None:
        self.cluster.objects.patch(self.ref, {"spec": spec}, "")

    def new_model(self, version: str) -> None:
        self.change(model={"storageUri": f"s3://models/{self.ref.name}/{version}/model.onnx"})

    def run(
        self,
        until: Callable[[Status], bool],
        *,
        seconds: float = 600.0,
        fail_at: int | None = None,
        when: Literal["before", "after"] = "before",
    ) -> None:
        """Tick until the status says so; at call ``fail_at`` a new operator replaces the dead one.

        Raises:
            AssertionError: not within ``seconds`` of virtual time.
        """
        api: Cluster = self.cluster.api
        faulty = FaultyCluster(api, fail_at=fail_at, when=when)
        self._start_operator(faulty)
        end = self.clock.monotonic() + seconds
        while not until(self.status):
            if self.clock.monotonic() > end:
                story = "\n".join(self.story)
                raise AssertionError(f"still {self.status.message!r} after {seconds} s:\n{story}")
            try:
                self._tick()
            except Dropped:
                faulty = FaultyCluster(api, fail_at=None)
                self._start_operator(faulty)
            self.clock.advance(TICK_SECONDS)
        self.writes += faulty.calls

    def settle(self, seconds: float = 60.0) -> None:
        """Let time pass."""
        end = self.clock.monotonic() + seconds
        self.run(lambda _: self.clock.monotonic() >= end, seconds=seconds + 1)

    def _start_operator(self, api: Cluster) -> None:
        self._store = Store()
        self._operator = Reconciler(
            api,
            self._store,
            config=config(),
            windows=FakeWindows(self.traffic, lambda: self.status),
            now=self.clock.now,
        )

    def _tick(self) -> None:
        self.cluster.step()
        self._check()
        asyncio.run(self._reconcile())
        self.cluster.step()
        self._check()
        self._tell()

    async def _reconcile(self) -> None:
        assert self._operator is not None
        assert self._store is not None
        key = (self.ref.namespace, self.ref.name)
        for _ in range(10):
            for kind in WATCHED:
                listing = await self.cluster.api.list(kind, None)
                self._store.replace(kind, listing.items)
            self._operator.resources[key] = await self.cluster.api.get(self.ref)
            try:
                outcome = await self._operator.reconcile(key)
            except SlipwayError as error:
                self.story.append(f"error: {error}")
                return
            due = outcome.requeue_at is not None and outcome.requeue_at <= self.clock.now()
            if not (due or outcome.writes):  # as the manager: at once after a write
                return

    def _check(self) -> None:
        for invariant in self.invariants:
            invariant(self)

    def _tell(self) -> None:
        phase = f"phase: {self.status.phase}"
        if phase != next((line for line in reversed(self.story) if line[:6] == "phase:"), None):
            self.story.append(phase)
        events = self.objects("Event")
        for event in sorted(events, key=lambda e: int(e["metadata"]["resourceVersion"])):
            line = f"  {event['type']}: {event['reason']}"
            if int(event["metadata"]["resourceVersion"]) > self._events:
                self._events = int(event["metadata"]["resourceVersion"])
                self.story.append(line)

    def _behave(self, pod: Object, container: str, attempt: int) -> Script:
        match labels(pod).get(Label.APP_COMPONENT):
            case Component.OPTIMIZER:
                report = self.optimize(pod)
                if container == "publish" and isinstance(report, JobReport):
                    return Script(seconds=1.0, exit=Exit(0, format_report(report)))
                if container == "fetch" and isinstance(report, StepFailure):
                    code = 75 if report.transient else 65
                    return Script(seconds=1.0, exit=Exit(code, format_report(report)))
                return Script(seconds=2.0)
            case Component.REPLAY:
                return Script(seconds=2.0, exit=Exit(0, format_report(self.replay(pod))))
            case _:
                return self.serve(pod)


def revision_of(obj: Object) -> str:
    """The revision label of a child."""
    return labels(obj)[Label.REVISION]


def healthy(status: Status) -> bool:
    """Everything asked for is served."""
    return status.phase == "Healthy"


def rolled_out(generation: int) -> Callable[[Status], bool]:
    """Healthy at that generation or a later one."""
    return lambda status: healthy(status) and status.observed_generation >= generation
