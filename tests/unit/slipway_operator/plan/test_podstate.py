from typing import Any

import pytest

from slipway.tasks import StepFailure, format_report
from slipway_operator.plan.podstate import (
    Trouble,
    ended_containers,
    is_ready,
    last_report,
    running_container,
    trouble_of,
)
from tests.support.builders import job_report
from tests.support.worlds import server_pod

Json = dict[str, Any]


def pod(*statuses: Json, **more: Any) -> Json:
    return server_pod("p", "fraud-1", containerStatuses=list(statuses), **more)


def container(state: Json, **more: Any) -> Json:
    return {"name": "server", "image": "example/server:1", "state": state, **more}


def ended(code: int, message: str = "", reason: str = "Error") -> Json:
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


def failure(*, transient: bool) -> str:
    found = StepFailure(reason="StorageDenied", message="access is refused", transient=transient)
    return format_report(found)


NAMED = "container server of pod p"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (container({"running": {}}), None),
        (container(ended(0)), None),
        (container({"waiting": {"reason": "PodInitializing"}}), None),
        (
            container({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}),
            Trouble(
                "ImagePullFailed",
                f"image example/server:1 of {NAMED} cannot be pulled: check its name and "
                "imagePullSecrets (not found)",
            ),
        ),
        (
            container({"waiting": {"reason": "CreateContainerConfigError", "message": "no key"}}),
            Trouble("CreateContainerConfigError", f"{NAMED}: no key"),
        ),
        (
            container(ended(137, reason="OOMKilled")),
            Trouble(
                "OutOfMemory", f"{NAMED} was killed for lack of memory: raise its memory limit"
            ),
        ),
        (
            container(ended(65, failure(transient=False))),
            Trouble("StorageDenied", "access is refused", final=True),
        ),
        (
            container(ended(75, failure(transient=True))),
            Trouble("StorageDenied", "access is refused"),
        ),
        (
            container(ended(65, "no report")),
            Trouble(
                "ContainerFailed",
                f"{NAMED} ended with exit code 65: see its log (slipway logs)",
                final=True,
            ),
        ),
        (
            container({"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended(1)),
            Trouble(
                "ContainerFailed", f"{NAMED} ended with exit code 1: see its log (slipway logs)"
            ),
        ),
    ],
)
def test_trouble_is_one_sentence_with_a_remedy(seen: Json, expected: Trouble | None) -> None:
    assert trouble_of([pod(seen)]) == expected


def test_a_pod_without_a_place_says_why() -> None:
    unplaced = server_pod("p", "fraud-1")
    unplaced["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available",
        }
    ]
    assert trouble_of([unplaced]) == Trouble(
        "Unschedulable", "pod p cannot be placed: 0/3 nodes are available"
    )


def test_the_first_pod_in_trouble_is_told_of() -> None:
    fine, ill = pod(container({"running": {}})), pod(container(ended(1)))
    found = trouble_of([fine, ill])
    assert found is not None
    assert found.reason == "ContainerFailed"


def test_an_init_container_counts_before_the_others() -> None:
    seen = pod(
        {"name": "publish", "state": {"waiting": {}}},
        initContainerStatuses=[
            {"name": "fetch", "state": ended(0)},
            {"name": "build", "state": {"running": {}}},
        ],
    )
    assert (running_container(seen), ended_containers(seen)) == ("build", {"fetch"})


def test_the_last_readable_report_counts() -> None:
    report = job_report()
    seen = pod(container(ended(0, "cut off {"), lastState=ended(0, format_report(report))))
    assert last_report(seen) == report
    assert last_report(pod()) is None


def test_a_pod_on_its_way_out_is_not_ready() -> None:
    leaving = pod()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    assert (is_ready(pod()), is_ready(leaving)) == (True, False)
