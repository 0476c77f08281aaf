"""The kubelet: from Pod objects to containers, and back into their status.

It decides what to start, restart, probe and end; an ``Engine`` does it. One look at a time, never
a wait, so that the same code runs real processes and, in virtual time, simulated ones.
"""

from datetime import datetime
from functools import partial
from typing import Final

from slipway.errors import Invalid, NotFound, Transient
from slipway_local.controllers.owning import is_ending, is_finished
from slipway_local.objects import Objects
from slipway_local.pods.runtime import Engine, ImageMissing, Usage
from slipway_local.pods.state import (
    Container,
    PodState,
    Probe,
    Running,
    Terminated,
    Waiting,
    new_pod,
)
from slipway_local.pods.status import status_of
from slipway_operator.plan.objects import Object, Ref, ref_of

_PULL_REASONS: Final = ("ErrImagePull", "ImagePullBackOff")


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
            deeds += self._sync(objects, pod, self._pods[uid][1], now)
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

    def _sync(self, objects: Objects, pod: Object, state: PodState, now: datetime) -> list[str]:
        self._pods[pod["metadata"]["uid"]] = (pod, state)
        deeds = self._collect(pod, state, now)
        if is_ending(pod):
            self._end(pod, state, now)
        elif state.phase() in ("Pending", "Running"):
            deeds += self._run(pod, state, now)
            self._probe(pod, state, now)
        self._press(pod, state, now)
        objects.set_status(ref_of(pod), status_of(pod, state, now))
        if is_ending(pod) and not any(c.is_running for c in state.containers):
            self._drop(pod["metadata"]["uid"])
            objects.finish(ref_of(pod))
            deeds.append(f"Pod {pod['metadata']['name']}: gone")
        return deeds

    def _drop(self, uid: str) -> None:
        pod, state = self._pods.pop(uid)
        for container in state.containers:
            if container.is_running:
                self.engine.stop(pod, container.name, force=True)
        self.engine.release(pod)

    def _collect(self, pod: Object, state: PodState, now: datetime) -> list[str]:
        deeds = []
        for container in state.containers:
            if not container.is_running:
                continue
            how = self.engine.poll(pod, container.name)
            if how is not None:
                container.ended(how, now)
                deeds.append(
                    f"Pod {pod['metadata']['name']}: {container.name} ended with {how.code}"
                )
        return deeds

    def _end(self, pod: Object, state: PodState, now: datetime) -> None:
        grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
        for container in state.containers:
            if container.is_running and not state.was_ending:
                hook = (container.spec.get("lifecycle") or {}).get("preStop") or {}
                delay = (hook.get("sleep") or {}).get("seconds", 0)
                container.kill_at = None  # a deletion overrides a restart that was under way
                container.end(now, grace=grace, delay=delay)
        state.was_ending = True

    def _press(self, pod: Object, state: PodState, now: datetime) -> None:
        """Send the signals that are due."""
        for container in state.containers:
            if not container.is_running or container.kill_at is None:
                continue
            if now >= container.kill_at:
                self.engine.stop(pod, container.name, force=True)
            elif container.stop_at is not None and now >= container.stop_at:
                container.stop_at = None
                self.engine.stop(pod, container.name, force=False)

    def _run(self, pod: Object, state: PodState, now: datetime) -> list[str]:
        deeds = []
        for container in state.init:
            if container.is_ready:
                continue
            deeds += self._advance(pod, state, container, now)
            return deeds
        for container in state.main:
            deeds += self._advance(pod, state, container, now)
        return deeds

    def _advance(
        self, pod: Object, state: PodState, container: Container, now: datetime
    ) -> list[str]:
        """Start a container, or start it again, if its time has come."""
        if container.is_running:
            return []
        if isinstance(container.state, Terminated):
            if not state.will_restart(container):
                return []
            container.last = container.state
        due = container.restart_at()
        if due is not None and now < due:
            container.state = self._patience(pod, container)
            container.retry_at = due
            return []
        name = f"Pod {pod['metadata']['name']}"
        try:
            self.engine.start(pod, container.spec, container.runs)
        except ImageMissing as error:
            container.refused(Waiting("ErrImagePull", str(error)), now, self._backoff)
            return [f"{name}: {error}"]
        except Invalid as error:
            waiting = Waiting("CreateContainerConfigError", str(error))
            container.refused(waiting, now, self._backoff)
            return [f"{name}: {error}"]
        except Transient as error:
            container.refused(Waiting("CreateContainerError", str(error)), now, self._backoff)
            return [f"{name}: {error}"]
        container.started(now, self._backoff)
        return [f"{name}: started {container.name}"]

    def _patience(self, pod: Object, container: Container) -> Waiting:
        """What a container that waits for its next start shows."""
        if isinstance(container.state, Waiting):
            if container.state.reason in _PULL_REASONS:
                text = f'Back-off pulling image "{container.spec["image"]}": '
                message = container.state.message
                return Waiting("ImagePullBackOff", text + message.removeprefix(text))
            return container.state
        meta = pod["metadata"]
        return Waiting(
            "CrashLoopBackOff",
            f"back-off {container.backoff:.0f}s restarting failed container={container.name} "
            f"pod={meta['name']}_{meta['namespace']}({meta['uid']})",
        )

    # -- probes ------------------------------------------------------------------------------

    def _probe(self, pod: Object, state: PodState, now: datetime) -> None:
        seen = {**pod, "status": {**pod["status"], "podIP": state.address}}
        for container in state.main:
            if not isinstance(container.state, Running):
                continue
            startup = container.startup
            self._ask(seen, container, startup if not container.is_started else None, now)
            if container.is_started:
                self._ask(seen, container, container.readiness, now)
                self._ask(seen, container, container.liveness, now)
            if any(probe and probe.failed for probe in (startup, container.liveness)):
                container.end(now, grace=pod["spec"]["terminationGracePeriodSeconds"])

    def _ask(self, pod: Object, container: Container, probe: Probe | None, now: datetime) -> None:
        if probe is None:
            return
        if probe.is_due(now):
            probe.asked(now)
            action = _with_port(probe.spec, container.spec)
            self.engine.probe(pod, container.name, action, partial(self._answer, probe))
        probe.digest()

    def _answer(self, probe: Probe, ok: bool) -> None:  # noqa: FBT001 - the engine's report
        probe.answers.append(ok)
        self.engine.wake()


def _with_port(probe: Object, container: Object) -> Object:
    """The probe with its port as a number."""
    numbers = {p.get("name"): p["containerPort"] for p in container.get("ports") or []}
    for kind in ("httpGet", "tcpSocket"):
        if kind in probe:
            port = probe[kind]["port"]
            return {**probe, kind: {**probe[kind], "port": numbers.get(port, port)}}
    return probe
