"""Jobs on simulated pods."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from slipway_local.clock import VirtualClock
from slipway_local.cluster import LocalCluster
from slipway_local.controllers.job import retry_at
from slipway_local.pods.runtime import Exit
from slipway_local.pods.simulated import Script, SimulatedPods
from slipway_operator.plan.objects import Object, condition
from tests.support.manifests import container, job, ref, template

Scripts = dict[str, list[Script]]  # by container: what its k-th run in the Job does


class World:
    """A cluster with a Job ``task``; the container ``main`` runs after ``fetch``."""

    def __init__(self, scripts: Scripts, **spec: Any) -> None:
        self.clock = VirtualClock()
        self.started: list[tuple[float, str]] = []

        def behave(pod: Object, name: str, attempt: int) -> Script:
            so_far = sum(started == name for _, started in self.started)
            self.started.append((self.clock.monotonic(), name))
            queue = scripts.get(name, [Script(seconds=1)])
            return queue[min(so_far, len(queue) - 1)]

        self.cluster = LocalCluster(self.clock, SimulatedPods(self.clock, behave))
        run = template(container("main", "o:1"), initContainers=[container("fetch", "o:1")])
        self.cluster.objects.create(job(pod=run, **spec))

    @property
    def live(self) -> Object:
        return self.cluster.objects.get(ref("Job", "task"))

    @property
    def status(self) -> Object:
        return {k: v for k, v in self.live["status"].items() if k != "conditions"}

    def pods(self) -> list[Object]:
        return self.cluster.objects.select("Pod")

    def run(self, seconds: float, tick: float = 1) -> None:
        for _ in range(int(seconds / tick)):
            self.cluster.step()
            self.clock.advance(tick)
        self.cluster.step()

    def until(self, holds: Callable[[], bool], limit: float = 5000) -> None:
        while not holds():
            assert self.clock.monotonic() < limit, self.live["status"]
            self.run(1)

    def verdict(self, kind: str) -> tuple[str, str] | None:
        found = condition(self.live, kind)
        return (found["reason"], found["message"]) if found else None


def failing(code: int, times: int = 99) -> list[Script]:
    return [Script(seconds=1, exit=Exit(code))] * times


def test_a_job_runs_its_steps_in_order_and_completes() -> None:
    world = World({"fetch": [Script(seconds=3)], "main": [Script(seconds=2)]})

    world.run(10)

    assert world.started == [(0, "fetch"), (3, "main")]
    assert world.status == {
        "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:00:05Z",
        "succeeded": 1,
    }
    assert world.verdict("Complete") == (
        "CompletionsReached",
        "Reached expected number of succeeded pods",
    )
    assert [pod["status"]["phase"] for pod in world.pods()] == ["Succeeded"]


def test_a_job_at_work_counts_its_pod() -> None:
    world = World({"fetch": [Script(seconds=30)]})

    world.run(5)

    assert world.status == {"startTime": "2026-01-01T00:00:00Z", "active": 1}


def test_a_step_that_fails_before_the_main_one_is_tried_again_later_and_later() -> None:
    world = World({"fetch": [*failing(75, 3), Script(seconds=1)]}, backoffLimit=5)

    world.until(lambda: bool(world.verdict("Complete")))

    fetches = [at for at, name in world.started if name == "fetch"]
    gaps = [later - earlier - 1 for earlier, later in pairwise(fetches)]
    assert gaps == [10, 20, 40]
    assert world.status["failed"] == 3
    assert [name for _, name in world.started].count("main") == 1


def test_a_job_gives_up_after_its_backoff_limit() -> None:
    world = World({"main": failing(1)}, backoffLimit=2)

    world.until(lambda: bool(world.verdict("Failed")))

    assert world.verdict("Failed") == (
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )
    assert world.status["failed"] == 3
    assert "completionTime" not in world.status
    world.run(900)
    assert len(world.pods()) == 3


FAIL_65 = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [64, 65]}}]}


def test_an_exit_code_of_the_failure_policy_ends_a_job_at_once() -> None:
    world = World({"fetch": failing(65)}, podFailurePolicy=FAIL_65, backoffLimit=6)

    world.run(3)

    pod = world.pods()[0]["metadata"]["name"]
    text = f"Container fetch for pod default/{pod} failed with exit code 65"
    assert world.verdict("Failed") == (
        "PodFailurePolicy",
        f"{text} matching FailJob rule at index 0",
    )
    assert len(world.pods()) == 1


def test_another_exit_code_is_none_of_the_failure_policy_s_business() -> None:
    world = World({"fetch": failing(75)}, podFailurePolicy=FAIL_65, backoffLimit=6)

    world.run(30)

    assert world.verdict("Failed") is None
    assert len(world.pods()) == 2


@pytest.mark.parametrize(
    ("rule", "wants_failed"),
    [
        ({"operator": "NotIn", "values": [75]}, True),
        ({"operator": "NotIn", "values": [1]}, False),
        ({"operator": "In", "values": [1], "containerName": "main"}, True),
        ({"operator": "In", "values": [1], "containerName": "fetch"}, False),
    ],
)
def test_failure_policies_name_codes_and_containers(rule: Object, wants_failed: bool) -> None:
    policy = {"rules": [{"action": "FailJob", "onExitCodes": rule}]}
    world = World({"main": failing(1)}, podFailurePolicy=policy)

    world.run(4)

    assert bool(world.verdict("Failed")) is wants_failed


def test_an_ignored_failure_does_not_count() -> None:
    policy = {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [9]}}]}
    world = World(
        {"main": [*failing(9, 2), Script(seconds=1)]}, podFailurePolicy=policy, backoffLimit=0
    )

    world.until(lambda: bool(world.verdict("Complete")))

    assert "failed" not in world.status


def test_a_job_that_takes_too_long_is_ended() -> None:
    world = World({"main": [Script(stop_seconds=4)]}, activeDeadlineSeconds=60)

    world.run(62)
    assert world.verdict("FailureTarget") is not None
    assert world.verdict("Failed") is None, "its pod has not ended yet"
    world.run(6)

    assert world.verdict("Failed") == (
        "DeadlineExceeded",
        "Job was active longer than specified deadline",
    )
    assert world.pods() == []


def test_a_finished_job_is_removed_with_its_pods_when_its_time_is_up() -> None:
    world = World({}, ttlSecondsAfterFinished=100)

    world.run(100)
    assert len(world.pods()) == 1
    world.run(3)

    assert world.cluster.objects.find(ref("Job", "task")) is None
    assert world.pods() == []


def test_a_pod_that_is_deleted_at_work_is_replaced_and_counted() -> None:
    world = World({"fetch": [Script(seconds=5)]})
    world.run(2)

    world.cluster.objects.delete(ref("Pod", world.pods()[0]["metadata"]["name"]))
    world.until(lambda: bool(world.verdict("Complete")))

    assert [name for _, name in world.started].count("fetch") == 2
    assert (world.status["failed"], world.status["succeeded"]) == (1, 1)


def test_a_finished_pod_that_is_deleted_stays_counted() -> None:
    world = World({"main": [*failing(1, 1), Script(seconds=1)]})
    world.until(lambda: world.status.get("failed") == 1)

    world.cluster.objects.delete(ref("Pod", world.pods()[0]["metadata"]["name"]))
    world.until(lambda: bool(world.verdict("Complete")))

    assert (world.status["failed"], world.status["succeeded"]) == (1, 1)


def test_a_job_deleted_at_work_takes_its_pods_along() -> None:
    world = World({"fetch": [Script(stop_seconds=3)]})
    world.run(2)

    world.cluster.objects.delete(ref("Job", "task"))
    world.run(6)

    assert world.pods() == []


def test_retries_wait_ten_seconds_doubling_up_to_ten_minutes() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)

    waits = [(retry_at(n, start) - start) / timedelta(seconds=1) for n in (1, 2, 3, 7, 20)]

    assert waits == [10, 20, 40, 600, 600]
