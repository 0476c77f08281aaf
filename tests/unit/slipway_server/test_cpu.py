import os
from pathlib import Path

import pytest

from slipway_server import cpu
from tests.support.files import written

USABLE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "100000 100000\n"}, 1.0),
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "nonsense\n"}, None),
        ({}, None),
    ],
)
def test_the_cpu_limit_is_the_quota_of_either_cgroup_version(
    tmp_path: Path, files: dict[str, str], limit: float | None
) -> None:
    assert cpu.cpu_limit(written(tmp_path, files)) == limit


def test_threads_are_the_limit_rounded_up_but_never_more_than_usable(tmp_path: Path) -> None:
    assert cpu.threads(tmp_path) == USABLE
    assert cpu.threads(written(tmp_path, {"cpu.max": "10000 100000"})) == 1
    assert cpu.threads(written(tmp_path, {"cpu.max": "110000 100000"})) == min(2, USABLE)
    assert cpu.threads(written(tmp_path, {"cpu.max": "99900000 100000"})) == USABLE


@pytest.mark.skipif(USABLE < 2, reason="wants two CPUs to spare one of them")
@pytest.mark.parametrize(
    ("files", "spare"),
    [
        ({}, True),
        ({"cpu.max": "max 100000\n"}, True),
        ({"cpu.max": "200000 100000\n"}, True),
        ({"cpu.max": "150000 100000\n"}, False),
    ],
)
def test_a_cpu_is_spare_where_another_is_left_by_the_quota(
    tmp_path: Path, files: dict[str, str], spare: bool
) -> None:
    assert cpu.has_spare(written(tmp_path, files)) is spare


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "536870912\n"}, 1 << 29),
        ({"memory.max": "max\n"}, None),
        ({"memory/memory.limit_in_bytes": "1048576\n"}, 1 << 20),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),  # v1's "no limit"
        ({}, None),
    ],
)
def test_the_memory_limit(tmp_path: Path, files: dict[str, str], limit: int | None) -> None:
    assert cpu.memory_limit(written(tmp_path, files)) == limit
