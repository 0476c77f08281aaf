"""The kubelet: from Pod objects to containers, and back into their status.

It decides what to start, restart, probe and end; an ``Engine`` does it. One look at a time, never
a wait, so that the same code runs real processes and, in virtual time, simulated ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from slipway.errors import Invalid, NotFound, SlipwayError, Transient
from slipway_local.controllers.owning import is_ending, is_finished
from slipway_local.objects import Objects
from slipway_local.pods.runtime import Engine, ImageMissing, Run, Usage
from slipway_local.pods.state import Container, PodState, Probe, Terminated, Waiting, new_pod
from slipway_local.pods.status import NODE_ADDRESS, status_of
from slipway_local.pods.volumes import mounts_of
from slipway_operator.plan.objects import Object, Ref, ref_of


class Kubelet:
    """Implements ``PodRuntime`` over an engine.

    Args:
        engine: what runs containers.
        backoff: seconds that a second restart waits; doubles up to 5 min. The first is at once.
    """

    def __init__(self, engine: Engine, *, backoff: float = 10.0) -> None:
        self.engine = engine
        self._backoff = backoff
        self._pods: dict[str, tuple[Object, PodState]] = {}  # by uid, with the object last seen
        self._names: dict[Ref, Object] = {}  # also of pods that are gone: their logs stay

    def on_change(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called whenever a container ends or a probe answers."""
        self.engine.wake = wake

    def open(self) -> None:
        """Get ready."""
        self.engine.open()

    def step(self, objects: Objects, now: datetime) -> list[str]:
        """Look at every pod once."""
        deeds: list[str] = []
        found = {pod["metadata"]["uid"]: pod for pod in objects.select("Pod")}
        for uid in [uid for uid in self._pods if uid not in found]:
            self._drop(uid)
        for uid, pod in found.items():
            if uid not in self._pods:
                if is_finished(pod) or is_ending(pod):
                    if is_ending(pod):
                        objects.finish(ref_of(pod))
                    continue
                self._pods[uid] = (pod, new_pod(pod, self.engine.address(pod), now))
                self._names[ref_of(pod)] = pod
            state = self._pods[uid][1]
            self._pods[uid] = (pod, state)
            deeds += self._sync(_Look(objects, pod, state, now))
        return deeds

    def usage(self, pod: Ref) -> Usage | None:
        """Resources that a pod uses."""
        found = self._names.get(pod)
        return self.engine.usage(found) if found else None

    def logs(self, pod: Ref, container: str) -> str:
        """What a container wrote.

        Raises:
            NotFound: no such pod, or no such container in it.
        """
        found = self._names.get(pod)
        if found is None:
            raise NotFound(f"pod '{pod.name}' never ran here")
        names = [
            c["name"]
            for c in [*(found["spec"].get("initContainers") or []), *found["spec"]["containers"]]
        ]
        if container not in names:
            raise NotFound(f"pod '{pod.name}' has no container '{container}': {', '.join(names)}")
        return self.engine.logs(found, container) or ""

    async def close(self) -> None:
        """End everything."""
        await self.engine.close()
        self._pods.clear()

    # -- one pod -----------------------------------------------------------------------------

    def _sync(self, look: "_Look") -> list[str]:
        pod, state = look.pod, look.state
        deeds = self._collect(look)
        if is_ending(pod):
            self._end(look)
        elif state.phase() in ("Pending", "Running"):
            deeds += self._run(look)
            self._probe(look)
        if self._press(look):
            deeds += self._collect(look)
        over = is_ending(pod) and not any(c.is_running for c in state.containers)
        if over:
            state.close(look.now)
        look.objects.set_status(ref_of(pod), status_of(pod, state, look.now))
        if over:
            self._drop(pod["metadata"]["uid"])
            look.objects.finish(ref_of(pod))
            deeds.append(f"Pod {pod['metadata']['name']}: gone")
        return deeds

    def _drop(self, uid: str) -> None:
        pod, state = self._pods.pop(uid)
        for container in state.containers:
            if container.is_running:
                self.engine.stop(pod, container.name, force=True)
        self.engine.release(pod)

    def _collect(self, look: "_Look") -> list[str]:
        deeds = []
        for container in look.state.containers:
            if not container.is_running:
                continue
            how = self.engine.poll(look.pod, container.name)
            if how is not None:
                container.ended(how, look.now)
                deeds.append(f"{look.name}: {container.name} ended with {how.code}")
        return deeds

    def _end(self, look: "_Look") -> None:
        grace = look.pod["metadata"].get("deletionGracePeriodSeconds") or 0
        for container in look.state.containers:
            if container.is_running and not look.state.was_ending:
                hook = (container.spec.get("lifecycle") or {}).get("preStop") or {}
                delay = (hook.get("sleep") or {}).get("seconds", 0)
                container.kill_at = None  # a deletion overrides a restart that was under way
                container.end(look.now, grace=grace, delay=delay)
        look.state.was_ending = True

    def _press(self, look: "_Look") -> bool:
        """Send the signals that are due; whether there were any."""
        sent = False
        for container in look.state.containers:
            if not container.is_running or container.kill_at is None:
                continue
            force = look.now >= container.kill_at
            if force or (container.stop_at is not None and look.now >= container.stop_at):
                container.stop_at = None
                self.engine.stop(look.pod, container.name, force=force)
                sent = True
        return sent

    def _run(self, look: "_Look") -> list[str]:
        for container in look.state.init:
            if not container.is_ready:
                return self._advance(look, container)
        return [deed for c in look.state.main for deed in self._advance(look, c)]

    def _advance(self, look: "_Look", container: Container) -> list[str]:
        """Start a container, or start it again, if its time has come."""
        if container.is_running:
            return []
        if isinstance(container.state, Terminated):
            if not look.state.will_restart(container):
                return []
            container.last = container.state
        due = container.restart_at()
        if due is not None and look.now < due:
            container.state = _patience(look.pod, container)
            container.retry_at = due
            return []
        try:
            mounts = mounts_of(look.pod, container.spec, look.secret)
            self.engine.start(look.addressed, container.spec, Run(container.runs, mounts))
        except (Invalid, Transient) as error:
            container.refused(Waiting(_reason(error), str(error)), look.now, self._backoff)
            return [f"{look.name}: {error}"]
        container.started(look.now, self._backoff)
        return [f"{look.name}: started {container.name}"]

    # -- probes ------------------------------------------------------------------------------

    def _probe(self, look: "_Look") -> None:
        for container in look.state.main:
            if not container.is_running:
                continue
            if container.is_started:
                self._ask(look, container, container.readiness)
                self._ask(look, container, container.liveness)
            else:
                self._ask(look, container, container.startup)
            if any(p is not None and p.failed for p in (container.startup, container.liveness)):
                container.end(look.now, grace=look.pod["spec"]["terminationGracePeriodSeconds"])

    def _ask(self, look: "_Look", container: Container, probe: Probe | None) -> None:
        if probe is None:
            return
        if probe.is_due(look.now):
            probe.asked(look.now)
            action = _with_port(probe.spec, container.spec)
            report = partial(self._answer, probe)
            self.engine.probe(look.addressed, container.name, action, report)
        probe.digest()

    def _answer(self, probe: Probe, ok: bool) -> None:  # noqa: FBT001 - the engine's report
        probe.answers.append(ok)
        self.engine.wake()


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one pod."""

    objects: Objects
    pod: Object
    state: PodState
    now: datetime

    @property
    def name(self) -> str:
        """For what is said about it."""
        return f"Pod {self.pod['metadata']['name']}"

    @property
    def addressed(self) -> Object:
        """The pod with its addresses, which its first status does not hold yet."""
        known = {"podIP": self.state.address, "hostIP": NODE_ADDRESS}
        return {**self.pod, "status": {**self.pod["status"], **known}}

    def secret(self, name: str) -> Object | None:
        """A Secret in the pod's namespace."""
        return self.objects.find(Ref("Secret", self.pod["metadata"]["namespace"], name))


def _reason(error: SlipwayError) -> str:
    if isinstance(error, ImageMissing):
        return "ErrImagePull"
    return "CreateContainerConfigError" if isinstance(error, Invalid) else "CreateContainerError"


def _patience(pod: Object, container: Container) -> Waiting:
    """What a container that waits for its next start shows."""
    if isinstance(container.state, Waiting):
        if container.state.reason != "ErrImagePull":
            return container.state
        text = f'Back-off pulling image "{container.spec["image"]}": {container.state.message}'
        return Waiting("ImagePullBackOff", text)
    meta = pod["metadata"]
    return Waiting(
        "CrashLoopBackOff",
        f"back-off {container.backoff:.0f}s restarting failed container={container.name} "
        f"pod={meta['name']}_{meta['namespace']}({meta['uid']})",
    )


def _with_port(probe: Object, container: Object) -> Object:
    """The probe with its port as a number."""
    numbers = {p.get("name"): p["containerPort"] for p in container.get("ports") or []}
    for kind in ("httpGet", "tcpSocket"):
        if kind in probe:
            port = probe[kind]["port"]
            return {**probe, kind: {**probe[kind], "port": numbers.get(port, port)}}
    return probe
