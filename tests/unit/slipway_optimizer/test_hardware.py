"""What the machine is."""

import pytest

from slipway_optimizer.hardware import multiplies_int8, parse_cpuinfo, quota_cpus

X86 = """processor\t: 0
model name\t: Example CPU @ 2.80GHz
flags\t\t: fpu sse2 fma avx2 avx512f avx512_vnni
processor\t: 1
flags\t\t: other
"""
ARM = "processor : 0\nFeatures : fp asimd asimddp i8mm\n"


def test_x86_shows_model_and_the_flags_that_matter() -> None:
    hardware = parse_cpuinfo(X86, architecture="x86_64", threads=2)
    assert hardware.cpu_model == "Example CPU @ 2.80GHz"
    assert hardware.cpu_flags == ("avx2", "avx512_vnni", "avx512f", "fma")
    assert hardware.node_class == "x86_64+vnni"
    assert multiplies_int8(hardware)


def test_arm_calls_them_features() -> None:
    hardware = parse_cpuinfo(ARM, architecture="aarch64", threads=1)
    assert hardware.cpu_flags == ("asimd", "asimddp", "i8mm")
    assert multiplies_int8(hardware)


def test_without_cpuinfo_nothing_is_assumed() -> None:
    hardware = parse_cpuinfo("", architecture="x86_64", threads=1)
    assert (hardware.cpu_model, hardware.cpu_flags) == ("unknown", ())
    assert not multiplies_int8(hardware)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n"}, None),
        ({}, None),
    ],
)
def test_the_cgroup_says_how_many_cpus(files: dict[str, str], expected: float | None) -> None:
    assert quota_cpus(files.get) == expected
