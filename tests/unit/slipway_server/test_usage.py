import os
from pathlib import Path

import pytest

from slipway_server.usage import Usage, look
from tests.support.files import written

PAGE = os.sysconf("SC_PAGE_SIZE")
V2 = {
    "cpu.max": "150000 100000",
    "cpu.stat": "usage_usec 9\nnr_periods 40\nnr_throttled 3\nthrottled_usec 250000\n",
    "memory.max": "1000000",
    "memory.current": "700000",
    "memory.stat": "anon 5\ninactive_file 100000\n",
}
V1 = {
    "cpu/cpu.cfs_quota_us": "150000",
    "cpu/cpu.cfs_period_us": "100000",
    "cpu/cpu.stat": "nr_periods 40\nnr_throttled 3\nthrottled_time 250000000\n",
    "memory/memory.limit_in_bytes": "1000000",
    "memory/memory.usage_in_bytes": "700000",
    "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 100000\n",
}


def seen(root: Path, files: dict[str, str]) -> Usage:
    found = look(written(root, files), written(root / "proc", {"statm": "900 7 3 1 0 5 0"}))
    assert found.cpu_seconds > 0
    return found


@pytest.mark.parametrize("files", [V2, V1])
def test_both_cgroup_versions_say_the_same(tmp_path: Path, files: dict[str, str]) -> None:
    found = seen(tmp_path, files)
    assert found == Usage(
        cpu_seconds=found.cpu_seconds,
        resident=7 * PAGE,
        working_set=600_000,
        memory_limit=1_000_000,
        cpu_limit=1.5,
        periods=40,
        throttled_periods=3,
        throttled_seconds=0.25,
    )


def test_without_a_limit_nothing_is_said_of_it(tmp_path: Path) -> None:
    found = seen(tmp_path, V2 | {"cpu.max": "max 100000", "memory.max": "max"})
    assert (found.memory_limit, found.cpu_limit) == (None, None)
    assert (found.periods, found.throttled_periods, found.throttled_seconds) == (None, None, None)
    assert found.working_set == 600_000


def test_a_machine_without_cgroups_says_less(tmp_path: Path) -> None:
    found = look(tmp_path, tmp_path)
    assert found == Usage(cpu_seconds=found.cpu_seconds)


def test_this_process_has_memory_and_spends_time() -> None:
    first, second = look(), look()
    assert first.resident is not None
    assert first.resident > 1 << 20
    assert second.cpu_seconds >= first.cpu_seconds > 0
