"""The kubelet over simulated containers, in virtual time."""

from itertools import pairwise
from typing import Any

import pytest

from slipway.errors import NotFound
from slipway_local.clock import VirtualClock
from slipway_local.cluster import LocalCluster
from slipway_local.pods.runtime import Exit
from slipway_local.pods.simulated import Behaviour, Script, SimulatedPods
from slipway_operator.plan.objects import Object, condition
from tests.support.manifests import container, merged, pod, probed, ref, secret

READY = {"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1}


class World:
    """A cluster with one pod called ``pod``."""

    def __init__(
        self, made: Object, behaviour: Behaviour | None = None, images: set[str] | None = None
    ) -> None:
        self.clock = VirtualClock()
        self.runtime = SimulatedPods(
            self.clock, behaviour, images=frozenset(images) if images is not None else None
        )
        self.cluster = LocalCluster(self.clock, self.runtime)
        self.cluster.objects.create(made)

    def run(self, seconds: int) -> list[str]:
        deeds = []
        for _ in range(seconds):
            deeds += self.cluster.step()
            self.clock.advance(1)
        return deeds + self.cluster.step()

    @property
    def live(self) -> Object:
        return self.cluster.objects.get(ref("Pod", "pod"))

    @property
    def phase(self) -> str:
        phase: str = self.live["status"]["phase"]
        return phase

    def container(self, index: int = 0, kind: str = "containerStatuses") -> Object:
        found: Object = self.live["status"][kind][index]
        return found

    def is_true(self, kind: str) -> bool:
        found = condition(self.live, kind)
        return found is not None and found["status"] == "True"


def scripted(**scripts: Script | list[Script]) -> Behaviour:
    """What each container does, and on which attempt."""

    def behave(made: Object, name: str, attempt: int) -> Script:
        found = scripts.get(name, Script())
        return found if isinstance(found, Script) else found[min(attempt, len(found) - 1)]

    return behave


def ends(seconds: float, code: int = 0, message: str = "") -> Script:
    return Script(seconds=seconds, exit=Exit(code, message))


def test_a_status_has_the_kubelet_s_shape() -> None:
    world = World(pod("pod", probed()), scripted(server=Script(ready_after=3)))
    world.run(2)
    uid = world.live["metadata"]["uid"]

    unready = {
        "status": "False",
        "reason": "ContainersNotReady",
        "message": "containers with unready status: [server]",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    fine = {"status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    assert world.live["status"] == {
        "phase": "Running",
        "qosClass": "Burstable",
        "hostIP": "127.0.0.1",
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [
            {
                "name": "server",
                "image": "server:1",
                "imageID": "local://server:1",
                "containerID": f"local://{uid}/server/0",
                "ready": False,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                "lastState": {},
            }
        ],
        "conditions": [
            {"type": "PodScheduled", **fine},
            {"type": "PodReadyToStartContainers", **fine},
            {"type": "Initialized", **fine},
            {"type": "ContainersReady", **unready},
            {"type": "Ready", **unready},
        ],
    }

    world.run(2)

    assert condition(world.live, "Ready") == {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:03Z",
    }


def test_init_containers_run_one_after_the_other_before_the_rest() -> None:
    made = pod(
        "pod",
        container("main"),
        initContainers=[container("first"), container("second")],
        restartPolicy="Never",
    )
    world = World(made, scripted(first=ends(2), second=ends(2, message="hello"), main=ends(1)))

    world.run(1)
    assert [c["state"] for c in world.live["status"]["initContainerStatuses"]] == [
        {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        {"waiting": {"reason": "PodInitializing"}},
    ]
    assert world.container()["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert (world.phase, world.is_true("Initialized")) == ("Pending", False)

    world.run(2)
    assert world.container(0, "initContainerStatuses")["state"]["terminated"] == {
        "exitCode": 0,
        "reason": "Completed",
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:02Z",
        "containerID": f"local://{world.live['metadata']['uid']}/first/0",
    }
    world.run(3)

    assert world.phase == "Succeeded"
    second = world.container(1, "initContainerStatuses")["state"]["terminated"]
    assert second["message"] == "hello"


def test_a_failing_init_container_fails_a_pod_that_never_restarts() -> None:
    made = pod("pod", container("main"), initContainers=[container("first")], restartPolicy="Never")
    world = World(made, scripted(first=ends(1, 65, "no such model")))

    world.run(5)

    assert world.phase == "Failed"
    ended = world.container(0, "initContainerStatuses")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (65, "Error", "no such model")
    assert world.container()["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_failing_init_container_is_tried_again_where_the_policy_says_so() -> None:
    made = pod("pod", container("main"), initContainers=[container("first")])
    world = World(made, scripted(first=[ends(1, 1), ends(1, 0)]))

    world.run(4)

    assert world.phase == "Running"
    assert world.container(0, "initContainerStatuses")["restartCount"] == 1


def test_a_crash_is_followed_by_a_restart_at_once_then_later_and_later() -> None:
    world = World(pod("pod", container()), scripted(server=ends(1, 3, "boom")))
    starts = []
    for second in range(200):
        if any("started server" in deed for deed in world.cluster.step()):
            starts.append(second)
        world.clock.advance(1)

    gaps = [later - earlier - 1 for earlier, later in pairwise(starts)]
    assert gaps == [0, 10, 20, 40, 80]
    status = world.container()
    assert status["restartCount"] == 5
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["state"]["waiting"]["message"].startswith(
        "back-off 160s restarting failed container=server pod=pod_default("
    )
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["message"] == "boom"
    assert world.phase == "Running"


def test_a_long_good_run_makes_a_crash_forgiven() -> None:
    scripts = [ends(1, 1), ends(1, 1), ends(700, 1), Script()]
    world = World(pod("pod", container()), scripted(server=scripts))

    deeds = world.run(714)

    assert sum("started server" in deed for deed in deeds) == 4


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [("Always", 0, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_restart_policies(policy: str, code: int, restarts: bool) -> None:
    made = pod("pod", container(), restartPolicy=policy)
    world = World(made, scripted(server=[ends(1, code), Script()]))

    world.run(3)

    assert (world.container()["restartCount"] == 1) is restarts
    assert world.phase == ("Running" if restarts else "Failed" if code else "Succeeded")


def test_readiness_follows_its_probe_with_its_thresholds() -> None:
    probe = {**READY, "failureThreshold": 3, "successThreshold": 2}
    world = World(
        pod("pod", container(readinessProbe=probe)), scripted(server=Script(ready_after=2))
    )

    ready = []
    for second in range(12):
        world.cluster.step()
        ready.append(world.is_true("Ready"))
        if second == 5:
            world.runtime.set_ready(ref("Pod", "pod"), ready=False)
        world.clock.advance(1)

    # probes succeed from second 2 on, twice until ready; they fail from second 6 on, thrice
    assert ready == [False] * 3 + [True] * 5 + [False] * 4
    assert world.container()["restartCount"] == 0


def test_a_container_that_stops_being_alive_is_restarted() -> None:
    probe = {**READY, "failureThreshold": 2, "initialDelaySeconds": 2}
    made = pod("pod", container(livenessProbe=probe), terminationGracePeriodSeconds=5)
    world = World(made, scripted(server=Script(ready_after=0, stop_seconds=60)))
    world.run(4)
    world.runtime.set_ready(ref("Pod", "pod"), ready=False)

    world.run(9)

    status = world.container()
    assert status["restartCount"] == 1, "two failures, then five seconds of grace"
    assert status["lastState"]["terminated"]["exitCode"] == 137


def test_other_probes_wait_for_the_startup_probe() -> None:
    made = pod(
        "pod",
        container(
            startupProbe={**READY, "failureThreshold": 30},
            livenessProbe={**READY, "failureThreshold": 1},
            readinessProbe=READY,
        ),
    )
    world = World(made, scripted(server=Script(ready_after=10)))

    world.run(8)
    assert (world.container()["started"], world.container()["restartCount"]) == (False, 0)
    world.run(5)

    assert (world.container()["started"], world.container()["ready"]) == (True, True)
    assert world.container()["restartCount"] == 0


def test_a_container_that_does_not_start_in_time_is_restarted() -> None:
    made = pod("pod", container(startupProbe={**READY, "failureThreshold": 5}))
    world = World(made, scripted(server=[Script(ready_after=99), Script(ready_after=1)]))

    world.run(9)

    assert (world.container()["restartCount"], world.container()["started"]) == (1, True)


def test_an_image_that_does_not_exist_is_tried_again_and_shown() -> None:
    world = World(pod("pod", container(image="serve:1")), images={"server:1"})

    deeds = world.run(75)

    assert sum("does not exist" in deed for deed in deeds) == 4, "at 0, 10, 30 and 70 seconds"
    waiting = world.container()["state"]["waiting"]
    assert waiting["reason"] == "ImagePullBackOff"
    assert waiting["message"] == (
        "Back-off pulling image \"serve:1\": image 'serve:1' does not exist here"
    )
    assert (world.phase, world.container()["restartCount"]) == ("Pending", 0)


def test_a_required_secret_is_waited_for() -> None:
    made = pod(
        "pod",
        container(volumeMounts=[{"name": "s", "mountPath": "/s"}]),
        volumes=[{"name": "s", "secret": {"secretName": "store"}}],
    )
    world = World(made)
    world.run(1)
    waiting = world.container()["state"]["waiting"]
    assert waiting == {
        "reason": "CreateContainerConfigError",
        "message": "secret 'store' not found: create it in the pod's namespace",
    }

    world.cluster.objects.create(secret("store"))
    world.run(11)

    assert world.phase == "Running"


def test_a_deleted_pod_is_asked_to_end_and_then_gone() -> None:
    made = pod("pod", container(), terminationGracePeriodSeconds=20)
    world = World(made, scripted(server=Script(stop_seconds=3)))
    world.run(1)

    world.cluster.objects.delete(ref("Pod", "pod"))
    world.run(2)
    assert world.container()["state"] == {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    world.run(2)

    assert world.cluster.objects.find(ref("Pod", "pod")) is None


def test_a_deleted_pod_that_does_not_listen_is_killed_after_its_grace_period() -> None:
    made = pod("pod", container(), terminationGracePeriodSeconds=5)
    made["metadata"]["finalizers"] = ["test/look"]
    world = World(made, scripted(server=Script(stop_seconds=99)))
    world.run(1)

    world.cluster.objects.delete(ref("Pod", "pod"))
    world.run(4)
    assert "running" in world.container()["state"]
    world.run(2)

    ended = world.container()["state"]["terminated"]
    assert (ended["exitCode"], ended["finishedAt"]) == (137, "2026-01-01T00:00:06Z")
    assert world.phase == "Failed"


def test_a_pre_stop_sleep_delays_the_signal_within_the_grace_period() -> None:
    hook = {"preStop": {"sleep": {"seconds": 4}}}
    world = World(pod("pod", container(lifecycle=hook)))
    world.run(1)

    world.cluster.objects.delete(ref("Pod", "pod"))
    world.run(3)
    assert world.cluster.objects.find(ref("Pod", "pod")) is not None
    world.run(2)

    assert world.cluster.objects.find(ref("Pod", "pod")) is None


def test_a_pod_deleted_before_its_main_container_ran_ends_as_failed() -> None:
    made = pod("pod", container("main"), initContainers=[container("first")], restartPolicy="Never")
    made["metadata"]["finalizers"] = ["test/look"]
    world = World(made)
    world.run(1)

    world.cluster.objects.delete(ref("Pod", "pod"))
    world.run(1)

    assert world.phase == "Failed"


def test_logs_are_asked_for_by_names_that_exist() -> None:
    world = World(pod("pod", container("a"), container("b")))
    world.run(1)

    assert world.runtime.logs(ref("Pod", "pod"), "a") == ""
    with pytest.raises(NotFound, match="has no container 'c': a, b"):
        world.runtime.logs(ref("Pod", "pod"), "c")
    with pytest.raises(NotFound, match="never ran"):
        world.runtime.logs(ref("Pod", "other"), "a")


def test_a_look_at_a_pod_at_rest_writes_nothing() -> None:
    world = World(merged(pod("pod", probed()), {}))
    world.run(5)
    version: Any = world.cluster.objects.version

    world.run(50)

    assert world.cluster.objects.version == version
