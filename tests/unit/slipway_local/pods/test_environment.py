from pathlib import Path

import pytest

from slipway.errors import Invalid
from slipway_local.pods.environment import Room, cpu_threads, environment
from slipway_local.pods.volumes import Mount
from slipway_operator.plan.objects import Object
from tests.support.manifests import container, merged, pod

ROOM = Room(own=Path("/run/c"), shared=Path("/run/v"))
POD = merged(
    pod("p"),
    {
        "metadata": {"uid": "u"},
        "spec": {"nodeName": "local"},
        "status": {"podIP": "127.64.0.1"},
    },
)
HOST = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "s3cret", "HOME": "/home/me", "LANG": "C"}


def variables(made: Object, *mounts: Mount) -> dict[str, str]:
    return environment(POD, made, room=ROOM, mounts=mounts, host=HOST)


def test_a_container_is_told_where_its_things_are_and_little_else() -> None:
    mounts = (
        Mount("/etc/slipway/request", "request", {"request.json": b"{}"}),
        Mount("/var/lib/slipway", "work"),
        Mount("/tmp", "tmp"),
        Mount("/etc/slipway/storage/model", "storage-model", {}),
    )

    assert variables(container(resources={"limits": {"cpu": "1500m"}}), *mounts) == {
        "PATH": "/bin",
        "LANG": "C",
        "HOME": "/run/c/home",
        "TMPDIR": "/run/v/tmp",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "SLIPWAY_DRAIN_SECONDS": "0.5",
        "SLIPWAY_BIND_ADDRESS": "127.64.0.1",
        "SLIPWAY_REQUEST_FILE": "/run/c/request/request.json",
        "SLIPWAY_STORAGE_DIR": "/run/c/storage",
        "SLIPWAY_WORK_DIR": "/run/v/work",
        "SLIPWAY_TERMINATION_LOG": "/run/c/termination-log",
    }


def test_a_container_s_own_variables_win_except_over_where_things_are() -> None:
    own = [
        {"name": "SLIPWAY_DRAIN_SECONDS", "value": "9"},
        {"name": "SLIPWAY_WORK_DIR", "value": "/var/lib/slipway"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]

    told = variables(container(env=own), Mount("/var/lib/slipway", "work"))

    assert told["SLIPWAY_DRAIN_SECONDS"] == "9"
    assert told["SLIPWAY_WORK_DIR"] == "/run/v/work"
    assert told["IP"] == "127.64.0.1"


def test_a_variable_from_a_secret_is_refused() -> None:
    source = {"secretKeyRef": {"name": "store", "key": "k"}}

    with pytest.raises(Invalid, match="env K comes from secretKeyRef"):
        variables(container(env=[{"name": "K", "valueFrom": source}]))


def test_files_at_a_path_that_no_program_is_told_of_are_refused() -> None:
    with pytest.raises(Invalid, match="mountPath '/etc/passwd'"):
        variables(container(), Mount("/etc/passwd", "v", {"a": b""}))
    with pytest.raises(Invalid, match="mountPath"):
        variables(container(), Mount("/etc/slipway/storage/../x", "v", {"a": b""}))


@pytest.mark.parametrize(("limit", "want"), [("100m", 1), ("1", 1), ("2500m", 3)])
def test_threads_are_the_cpu_limit_rounded_up(limit: str, want: int) -> None:
    assert cpu_threads(container(resources={"limits": {"cpu": limit}})) == want


def test_without_a_limit_one_thread_is_used() -> None:
    assert cpu_threads(container()) == 1
