"""Which CPU may serve what."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slipway.errors import Invalid
from slipway_server import cpu
from slipway_server.loading import open_folder
from slipway_server.suits import unsuited
from tests.support.artifacts import Artifact

VNNI = ("amx_int8", "avx512_vnni")
ARTIFACT = Artifact(
    model=b"m", golden={"input:x": np.ones((1, 2))}, feeds={"input:x": np.ones((1, 2))}
)


@pytest.mark.parametrize(
    ("wanted", "flags", "fits"),
    [
        ((), set(), True),
        (VNNI, {"avx2", "avx512_vnni"}, True),
        (VNNI, {"avx2"}, False),
        (VNNI, set(), False),
    ],
)
def test_one_of_the_flags_is_enough(wanted: tuple[str, ...], flags: set[str], fits: bool) -> None:
    manifest = replace(ARTIFACT.served(), requires_any_cpu_flag=wanted)
    assert (unsuited(manifest, flags) is None) is fits


def test_flags_are_read_as_either_architecture_writes_them(tmp_path: Path) -> None:
    intel, arm = tmp_path / "intel", tmp_path / "arm"
    intel.write_text("processor : 0\nflags\t\t: fpu avx2 avx512_vnni\n")
    arm.write_text("processor : 0\nFeatures\t: fp asimd asimddp\n")
    assert cpu.flags(intel) == {"fpu", "avx2", "avx512_vnni"}
    assert cpu.flags(arm) == {"fp", "asimd", "asimddp"}
    assert cpu.flags(tmp_path / "none") == frozenset()


def test_a_folder_for_another_cpu_is_not_opened(tmp_path: Path) -> None:
    manifest = ARTIFACT.manifest().model_copy(update={"requires_any_cpu_flag": ("no_such_flag",)})
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json(by_alias=True))
    with pytest.raises(Invalid, match="this CPU has none of no_such_flag, but variant"):
        open_folder(tmp_path)
